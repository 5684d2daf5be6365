//! The derive macros of Bastide. What they make is documented where it is used: `Entity` in `bastide-repo`.
//!
//! A macro here only reads what stands in the source and writes what a person could have written; it knows no other type
//! than the one it stands on, so what depends on another is left to the compiler, as a `const` assertion in its output.

#![forbid(unsafe_code)]

mod entity;
mod errors;
mod paths;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct an entity: a table's metadata, typed columns, reading from rows, and a patch. See `bastide_repo::Entity`.
#[proc_macro_derive(Entity, attributes(entity))]
pub fn entity(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    entity::expand(&input)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}
