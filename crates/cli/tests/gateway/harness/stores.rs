//! Where a gateway keeps what it keeps.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bastide_testkit::{Database, Postgres, Redis};

/// The two ways to run the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    /// `SQLite` in the data directory and the process's memory.
    Embedded,
    /// Postgres and Redis.
    Servers,
}

/// The servers that one test's gateways share; no other test sees them.
#[derive(Default)]
pub(crate) struct Stores {
    database: Option<Database>,
    redis: Option<Mutex<Redis>>,
}

impl Stores {
    /// A new database and a Redis of its own, or nothing.
    pub(crate) fn of(backend: Backend) -> Self {
        match backend {
            Backend::Embedded => Self::default(),
            Backend::Servers => Self {
                database: Some(Postgres::shared_database().expect("a Postgres for the tests")),
                redis: Some(Mutex::new(Redis::start().expect("a Redis for the test"))),
            },
        }
    }

    /// A Redis and no Postgres.
    pub(crate) fn redis_only() -> Self {
        Self {
            database: None,
            ..Self::of(Backend::Servers)
        }
    }

    /// The URL for `DATABASE_URL`.
    pub(crate) fn database_url(&self) -> Option<String> {
        self.database.as_ref().map(Database::url)
    }

    /// The URL for `REDIS_URL`.
    pub(crate) fn redis_url(&self) -> Option<String> {
        self.redis
            .as_ref()
            .map(|redis| redis.lock().unwrap_or_else(PoisonError::into_inner).url())
    }

    /// The Redis, to be killed and restarted.
    pub(crate) fn redis(&self) -> MutexGuard<'_, Redis> {
        let redis = self.redis.as_ref().expect("this test asked for a Redis");
        redis.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The database, to be asked directly.
    pub(crate) fn database(&self) -> &Database {
        self.database
            .as_ref()
            .expect("this test asked for a Postgres")
    }
}
