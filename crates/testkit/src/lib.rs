//! Real servers for tests: private, on free ports, in temporary folders, and gone afterwards.
//!
//! - [`Postgres`] and [`Redis`] start a server of the test's own, which it may kill, pause, stop and restart.
//! - [`RedisCluster`] and [`RedisSentinel`] start several that know each other.
//! - [`PgBouncer`] stands in front of a Postgres, in transaction mode.
//! - [`Postgres::shared_database`] and [`Redis::shared_url`] use one server for many tests: the one that `cargo xtask test`
//!   started, else one for the process.
//! - [`binaries`] finds the programs, or names the package to install.
//!
//! # Invariants
//! - A server dies with the process that started it, however that ends (on Linux, through the parent-death signal).
//! - Nothing here uses a server or a folder that someone else made, except through the `BASTIDE_TEST_*` variables.
//! - Waiting is for a condition, with a deadline; a deadline that passes is an error with the end of the server's log.
//!
//! # What it deliberately does not do
//! No containers, no downloads, no client libraries: tests bring their own. It installs nothing.
//!
//! # Variables
//! | name | meaning |
//! |---|---|
//! | `BASTIDE_TEST_POSTGRES_URL` | a superuser's URL of a shared server |
//! | `BASTIDE_TEST_REDIS_URL` | the URL of a shared server |
//! | `BASTIDE_TEST_POSTGRES_BIN` | the folder with `postgres`, `initdb`, `psql` |
//! | `BASTIDE_TEST_REDIS_BIN` | the path of `redis-server` |
//!
//! # Example
//! ```no_run
//! use bastide_testkit::{Postgres, Redis};
//!
//! let database = Postgres::shared_database().unwrap();
//! println!("an empty database: {}", database.url());
//!
//! let mut redis = Redis::start().unwrap();
//! redis.kill();
//! redis.restart().unwrap();
//! println!("up again, empty, on the same port: {}", redis.url());
//! ```
#![forbid(unsafe_code)]

pub mod binaries;
mod folder;
mod pgbouncer;
mod postgres;
mod process;
mod redis;
mod redis_cluster;
mod redis_sentinel;
mod wait;

use std::io;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub use binaries::{Missing, Package};
pub use folder::TestFolder;
pub use pgbouncer::PgBouncer;
pub use postgres::{Database, Postgres};
pub use redis::Redis;
pub use redis_cluster::RedisCluster;
pub use redis_sentinel::RedisSentinel;
pub use wait::until;

/// Why a server could not be used.
#[derive(Debug, thiserror::Error)]
pub enum TestkitError {
    /// A program is not installed.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// A program could not be run, or a folder not be made.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What the system says.
        source: io::Error,
    },
    /// A program ended with an error.
    #[error("{program} failed: {output}")]
    Failed {
        /// The program.
        program: String,
        /// The end of what it printed.
        output: String,
    },
    /// A server did not answer in time.
    #[error("{program} did not answer within {patience:?}; the end of its log: {log}")]
    Silent {
        /// The program.
        program: String,
        /// How long was waited.
        patience: Duration,
        /// The end of its log.
        log: String,
    },
}

impl TestkitError {
    fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }
}

/// A TCP port on 127.0.0.1 that nobody listens on at the moment.
///
/// Another process may take it before it is used; who starts a server on it should be ready to try again.
///
/// # Panics
/// If the machine has no free port.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
    listener
        .local_addr()
        .expect("a bound socket has an address")
        .port()
}

/// A name that no other test has: for databases, key prefixes, files.
pub fn unique(prefix: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!(
        "{prefix}_{}_{count}_{:08x}",
        std::process::id(),
        fastrand::u32(..)
    )
}
