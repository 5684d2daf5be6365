//! `#[derive(ApiError)]`.

mod declared;
mod message;
#[cfg(test)]
mod tests;
mod written;

use proc_macro2::TokenStream;
use syn::DeriveInput;

pub(crate) fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    declared::Failure::read(input).map(|failure| written::failure(&failure))
}
