//! The declarative document: every tenant, key, route and tier in one TOML, YAML or JSON text.
//!
//! ```toml
//! [tiers.free]
//! limit = 60
//! windowMs = 60000
//!
//! [[tenants]]
//! name = "acme"
//! tier = "free"
//! keys = [{ name = "ci", key = "${env:ACME_KEY}" }]
//!
//! [[tenants.routes]]
//! method = "GET"
//! path = "/users"
//! pathType = "prefix"
//! upstreams = [{ url = "http://users:3000" }]
//!
//! [[routes]] # of the platform: for every tenant
//! method = "*"
//! path = "/status"
//! auth = "none"
//! upstreams = [{ url = "http://status:3000" }]
//! ```
//!
//! # Identity
//! Applying a document changes what differs and nothing else; an unchanged one changes nothing. What an entry
//! stands for is found by its `id`, if it has one. Otherwise a tenant is found by its name; a key by its hash,
//! then its name, among the tenant's keys; a route by method, host, path type and path among the tenant's (or
//! the platform's) routes. Several candidates pair off by equal content, then equal priority, then age. An `id`
//! that does not exist yet is taken over, so that an export restores with the ids that it had.
//!
//! # Scopes
//! - [`Scope::File`], for the file that the gateway was started with: the document is all that the file has to
//!   say. Objects in it become the file's (`managedBy: file`), also those that were made through the Admin API
//!   before. What was the file's and no longer stands there is deleted; but a tenant that the API made keys or routes of
//!   stays with these, inactive and the API's. Everything else is left alone. A tenant that a file makes has an id that
//!   follows from its name.
//! - [`Scope::Api`], for `PUT /admin/config`: the document says how everything that is managed by the API should
//!   be. The file's objects may stand in it as they are. A list that is left out (`tenants`, `routes`, or a
//!   tenant's `keys` or `routes`) is left as it is; a list that is given is complete.
//!
//! `tiers`, where given, replaces all tiers, in either scope. Revoked keys are history rather than
//! configuration: they do not stand in documents, stay as long as their tenant, and their hashes are refused.

mod apply;
mod changes;
mod departed;
mod diff;
mod document;
mod duplicates;
mod export;
mod file;
mod keys;
mod pairing;
mod plan;
mod read;
mod tenant_id;
mod watch;

#[cfg(test)]
mod tests;

pub(crate) use apply::apart;
pub use apply::apply_file;
pub use changes::{Author, ChangeSet};
pub use diff::{Diff, Entry, FieldChange};
pub use document::{Declared, DeclaredKey, DeclaredRoute, DeclaredTenant, KeyMaterial};
pub use export::export;
pub use file::{Applicable, Summary, check_file};
pub(crate) use pairing::pattern;
pub use plan::{Plan, Scope, plan};
pub use read::{Environment, no_environment, read};
pub use watch::follow_file;
