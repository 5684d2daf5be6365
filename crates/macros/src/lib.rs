//! The macros of Bastide. What they make is documented where it is used: `Entity` in `bastide-repo`, `service` and `ApiError` in
//! `bastide-rpc`.
//!
//! A macro here only reads what stands in the source and writes what a person could have written; it knows no other type
//! than the one it stands on, so what depends on another is left to the compiler, as a `const` assertion in its output. It
//! tells all that is wrong at once, each at its place. Paths in its output are those of the author's own manifest (`paths.rs`).

#![forbid(unsafe_code)]

mod api_error;
mod api_type;
mod entity;
mod errors;
mod main_function;
mod paths;
mod service;

use proc_macro::TokenStream;
use syn::{DeriveInput, Item, ItemFn, ItemImpl, parse_macro_input};

/// Makes a struct an entity: a table's metadata, typed columns, reading from rows, and a patch. See `bastide_repo::Entity`.
#[proc_macro_derive(Entity, attributes(entity))]
pub fn entity(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    entity::expand(&input)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// Makes methods of an `impl` entries of a service. See `bastide_rpc::IntoService`.
#[proc_macro_attribute]
pub fn service(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as ItemImpl);
    service::expand(arguments.into(), item).into()
}

/// Lets a struct or an enum go in and out of methods: `Serialize`, `Deserialize` and `JsonSchema`, without dependencies of the
/// author's own. Attributes of serde and schemars below it count.
#[proc_macro_attribute]
pub fn api(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as Item);
    api_type::expand(&arguments.into(), &item)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// Makes an `async fn` that is given the `App` the program's `main`. See `bastide::App`.
#[proc_macro_attribute]
pub fn main(_: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as ItemFn);
    main_function::expand(&item)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// Gives the variants of an enum statuses, stable codes and messages. See `bastide_rpc::ApiError`.
#[proc_macro_derive(ApiError, attributes(error, from))]
pub fn api_error(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    api_error::expand(&input)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}
