//! An empty database with the tables, callers, and settings of several kinds.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program includes this and uses a part"
)]

use std::time::Duration;

use bastide_auth::{Claims, Issuer, Keys, SigningKey, Verifier};
use bastide_config::Secret;
use bastide_context::{Call, Cx, Known};
use bastide_db::{Database, Options};
use bastide_settings::{Declared, Kind, MIGRATIONS, Setting, Settings};
use bastide_testkit::{Postgres, TestFolder};

/// Generous: what takes longer than this does not happen.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// What is promised.
pub const PROMISED: Duration = Duration::from_secs(1);

pub const MAX_UPLOAD: Setting<u64> = Setting::new("uploads.max_mb", 100)
    .range(1..=10_000)
    .describe("The largest upload, in megabytes.");
pub const MODE: Setting<String> = Setting::new("uploads.mode", "fast").one_of(&["fast", "careful"]);
pub const COMMISSION: Setting<f64> = Setting::new("commission", 0.05).range(0.0..=0.5);
pub const GRACE: Setting<Duration> =
    Setting::new("grace", Duration::from_secs(90)).range(Duration::ZERO..=Duration::from_hours(1));
pub const BETA: Setting<bool> = Setting::new("beta", false);
pub const TESTERS: Setting<Vec<String>> =
    Setting::<Vec<String>>::new("testers", &["ada"]).check(named);
pub const OFFSET: Setting<i64> = Setting::new("offset", 0);

pub const ALL: &[&'static dyn Declared] = &[
    &MAX_UPLOAD,
    &MODE,
    &COMMISSION,
    &GRACE,
    &BETA,
    &TESTERS,
    &OFFSET,
];

#[allow(clippy::ptr_arg, reason = "the shape of a check")]
fn named(testers: &Vec<String>) -> Result<(), String> {
    if testers.iter().all(|name| !name.is_empty()) {
        Ok(())
    } else {
        Err("a tester has a name".to_owned())
    }
}

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

    /// Without a poll, so that it is the notification that is seen.
    pub fn open_quiet(&self) -> Database {
        let quiet = Options {
            poll_interval: Some(Duration::from_secs(3_600)),
            ..Options::default()
        };
        Database::open_with(&self.url(), quiet).unwrap()
    }

    /// As one process, with the tables.
    pub async fn settings(&self) -> Settings {
        let database = self.open();
        MIGRATIONS.migrate(&database).await.unwrap();
        Settings::open(&database, ALL).await.unwrap()
    }
}

/// Somebody of this name and role.
pub fn token(name: &str, role: &str) -> (Secret, Verifier) {
    let secret = Secret::new("a secret of at least thirty-two bytes");
    let issuer = Issuer::new(SigningKey::hs256(&secret).unwrap());
    let token = issuer.sign(&Claims::new(name).role(role)).unwrap();
    (token, Verifier::new(Keys::hs256(&secret).unwrap()))
}

pub async fn caller(name: &str, call: Call) -> Cx<Known> {
    let (token, verifier) = token(name, "admin");
    let identity = verifier.verify(token.expose()).await.unwrap();
    Cx::enter(call, Some(identity)).unwrap()
}

pub async fn ada() -> Cx<Known> {
    caller("ada", Call::new()).await
}

/// Waits until a setting has this value, without asking the database.
pub async fn sees<T: Kind + PartialEq>(
    settings: &Settings,
    setting: &Setting<T>,
    value: &T,
    limit: Duration,
) {
    let mut changes = settings.subscribe();
    let seen = async {
        while settings.get(setting) != *value {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(limit, seen)
        .await
        .expect("the change is seen in time");
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
