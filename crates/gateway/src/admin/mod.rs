//! The Admin API: tenants, keys, routes, the audit log and the whole configuration over HTTP and JSON.
//!
//! It is a [`Service`](bastide_rpc::Service) of routes; who listens, and where, is not its concern. Every request needs the admin
//! key in `X-Admin-Key`.
//!
//! | path | methods |
//! |---|---|
//! | `/admin/tenants`, `/admin/tenants/{id}` | GET, POST; GET, PATCH, DELETE |
//! | `/admin/tenants/{id}/keys`, `/admin/tenants/{id}/keys/{keyId}` | GET, POST; GET, PATCH, DELETE (revokes) |
//! | `/admin/tenants/{id}/keys/{keyId}/rotate` | POST |
//! | `/admin/tenants/{id}/routes` | GET |
//! | `/admin/routes`, `/admin/routes/{id}` | GET, POST; GET, PATCH, PUT, DELETE |
//! | `/admin/audit` | GET |
//! | `/admin/config` | GET, PUT (`?dryRun=true`) |
//!
//! - One object comes as `{data}` with an `ETag`; `If-Match` and `If-None-Match` are honoured. A list comes as
//!   `{data, nextCursor}` and takes `?limit=` and `?cursor=`.
//! - Without `If-Match` a change that another node's came before is made anew over that one; 409 `edit_conflict` is left
//!   for when that does not succeed ten times.
//! - PATCH takes a merge patch (RFC 7396). A body may repeat what only the gateway writes (`id`, `createdAt`,
//!   ...) as long as it says what is so. What changes nothing makes no new version.
//! - Errors are problem details (RFC 9457) with a stable `code`; a body's mistakes come all at once, as
//!   `errors: [{field, message}]`.
//!
//! # Invariants
//! - Nothing is half done: one request is one commit, with its audit entries in the same transaction.
//! - A key is shown in the answer that makes it and never again; hashes appear in `/admin/config` alone.
//! - Nothing of a request but its head is looked at before the admin key.

pub(crate) mod access;
mod audit;
mod call;
mod config;
mod configuration;
mod edit;
mod entity_tag;
mod keys;
mod maintenance;
mod page;
mod problem;
mod reply;
mod routes;
mod service;
mod tenants;

#[cfg(test)]
pub(crate) mod memory;
#[cfg(test)]
mod tests;

pub use configuration::Configuration;
pub(crate) use service::service;
