//! Typed clients, made from the `OpenAPI` document of a service.
//!
//! The document may come from `bastide_rpc::openapi`, from a file, or from a running service by
//! [`Client::description`](crate::Client::description). Output is the same for the same document, and headed by its
//! [`contract()`] hash.
//!
//! What is at `/rpc/` becomes methods, grouped as a service groups its versions: all of one major version (below 1.0.0 of one
//! minor version) are one line, called by `users@1`, and each method is that of its latest version. Paths that methods have of
//! their own lead to the same methods and are left out.
//!
//! ```
//! # let document = serde_json::json!({"openapi": "3.1.0", "info": {"title": "x", "version": "1"}, "components": {}, "paths": {
//! #   "/rpc/greeter@1.0.0/greet": {"post": {
//! #     "requestBody": {"content": {"application/json": {"schema": {"type": "string"}}}},
//! #     "responses": {"200": {"content": {"application/json": {"schema": {"type": "string"}}}}}}}}});
//! let rust = bastide_client::generate::rust(&document)?;
//! assert!(rust.contains("pub async fn greet(&self, input: &String) -> Result<String, CallError>"));
//! # Ok::<(), bastide_client::generate::GenerateError>(())
//! ```

mod breaking;
mod contract;
mod hash;
mod names;
mod rust;
mod shape;
mod typescript;

use serde_json::Value;

pub use breaking::{Change, Kind, breaking};

/// The document cannot be made into a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct GenerateError {
    /// Where in the document, as a JSON pointer.
    pub place: String,
    /// What is there.
    pub reason: String,
}

impl GenerateError {
    fn at(place: &str, reason: impl Into<String>) -> Self {
        Self {
            place: place.to_owned(),
            reason: reason.into(),
        }
    }
}

/// The SHA-256 of what the document promises to callers, in hexadecimal digits. Texts for people do not change it, nor does the
/// order of members.
pub fn contract(document: &Value) -> String {
    hash::contract(document)
}

/// A TypeScript file without dependencies: interfaces, and a class for each service, over `fetch`. For TypeScript 4.8 and
/// later with `strict`, ES2020 and the DOM's types; it runs in browsers and Node 18.
///
/// Integers are `number`: those beyond 2^53 lose digits, as in any JSON that JavaScript reads.
///
/// # Errors
/// For what has no expression in TypeScript, with its place.
pub fn typescript(document: &Value) -> Result<String, GenerateError> {
    typescript::write(&contract::Contract::read(document)?)
}

/// A Rust file: structs and enums, and for each service a struct over [`Client`](crate::Client). It needs the crates
/// `bastide-client`, `serde` and `serde_json`, and, for streams, `futures-util`.
///
/// A member that may be absent and may be `null` is an `Option`, and absent where it is `None`.
///
/// # Errors
/// For what has no expression in Rust, with its place.
pub fn rust(document: &Value) -> Result<String, GenerateError> {
    rust::write(&contract::Contract::read(document)?)
}
