//! Postgres and `SQLite` behind one thin API: statements, transactions, migrations and a signal for changes.
//!
//! The statement is the interface: SQL that both databases understand, with `$1`, `$2`, ... for its parameters, [`Value`]s
//! in and [`Row`]s out. Where the two differ, [`Database::dialect`] tells which one it is.
//!
//! Invariants:
//! - **Nobody is ever inside somebody else's transaction.** A connection is dirty from before `BEGIN` until the answer to
//!   `COMMIT` or `ROLLBACK` was read, and a dirty one does not go back to the pool. So every future here may be dropped at
//!   any await.
//! - **Every wait is bounded** by [`Options`]: a database that is gone is an error within seconds, never a hang.
//! - **No session state** behind a pooler: unnamed statements and transaction-local settings only, so that `PgBouncer` in
//!   transaction mode may stand between. A direct connection prepares its statements ([`Options::prepared_statements`]). Only
//!   `LISTEN` needs a connection of its own, for which there is [`Options::direct_url`].
//! - **No password is ever shown**, neither in errors nor in logs nor by `Debug`.
//!
//! Deliberately absent: a query builder and entities (they are `bastide-repo`'s), and retries (only the caller knows what
//! may be repeated).
//!
//! ```
//! use bastide_db::{Database, DbError, Migration, Migrations, values};
//!
//! const SCHEMA: Migrations = Migrations {
//!     component: "example",
//!     steps: &[Migration {
//!         name: "0001_people",
//!         postgres: "CREATE TABLE people (id bigint PRIMARY KEY, name text NOT NULL)",
//!         sqlite: "CREATE TABLE people (id integer PRIMARY KEY, name text NOT NULL)",
//!     }],
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), DbError> {
//! let database = Database::open("sqlite::memory:")?;
//! SCHEMA.migrate(&database).await?;
//! database
//!     .transaction(async |transaction| {
//!         transaction.execute("INSERT INTO people VALUES ($1, $2)", &values![1_i64, "Ada"]).await
//!     })
//!     .await?;
//! let row = database.query_opt("SELECT name FROM people WHERE id = $1", &values![1_i64]).await?;
//! assert_eq!(row.unwrap().get::<String>("name")?, "Ada");
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod database;
mod error;
mod listen;
mod local;
mod migrate;
mod options;
mod postgres;
mod sqlite;
mod transaction;
mod url;
mod value;

pub use database::{Database, Dialect};
pub use error::{Constraint, DbError, MigrationError, Result};
pub use listen::Changes;
pub use local::Local;
pub use migrate::{Migration, MigrationStatus, Migrations};
pub use options::Options;
pub use transaction::{BatchError, Transaction};
pub use value::{FromValue, Row, Value};
