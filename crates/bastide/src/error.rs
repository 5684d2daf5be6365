//! Why a program did not start.

use std::path::{Path, PathBuf};

use bastide_auth::{KeyError, TenantIdError};
use bastide_cache::OptionsError;
use bastide_db::{DbError, MigrationError};
use bastide_rpc::{RegistryError, ServeError};
use bastide_store::{StoreError, UrlError};

use crate::app::App;

/// Why a program did not start. Each message says what to do, and none holds a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Something in the configuration; one line for each mistake.
    #[error("{0}")]
    Configuration(String),
    /// A database is used and none is named.
    #[error(
        "the program keeps rows and no database is named; set DATABASE_URL to e.g. postgres://app:password@db.internal/app \
         (development alone uses a file)"
    )]
    NoDatabase,
    /// A shared store is used and none is named.
    #[error(
        "the program shares state between processes and no store is named; set REDIS_URL to e.g. redis://redis.internal:6379 \
         (development alone uses memory)"
    )]
    NoStore,
    /// Methods have to know who calls, and nothing is named by which that could be told.
    #[error(
        "`{entry}` has to know who calls, and no keys are named by which tokens are verified; set auth.secret, auth.jwks_url, \
         auth.public_key_file or auth.service_keys (development alone starts without)"
    )]
    NoKeys {
        /// The first of those methods and routes.
        entry: String,
    },
    /// Work across tenants was asked for, and no role that may do it is named.
    #[error("database.across_url is not set; it names the role that may look across tenants")]
    NoAcross,
    /// The database.
    #[error("the database: {0}")]
    Database(#[from] DbError),
    /// The database's tables.
    #[error("the database's tables: {0}")]
    Migrations(#[from] MigrationError),
    /// Tables, or a role, that do not keep tenants apart.
    #[error("{0} (`db check` says what is wrong, `db diff` what would mend tables)")]
    Isolation(String),
    /// Tables that are not what the entities say.
    #[error(
        "the database's tables are not what the entities say:\n{0}\nrun `db diff` to see what would mend it"
    )]
    Schema(String),
    /// The shared store's URL.
    #[error("store.url: {0}")]
    StoreUrl(#[from] UrlError),
    /// The shared store.
    #[error("the shared store: {0}")]
    Store(#[from] StoreError),
    /// The cache.
    #[error("cache: {0}")]
    Cache(#[from] OptionsError),
    /// A key in `[auth]`.
    #[error("auth: {0}")]
    Key(#[from] KeyError),
    /// A tenant in `[auth]`.
    #[error("auth.service_keys: {0}")]
    Tenant(#[from] TenantIdError),
    /// Limits are to be shared by a store that cannot.
    #[error(
        "rate_limit.storage = \"shared\" needs a Redis server as store; set store.url to one, or storage to \"memory\""
    )]
    UnsharedLimits,
    /// The services do not fit together.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A listener.
    #[error(transparent)]
    Listen(#[from] ServeError),
    /// A file or folder of the program.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file in the folder of migrations.
    #[error("{}: {reason}", path.display())]
    Migration {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No worker has this name.
    #[error("there is no worker `{name}`; there {known}")]
    NoWorker {
        /// What was asked for.
        name: String,
        /// Which there are.
        known: String,
    },
    /// A worker process ended while the program ran.
    #[error(
        "the worker `{name}` ended ({status}); the program stops with it, so that whoever supervises it sees that"
    )]
    WorkerEnded {
        /// Which one.
        name: String,
        /// How.
        status: String,
    },
}

impl StartError {
    /// What the system said about this file or folder.
    pub(crate) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }

    pub(crate) fn no_worker(name: &str, app: &App) -> Self {
        let known: Vec<_> = app.workers.iter().map(|worker| worker.name).collect();
        let known = match &known[..] {
            [] => "are none".to_owned(),
            [one] => format!("is `{one}`"),
            several => format!("are {}", several.join(", ")),
        };
        Self::NoWorker {
            name: name.to_owned(),
            known,
        }
    }
}

/// An error and its causes in one line, as everything that is read by people and programs alike. Some errors say their cause
/// themselves, which is then not said again.
pub(crate) fn with_causes(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}
