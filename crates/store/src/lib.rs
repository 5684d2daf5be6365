//! The shared store: small values that several processes see, in one process's memory, in a file or in Redis.
//!
//! [`Store::memory`] serves one process and needs nothing; [`Store::sqlite`] serves the processes of one machine;
//! [`Store::redis`] serves a fleet, from one server, a Redis Cluster or a master that sentinels watch ([`RedisUrl`]). All
//! answer to the same operations, and one conformance suite holds them to the same meaning. Each concern works in a
//! [`Namespace`], which is a prefix of its keys (Redis Cluster has only one database) and may also have a database of its
//! own ([`Store::redis_with_databases`]); [`Store::raw`] reaches keys as they are, for those that operators set by hand.
//!
//! Invariants:
//!
//! - **No call waits without bound.** Every one ends within [`RedisOptions::response_timeout`] or
//!   [`SqliteOptions::timeout`], also while the server is away; it then fails with [`StoreError::Unavailable`] or
//!   [`StoreError::Timeout`], and later calls succeed by themselves once the server is back.
//! - **No runtime's thread waits for the disk.** A file is read and written on threads of the store's own.
//! - **Memory and files are bounded.** Values expire, and a store that is full refuses new ones with [`StoreError::Full`]
//!   rather than drop old ones that somebody counts on.
//! - **Tokens of locks only grow.** Whoever takes a lock ([`Store::lock`]) gets a number above those of all before, so that
//!   what a holder that lost it unawares still does can be refused.
//! - **Secrets stay inside.** The password of a URL appears in no error and no `Debug` output.
//! - **No type of the Redis client appears** in this crate's interface.
//!
//! Deliberately absent: transactions over several keys, a promise that values outlive a crash of the machine, key listing, and delivery guarantees for messages
//! ([`Subscription`] says when some may have been missed, and the listener then reads the state itself).
//!
//! ```
//! use std::time::Duration;
//! use bastide_store::{Namespace, Store};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), bastide_store::StoreError> {
//! let store = Store::memory();
//! let sessions = store.namespace(Namespace::Sessions);
//! sessions.set("ada", b"token", Some(Duration::from_mins(1))).await?;
//! assert_eq!(sessions.get("ada").await?.as_deref(), Some(&b"token"[..]));
//! assert_eq!(store.raw().get("sessions:ada").await?.as_deref(), Some(&b"token"[..]));
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod backend;
mod error;
mod lock;
mod memory;
mod namespace;
mod redis;
mod sqlite;
mod store;
mod subscription;
mod url;

pub use backend::{Answer, Backend, Kind, Reply};
pub use error::StoreError;
pub use lock::Guard;
pub use memory::{MemoryLimits, MemoryStore};
pub use namespace::Namespace;
pub use redis::{Call, RedisConnection, RedisOptions, RedisStore, Script};
pub use sqlite::{SqliteOptions, SqliteStore};
pub use store::{Space, Store};
pub use subscription::{Event, Subscription};
pub use url::{RedisUrl, UrlError};
