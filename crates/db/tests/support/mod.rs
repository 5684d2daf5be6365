//! The same test on both databases.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program includes this and uses a part"
)]

use std::time::Duration;

use bastide_db::{Database, Options};
use bastide_testkit::{Postgres, TestFolder};

/// Generous: what takes longer than this does not happen.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// An empty database, gone when dropped.
pub enum Fixture {
    Sqlite(TestFolder),
    Postgres(bastide_testkit::Database),
}

impl Fixture {
    pub fn sqlite() -> Self {
        Self::Sqlite(TestFolder::new().unwrap())
    }

    pub fn postgres() -> Self {
        Self::Postgres(Postgres::shared_database().unwrap())
    }

    pub fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite:{}", folder.path().join("test.db").display()),
            Self::Postgres(database) => database.url(),
        }
    }

    pub fn open(&self) -> Database {
        Database::open(&self.url()).unwrap()
    }

    /// With a single connection, so that every caller gets the one the last caller had.
    pub fn open_single(&self) -> Database {
        let options = Options {
            max_connections: 1,
            ..Options::default()
        };
        Database::open_with(&self.url(), options).unwrap()
    }
}

/// Makes two tests of each function that takes a fixture.
#[macro_export]
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(&$crate::support::Fixture::sqlite()).await; })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(&$crate::support::Fixture::postgres()).await; })*
        }
    };
}
