//! `#[derive(Entity)]`.

mod declared;
mod written;

use proc_macro2::TokenStream;
use syn::DeriveInput;

pub(crate) fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    declared::Entity::read(input).map(|entity| written::entity(&entity))
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    /// What the macro says of it, all of it.
    fn said_of(input: &DeriveInput) -> Vec<String> {
        match expand(input) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.into_iter().map(|error| error.to_string()).collect(),
        }
    }

    #[test]
    fn what_can_be_meant_is_taken() {
        let said = said_of(&parse_quote! {
            #[entity(table = "users", tenant, soft_delete, timestamps, audit, version)]
            pub struct User {
                #[entity(id)] id: Uuid,
                #[entity(index, unique)] email: String,
                #[entity(belongs_to = Team)] team_id: Option<Uuid>,
                r#type: String,
                version: i64,
                created_at: Timestamp,
            }
        });
        assert_eq!(said, [] as [&str; 0]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let refused: [(DeriveInput, &str); 15] = [
            (
                parse_quote!(
                    struct A {
                        #[entity(id)]
                        id: Uuid,
                    }
                ),
                "names its table",
            ),
            (
                parse_quote!(
                    #[entity(table = "a")]
                    enum A {
                        B,
                    }
                ),
                "is a struct",
            ),
            (
                parse_quote!(
                    #[entity(table = "a")]
                    struct A(Uuid);
                ),
                "named fields",
            ),
            (
                parse_quote!(
                    #[entity(table = "a")]
                    struct A<T> {
                        #[entity(id)]
                        id: T,
                    }
                ),
                "no parameters",
            ),
            (
                parse_quote!(
                    #[entity(table = "a")]
                    struct A {
                        name: String,
                    }
                ),
                "one field with `#[entity(id)]`",
            ),
            (
                parse_quote!(
                    #[entity(table = "a")]
                    struct A {
                        #[entity(id)]
                        id: Uuid,
                        #[entity(id)]
                        other: Uuid,
                    }
                ),
                "another field is it already",
            ),
            (
                parse_quote!(
                    #[entity(table = "a; DROP")]
                    struct A {
                        #[entity(id)]
                        id: Uuid,
                    }
                ),
                "cannot name a table",
            ),
            (
                parse_quote!(
                    #[entity(table = "a", tenants)]
                    struct A {
                        #[entity(id)]
                        id: Uuid,
                    }
                ),
                "not known here",
            ),
            (
                parse_quote!(
                    #[entity(table = "a", tenant, tenant)]
                    struct A {
                        #[entity(id)]
                        id: Uuid,
                    }
                ),
                "said twice",
            ),
            (
                parse_quote!(
                    #[entity(table = "a", version)]
                    struct A {
                        #[entity(id)]
                        id: Uuid,
                    }
                ),
                "`version: i64`",
            ),
            (
                parse_quote!(
                    #[entity(table = "a", audit)]
                    struct A {
                        #[entity(id)]
                        id: Uuid,
                    }
                ),
                "`audit` needs `tenant`",
            ),
            (
                parse_quote!(
                    #[entity(table = "a")]
                    struct A {
                        #[entity(id)]
                        id: Uuid,
                        tenant_id: String,
                    }
                ),
                "say `#[entity(tenant)]`",
            ),
            (
                parse_quote!(
                    #[entity(table = "a")]
                    struct A {
                        #[entity(id)]
                        id: Uuid,
                        #[entity(belongs_to = B)]
                        author: Uuid,
                    }
                ),
                "ends in `_id`",
            ),
            (
                parse_quote!(
                    #[entity(table = "a", timestamps)]
                    struct A {
                        #[entity(id)]
                        id: Uuid,
                        #[entity(index)]
                        created_at: Timestamp,
                    }
                ),
                "takes no attributes",
            ),
            (
                parse_quote!(
                    #[entity(table = "a")]
                    struct A {
                        #[entity(id)]
                        id: Uuid,
                        #[entity(belongs_to = B)]
                        author_id: Uuid,
                        author: String,
                    }
                ),
                "has this name already",
            ),
        ];
        for (input, expected) in refused {
            let said = said_of(&input);
            assert!(
                said.len() == 1 && said[0].contains(expected),
                "{expected}: {said:?}"
            );
        }
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let said = said_of(&parse_quote! {
            #[entity(table = "a", version)]
            struct A { #[entity(ids)] id: Uuid, Name: String }
        });
        assert_eq!(said.len(), 4, "{said:?}");
    }

    #[test]
    fn long_names_are_refused_before_a_database_cuts_them() {
        let said = said_of(&parse_quote! {
            #[entity(table = "a_table_whose_name_has_very_many_letters")]
            struct A { #[entity(id)] id: Uuid, a_column_whose_name_too: String }
        });
        assert!(
            said.len() == 1 && said[0].contains("57 characters"),
            "{said:?}"
        );
    }
}
