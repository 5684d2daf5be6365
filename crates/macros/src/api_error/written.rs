//! What is written for an error.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{LitStr, Type};

use super::declared::{Case, Failure, Kind};
use super::message::{Message, Place};
use crate::paths::CratePath;

pub(super) fn failure(failure: &Failure) -> TokenStream {
    let rpc = &CratePath::rpc();
    let parts = [
        api_error(failure, rpc),
        display(failure),
        error(failure),
        conversions(failure),
    ];
    quote!(#(#parts)*)
}

fn api_error(failure: &Failure, rpc: &CratePath) -> TokenStream {
    let ident = &failure.ident;
    let own = failure
        .own()
        .map(|(status, code)| quote!(#rpc::Declared { status: #status, code: #code }));
    let held = failure.variants.iter().filter_map(|case| match &case.kind {
        Kind::Transparent(ty) => {
            Some(quote_spanned!(ty.span()=> <#ty as #rpc::ApiError>::DECLARED))
        }
        Kind::Own { .. } => None,
    });
    let problems = failure.variants.iter().map(|case| match &case.kind {
        Kind::Transparent(_) => {
            let pattern = held_in(case);
            quote!(#pattern => #rpc::ApiError::into_problem(error))
        }
        Kind::Own {
            status,
            code,
            message,
        } => {
            let (pattern, detail) = told(case, message, |format| quote!(::std::format!(#format)));
            quote!(#pattern => #rpc::Problem::new(#status, #code, #detail))
        }
    });
    quote! {
        #[automatically_derived]
        impl #rpc::ApiError for #ident {
            const DECLARED: &'static [#rpc::Declared] = {
                const PARTS: &[&[#rpc::Declared]] = &[&[#(#own),*], #(#held),*];
                const ALL: [#rpc::Declared; #rpc::expansion::count(PARTS)] = #rpc::expansion::joined(PARTS);
                &ALL
            };

            fn into_problem(self) -> #rpc::Problem {
                match self {
                    #(#problems,)*
                }
            }
        }
    }
}

fn display(failure: &Failure) -> TokenStream {
    let ident = &failure.ident;
    let texts = failure.variants.iter().map(|case| match &case.kind {
        Kind::Transparent(_) => {
            let pattern = held_in(case);
            quote!(#pattern => ::core::fmt::Display::fmt(error, formatter))
        }
        Kind::Own { message, .. } => {
            let (pattern, text) = told(case, message, |format| {
                quote!(::core::format_args!(#format))
            });
            quote!(#pattern => ::core::fmt::Display::fmt(&#text, formatter))
        }
    });
    quote! {
        #[automatically_derived]
        impl ::core::fmt::Display for #ident {
            fn fmt(&self, formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                match self {
                    #(#texts,)*
                }
            }
        }
    }
}

fn error(failure: &Failure) -> TokenStream {
    let ident = &failure.ident;
    let sources = failure.variants.iter().map(|case| {
        let pattern = held_in(case);
        match (&case.kind, &case.from) {
            (Kind::Transparent(_), _) => quote!(#pattern => ::core::error::Error::source(error)),
            (Kind::Own { .. }, Some(_)) => quote!(#pattern => ::core::option::Option::Some(error)),
            (Kind::Own { .. }, None) => {
                let ident = &case.ident;
                quote!(Self::#ident { .. } => ::core::option::Option::None)
            }
        }
    });
    quote! {
        #[automatically_derived]
        impl ::core::error::Error for #ident {
            fn source(&self) -> ::core::option::Option<&(dyn ::core::error::Error + 'static)> {
                match self {
                    #(#sources,)*
                }
            }
        }
    }
}

fn conversions(failure: &Failure) -> TokenStream {
    let ident = &failure.ident;
    let each = failure.variants.iter().filter_map(|case| {
        let (variant, ty): (&Ident, &Type) = (&case.ident, case.from.as_ref()?);
        Some(quote! {
            #[automatically_derived]
            impl ::core::convert::From<#ty> for #ident {
                fn from(error: #ty) -> Self {
                    Self::#variant(error)
                }
            }
        })
    });
    quote!(#(#each)*)
}

/// The variant that holds one error.
fn held_in(case: &Case) -> TokenStream {
    let variant = &case.ident;
    quote!(Self::#variant(error))
}

/// The variant with the fields that its message names, and the message.
fn told(
    case: &Case,
    message: &Message,
    formatted: impl Fn(&LitStr) -> TokenStream,
) -> (TokenStream, TokenStream) {
    let variant = &case.ident;
    match message {
        Message::Fixed(text) => (quote!(Self::#variant { .. }), quote!(#text)),
        Message::Formatted(format, places) => {
            let fields = places.iter();
            let fields = fields.map(|Place { field, binding }| quote!(#field: #binding));
            let text = formatted(&LitStr::new(format, variant.span()));
            (quote!(Self::#variant { #(#fields,)* .. }), text)
        }
    }
}
