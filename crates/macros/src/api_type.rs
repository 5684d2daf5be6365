//! `#[api]`: a type that goes in and out of methods.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, Item, Result};

use crate::paths::CratePath;

/// What an author would write who had serde and schemars as dependencies of his own.
pub(crate) fn expand(arguments: &TokenStream, item: &Item) -> Result<TokenStream> {
    if !arguments.is_empty() {
        let message = "`#[api]` takes no arguments; attributes of serde and schemars go below it";
        return Err(Error::new_spanned(arguments, message));
    }
    if !matches!(item, Item::Struct(_) | Item::Enum(_)) {
        return Err(Error::new_spanned(
            item,
            "`#[api]` stands on a struct or an enum",
        ));
    }
    let rpc = CratePath::rpc();
    let (serde, schemars) = (
        rpc.text("expansion::serde"),
        rpc.text("expansion::schemars"),
    );
    Ok(quote! {
        #[derive(
            #rpc::expansion::serde::Serialize,
            #rpc::expansion::serde::Deserialize,
            #rpc::expansion::schemars::JsonSchema,
        )]
        #[serde(crate = #serde)]
        #[schemars(crate = #schemars)]
        #item
    })
}
