//! What is written for an entity.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;

use super::declared::{Entity, Field, Managed};
use crate::paths::CratePath;

pub(super) fn entity(entity: &Entity) -> TokenStream {
    let repo = &CratePath::repo();
    let parts = [
        constants(entity, repo),
        implementation(entity, repo),
        patch(entity, repo),
        assertions(entity, repo),
    ];
    quote!(#(#parts)*)
}

fn upper(name: &str) -> Ident {
    format_ident!("{}", name.trim_start_matches('_').to_uppercase())
}

fn text(field: &Field) -> String {
    field.name.unraw().to_string()
}

/// `User::EMAIL`, `User::TEAM`.
fn constants(entity: &Entity, repo: &CratePath) -> TokenStream {
    let (name, visibility) = (&entity.name, &entity.visibility);
    let columns = entity.fields.iter().map(|field| {
        let (constant, column, ty) = (upper(&text(field)), text(field), &field.ty);
        let doc = format!("The column `{column}`.");
        quote! {
            #[doc = #doc]
            #[allow(dead_code)]
            #visibility const #constant: #repo::Column<Self, #ty> = #repo::Column::new(#column);
        }
    });
    let relations = entity.fields.iter().filter_map(|field| {
        let (target, relation) = (field.belongs_to.as_ref()?, field.relation()?);
        let (constant, column, ident) = (upper(&relation), text(field), &field.name);
        let doc = format!("The relation by `{column}`.");
        Some(quote! {
            #[doc = #doc]
            #[allow(dead_code)]
            #visibility const #constant: #repo::Relation<Self, #target> = #repo::Relation::new(
                #column,
                |entity| #repo::Key::key(&entity.#ident),
            );
        })
    });
    quote! {
        impl #name {
            #(#columns)*
            #(#relations)*
        }
    }
}

fn implementation(entity: &Entity, repo: &CratePath) -> TokenStream {
    let (name, table, traits) = (&entity.name, &entity.table, &entity.traits);
    let Some(id) = entity.id() else {
        return TokenStream::new();
    };
    let (id_name, id_text, id_type) = (&id.name, text(id), &id.ty);
    let patch = format_ident!("{name}Patch");
    let rows = if traits.tenant {
        format_ident!("PerTenant")
    } else {
        format_ident!("Shared")
    };
    let columns = entity.own().map(|field| {
        let (column, ty) = (text(field), &field.ty);
        let (is_indexed, is_unique) = (field.is_indexed, field.is_unique);
        let references = field.belongs_to.as_ref().map_or_else(
            || quote!(::core::option::Option::None),
            |target| quote!(::core::option::Option::Some(|| <#target as #repo::Entity>::TABLE)),
        );
        quote! {
            #repo::TableColumn {
                name: #column,
                kind: <#ty as #repo::Field>::KIND,
                is_nullable: <#ty as #repo::Field>::IS_NULLABLE,
                is_indexed: #is_indexed,
                is_unique: #is_unique,
                references: #references,
            }
        }
    });
    let (tenant, soft_delete, timestamps, audit, version) = (
        traits.tenant,
        traits.soft_delete,
        traits.timestamps,
        traits.audit,
        traits.version,
    );
    let read: Vec<String> = entity.fields.iter().map(text).collect();
    let names = entity.fields.iter().map(|field| &field.name);
    let values = entity.own().map(|field| &field.name);
    let version_of = traits.version.then(|| {
        quote! {
            fn version(&self) -> ::core::option::Option<i64> {
                ::core::option::Option::Some(self.version)
            }
        }
    });
    quote! {
        impl #repo::Entity for #name {
            type Id = #id_type;
            type Patch = #patch;
            type Rows = #repo::#rows;

            const TABLE: &'static #repo::Table = &#repo::Table {
                name: #table,
                id: #id_text,
                columns: &[#(#columns),*],
                read: &[#(#read),*],
                traits: #repo::Traits {
                    tenant: #tenant,
                    soft_delete: #soft_delete,
                    timestamps: #timestamps,
                    audit: #audit,
                    version: #version,
                },
            };

            fn id(&self) -> &Self::Id {
                &self.#id_name
            }

            #version_of

            fn values(&self) -> ::std::vec::Vec<#repo::Value> {
                ::std::vec![#(#repo::Field::to_value(&self.#values)),*]
            }

            fn from_row(row: &#repo::Row) -> ::core::result::Result<Self, #repo::DbError> {
                ::core::result::Result::Ok(Self {
                    #(#names: #repo::read(row, #read)?,)*
                })
            }
        }
    }
}

/// `UserPatch`.
fn patch(entity: &Entity, repo: &CratePath) -> TokenStream {
    let (name, visibility) = (&entity.name, &entity.visibility);
    let patch = format_ident!("{name}Patch");
    let [serde, schemars, given] = ["serde", "schemars", "given"].map(|item| repo.text(item));
    let doc = format!("What is to change of a `{name}`: the fields that are `Some`.");
    let fields: Vec<&Field> = entity.own().filter(|field| !field.is_id).collect();
    let declared = fields.iter().map(|field| {
        let (ident, ty) = (&field.name, &field.ty);
        let doc = format!("The new `{}`.", text(field));
        quote! {
            #[doc = #doc]
            #[serde(default, deserialize_with = #given)]
            pub #ident: ::core::option::Option<#ty>
        }
    });
    let changes = fields.iter().map(|field| {
        let (ident, column) = (&field.name, text(field));
        quote! {
            if let ::core::option::Option::Some(value) = &self.#ident {
                changes.push((#column, #repo::Field::to_value(value)));
            }
        }
    });
    let is_mutable = (!fields.is_empty()).then(|| quote!(mut));
    quote! {
        #[doc = #doc]
        #[derive(
            ::core::fmt::Debug, ::core::clone::Clone, ::core::default::Default, #repo::serde::Deserialize,
            #repo::schemars::JsonSchema,
        )]
        #[serde(crate = #serde, deny_unknown_fields)]
        #[schemars(crate = #schemars)]
        #visibility struct #patch {
            #(#declared,)*
        }

        impl #repo::Patch for #patch {
            fn changes(&self) -> ::std::vec::Vec<(&'static str, #repo::Value)> {
                let #is_mutable changes = ::std::vec::Vec::new();
                #(#changes)*
                changes
            }
        }
    }
}

/// What only the compiler can see: the types of managed fields, and whose the referenced rows are.
fn assertions(entity: &Entity, repo: &CratePath) -> TokenStream {
    let name = &entity.name;
    let managed = entity.fields.iter().filter_map(|field| {
        let (ident, managed) = (&field.name, field.managed?);
        let ty = match managed {
            Managed::Tenant => quote!(::std::string::String),
            Managed::CreatedAt | Managed::UpdatedAt => quote!(#repo::Timestamp),
            Managed::DeletedAt => quote!(::core::option::Option<#repo::Timestamp>),
            Managed::Version => quote!(i64),
        };
        Some(quote_spanned! {field.ty.span()=>
            const _: fn(&#name) -> &#ty = |entity| &entity.#ident;
        })
    });
    let relations = entity.fields.iter().filter_map(|field| {
        let target = field.belongs_to.as_ref()?;
        Some(quote_spanned! {target.span()=>
            const _: () = #repo::assert_relation(
                <#name as #repo::Entity>::TABLE,
                <#target as #repo::Entity>::TABLE,
            );
        })
    });
    quote! {
        #(#managed)*
        #(#relations)*
    }
}
