//! `#[main]`: a function that is given the `App` becomes the program's `main`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, ItemFn, Result};

use crate::paths::CratePath;

pub(crate) fn expand(function: &ItemFn) -> Result<TokenStream> {
    let facade = CratePath::facade();
    let signature = &function.sig;
    if signature.asyncness.is_none() {
        return Err(Error::new_spanned(
            signature,
            "`#[bastide::main]` stands on an `async fn main(app: App)`",
        ));
    }
    if signature.inputs.len() != 1 || !signature.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &signature.inputs,
            "`main` takes one argument, the `App`",
        ));
    }
    let name = &signature.ident;
    let input = &signature.inputs;
    let output = &signature.output;
    let attributes = &function.attrs;
    let body = &function.block;
    Ok(quote! {
        #(#attributes)*
        // For a test that starts the program.
        pub(crate) fn #name() -> ::std::process::ExitCode {
            async fn body(#input) #output #body
            #facade::launch(
                #facade::Program {
                    name: ::core::env!("CARGO_PKG_NAME"),
                    version: ::core::env!("CARGO_PKG_VERSION"),
                },
                body,
            )
        }
    })
}
