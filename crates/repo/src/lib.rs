//! Entities in tables, and never outside a tenant.
//!
//! A struct with `#[derive(Entity)]` is a table; a [`Repo`] reads and writes its rows, the same on Postgres and `SQLite`. Every
//! method takes first [by what right](Access) it is asked: the `&Cx<Tenant>` of a call, or the `&TenantTx` of a
//! [transaction](TenantDb::transaction) that was begun with one.
//!
//! # Invariants
//! - **No statement without a tenant.** On a tenant's table there is none that is not made by a `Cx<Tenant>`; both databases are
//!   asked with its predicate, and on Postgres row-level security holds for statements of one's own too.
//! - **Nothing crosses.** Primary keys, unique keys, indexes and references begin with the tenant: a row cannot refer to
//!   another tenant's, and a conflict tells nothing of it.
//! - **One round trip** for a single statement on Postgres, settings and `COMMIT` included (once more where a connection
//!   prepares it); behind a pooler no session state, so that `PgBouncer` in transaction mode may stand between.
//! - **Across tenants** only by [`TenantDb::across_tenants`]: under a name, by a connection of its own, and written down.
//! - **The deadline of the call** is the statement's: the server ends it. A future that is dropped at any await leaves nothing to
//!   the next user of the connection.
//! - **Two-valued filters.** A [`Filter`] holds or it does not, whatever is absent; both databases find the same rows.
//!
//! # What can be declared
//! | at the struct | |
//! |---|---|
//! | `table = ".."` | its name |
//! | `tenant` | each row is a tenant's: column `tenant_id`, kept by the repository |
//! | `soft_delete` | deleted rows stay with `deleted_at`, are not seen unless asked for, and are no conflict for unique fields |
//! | `timestamps` | `created_at`, `updated_at` |
//! | `audit` | every change is written into `bastide_audit` in its transaction, as an [`AuditEntry`] |
//! | `version` | counts changes; an update of what somebody else has changed since is [`RepoError::Stale`] |
//!
//! | at a field | |
//! |---|---|
//! | `id` | the id, which the program makes (`Uuid::now_v7()`) |
//! | `index`, `unique` | within the tenant |
//! | `belongs_to = Entity` | holds its id, and makes a [`Relation`] named without `_id` |
//!
//! Columns that are kept by the repository may be fields, to be read; `version` has to be one. Written for `User` are
//! `User::EMAIL` ([`Column`]) for each field, `User::TEAM` ([`Relation`]) for each reference, `UserPatch` with every field that
//! can be changed, and the [`Entity`].
//!
//! # What it deliberately does not do
//! No joins and no aggregates but counting: a transaction takes [statements of one's own](TenantTx::query). No lazy loading, no
//! identity map, no saving of what was changed in memory. It makes no ids and applies no migrations: [`Schema`] gives the
//! statements. On `SQLite`, which has no row-level security, a statement of one's own that touches a tenant's table is refused.
//!
//! # Example
//! ```
//! use bastide_auth::TenantId;
//! use bastide_context::{Call, Cx};
//! use bastide_db::Database;
//! use bastide_repo::{Entity, Page, Query, RepoError, Schema, TenantDb, Uuid};
//!
//! #[derive(Entity)]
//! #[entity(table = "users", tenant, soft_delete, timestamps)]
//! struct User {
//!     #[entity(id)]
//!     id: Uuid,
//!     #[entity(unique)]
//!     email: String,
//!     name: String,
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), RepoError> {
//! let database = Database::open("sqlite::memory:")?;
//! for statement in Schema::new().with::<User>().create(database.dialect()) {
//!     database.execute(&statement, &[]).await?;
//! }
//! let db = TenantDb::new(database);
//! let users = db.repo::<User>();
//!
//! // A service has it from the call; this is the program's own work for a tenant.
//! let cx = Cx::system("example", Call::new()).for_tenant(TenantId::parse("acme").unwrap());
//! let ada = User { id: Uuid::now_v7(), email: "ada@example.org".into(), name: "Ada".into() };
//! let ada = users.insert(&cx, ada).await?;
//!
//! let rename = UserPatch { name: Some("Ada Lovelace".into()), ..UserPatch::default() };
//! db.transaction(&cx, async |tx| -> Result<(), RepoError> {
//!     users.patch(tx, ada.id, rename).await?;
//!     Ok(())
//! })
//! .await?;
//!
//! let query = Query::new()
//!     .filter(User::EMAIL.eq("ada@example.org").or(User::NAME.starts_with("B")))
//!     .sort(User::NAME.ascending())
//!     .page(Page::first(25));
//! assert_eq!(users.list(&cx, query).await?[0].name, "Ada Lovelace");
//!
//! let other = Cx::system("example", Call::new()).for_tenant(TenantId::parse("umbrella").unwrap());
//! assert!(users.find(&other, ada.id).await?.is_none());
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

// What the derive macro writes names this crate; in it too.
extern crate self as bastide_repo;

mod access;
mod across;
mod audit;
mod column;
mod cursor;
mod ddl;
mod diff;
mod entity;
mod error;
mod field;
mod filter;
mod inspect;
mod query;
mod raw;
mod relation;
mod repo;
mod schema;
mod statement;
mod tenant_db;
mod tenant_tx;
mod write;

pub use access::{Access, Ownership, PerTenant, Shared};
pub use across::AcrossTx;
pub use audit::AuditEntry;
pub use bastide_db::{DbError, Dialect, Row, Value, values};
pub use bastide_macros::Entity;
pub use column::{Column, Relation, Sort};
pub use cursor::Cursor;
pub use diff::{Finding, Problem};
pub use entity::{Entity, ManagedColumn, Patch, Table, TableColumn, Traits, assert_relation};
pub use error::{RepoError, Result};
pub use field::{Field, Json, Key, Kind, given, read};
pub use filter::Filter;
pub use jiff::Timestamp;
pub use query::{Columns, DEFAULT_LIMIT, Found, MAX_LIMIT, Page, Partial, Query};
pub use repo::Repo;
pub use schema::Schema;
pub use tenant_db::TenantDb;
pub use tenant_tx::TenantTx;
pub use uuid::Uuid;
#[doc(hidden)]
pub use {schemars, serde};
