//! `#[service]`.

mod arguments;
mod declared;
mod options;
mod spelling;
#[cfg(test)]
mod tests;
mod written;

use proc_macro2::TokenStream;
use quote::quote;
use syn::ItemImpl;

/// The `impl` as it stands, but for the attributes that are ours, and what makes it a service. Where something is wrong the
/// methods stay, so that nothing else is said of those who call them.
pub(crate) fn expand(arguments: TokenStream, mut item: ItemImpl) -> TokenStream {
    match declared::Service::read(arguments, &mut item) {
        Ok(service) => {
            let written = written::service(&service);
            quote!(#item #written)
        }
        Err(errors) => {
            let errors = errors.to_compile_error();
            quote!(#item #errors)
        }
    }
}
