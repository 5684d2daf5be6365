//! What is written for a service: what a person would write with `Method::named(..)`.

use std::time::Duration;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::LitStr;
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;

use super::arguments::{Input, Member};
use super::declared::{Method, Service};
use super::options::{Access, Kept, Limit, Policy};
use crate::paths::CratePath;

pub(super) fn service(service: &Service) -> TokenStream {
    let rpc = &CratePath::rpc();
    let (ty, name, version) = (&service.ty, &service.name, &service.version);
    let inputs = service
        .methods
        .iter()
        .map(|method| input(service, method, rpc));
    let methods = service.methods.iter().map(|one| {
        let conditions = &one.conditions;
        let put = match &one.rest {
            Some((verb, path)) if one.options.is_route => {
                let made = route(service, one, verb, path, rpc);
                quote!(route(#made))
            }
            _ => {
                let made = method(service, one, rpc);
                quote!(method(#made))
            }
        };
        quote! {
            #(#conditions)*
            let service = service.#put;
        }
    });
    quote! {
        #[automatically_derived]
        impl #rpc::IntoService for #ty {
            fn into_service(self) -> ::core::result::Result<#rpc::Service, #rpc::RegistryError> {
                #(#inputs)*
                let this = ::std::sync::Arc::new(self);
                let service = #rpc::Service::new(#name, #version)?;
                #(#methods)*
                ::core::result::Result::Ok(service)
            }
        }
    }
}

/// Two services' inputs are two in one description, though they stand in one module.
fn input_name(service: &Service, method: &Method) -> Ident {
    let mut name = service.ident.unraw().to_string();
    for word in method.ident.unraw().to_string().split('_') {
        let (first, rest) = word.split_at(word.len().min(1));
        name.push_str(&first.to_uppercase());
        name.push_str(rest);
    }
    format_ident!("{name}Input")
}

fn input(service: &Service, method: &Method, rpc: &CratePath) -> Option<TokenStream> {
    let Input::Members(members) = &method.input else {
        return None;
    };
    let (name, conditions) = (input_name(service, method), &method.conditions);
    let (serde, schemars) = (
        rpc.text("expansion::serde"),
        rpc.text("expansion::schemars"),
    );
    let case = service
        .rename_all
        .as_ref()
        .map(|case| quote!(#[serde(rename_all = #case)]));
    let members = members.iter().map(
        |Member {
             ident,
             ty,
             attributes,
         }| quote!(#(#attributes)* #ident: #ty),
    );
    Some(quote! {
        #(#conditions)*
        #[derive(#rpc::expansion::serde::Deserialize, #rpc::expansion::schemars::JsonSchema)]
        #[serde(crate = #serde, deny_unknown_fields)]
        #[schemars(crate = #schemars)]
        #case
        struct #name {
            #(#members,)*
        }
    })
}

fn method(service: &Service, method: &Method, rpc: &CratePath) -> TokenStream {
    let (ident, options) = (&method.ident, &method.options);
    let name = ident.unraw().to_string();
    let (describe, within) = (describe(method), within(method));
    let rest = method
        .rest
        .as_ref()
        .map(|(verb, path)| quote!(.#verb(#path)));
    let access = access(&options.access, rpc);
    let limit = options.limit.as_ref().map(|rule| limit(rule, rpc));
    let cached = options.cache.as_ref().map(|kept| cached(kept, rpc));
    let invalidates = tags("invalidates", &options.invalidates);
    let handler = handler(service, method, rpc);
    quote! {{
        let this = ::std::sync::Arc::clone(&this);
        #rpc::Method::named(#name) #describe #rest #within #access #limit #cached #invalidates #handler
    }}
}

fn route(
    service: &Service,
    method: &Method,
    verb: &Ident,
    path: &LitStr,
    rpc: &CratePath,
) -> TokenStream {
    let options = &method.options;
    let describe = describe(method);
    let access = access(&options.access, rpc);
    let limit = options.limit.as_ref().map(|rule| limit(rule, rpc));
    let within = within(method);
    let max_body = options.max_body.as_ref();
    let max_body = max_body.map(|bytes| quote!(.max_body(#bytes)));
    let handler = handler(service, method, rpc);
    quote! {{
        let this = ::std::sync::Arc::clone(&this);
        #rpc::Route::#verb(#path) #describe #access #limit #within #max_body #handler
    }}
}

fn describe(method: &Method) -> Option<TokenStream> {
    let description = &method.description;
    (!description.is_empty()).then(|| quote!(.describe(#description)))
}

fn within(method: &Method) -> Option<TokenStream> {
    let timeout = written(method.options.timeout?);
    Some(quote!(.within(#timeout)))
}

fn access(access: &Access, rpc: &CratePath) -> TokenStream {
    let policy = match access {
        Access::Public(reason) => return quote!(.public(#reason)),
        Access::Policy(policy) => policy,
    };
    let Policy {
        roles,
        scopes,
        services_only,
        any_tenant_or_none,
    } = policy;
    let begin = if roles.is_empty() {
        quote!(identified())
    } else {
        quote!(any_role(&[#(#roles),*]))
    };
    let scopes = (!scopes.is_empty()).then(|| quote!(.all_scopes(&[#(#scopes),*])));
    let services = services_only.then(|| quote!(.services_only()));
    let way = if *any_tenant_or_none {
        quote!(policy_without_tenant)
    } else {
        quote!(policy)
    };
    quote!(.#way(#rpc::expansion::Policy::#begin #scopes #services))
}

fn limit(limit: &Limit, rpc: &CratePath) -> TokenStream {
    let otherwise = &limit.otherwise;
    let tiers = limit
        .tiers
        .iter()
        .map(|(tier, limit)| quote!(.tier(#tier, #limit)?));
    quote!(.limit(#rpc::LimitRule::parse(#otherwise)? #(#tiers)*))
}

fn cached(kept: &Kept, rpc: &CratePath) -> TokenStream {
    let ttl = written(kept.ttl);
    let whose = kept.for_each_caller.then(|| quote!(.for_each_caller()));
    let tags = tags("tags", &kept.tags);
    quote!(.cached(#rpc::Cached::lasting(#ttl) #whose #tags))
}

fn tags(name: &str, tags: &[LitStr]) -> Option<TokenStream> {
    let name = format_ident!("{name}");
    (!tags.is_empty()).then(|| quote!(.#name([#(#tags),*])))
}

fn written(duration: Duration) -> TokenStream {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    quote!(::core::time::Duration::from_millis(#millis))
}

fn handler(service: &Service, method: &Method, rpc: &CratePath) -> TokenStream {
    let ident = &method.ident;
    let scope = format_ident!("{}", method.options.access.scope());
    let scope = quote!(#rpc::expansion::Cx<#rpc::expansion::#scope>);
    // What does not fit is told at these places of the author's, and not at the attribute.
    let at = |span: Span| Span::call_site().located_at(span);
    let (cx, context) = match &method.context {
        Some(ty) => (quote!(cx), Some(quote_spanned!(at(ty.span())=> &cx,))),
        None => (quote!(_), None),
    };
    let (binding, ty, arguments) = match &method.input {
        Input::Whole(ty) => (quote!(input), quote!(#ty), quote!(input)),
        Input::Members(members) => {
            let ty = input_name(service, method);
            let names = members.iter().map(|member| &member.ident);
            let binding = if members.is_empty() {
                quote!(_)
            } else {
                quote!(input)
            };
            (binding, quote!(#ty), quote!(#(input.#names),*))
        }
    };
    let code = if method.options.is_stream {
        format_ident!("stream")
    } else {
        format_ident!("handler")
    };
    quote_spanned! {at(ident.span())=>
        .#code(move |#cx: #scope, #binding: #ty| {
            let this = ::std::sync::Arc::clone(&this);
            async move { this.#ident(#context #arguments).await }
        })
    }
}
