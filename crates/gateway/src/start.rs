//! What a start needs: a data directory, an admin key, a configuration from wherever there is one.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bastide_config::Secret;
use bastide_db::Database;
use bastide_limit::{Limiter, SharedOptions};
use bastide_store::{RedisOptions, RedisUrl, Store};
use tokio::sync::mpsc;

use crate::control::{Control, DiskError};
use crate::data::listen::ListenError;
use crate::data::tls::TlsError;
use crate::declare::{Author, ChangeSet};
use crate::keys::Keys;
use crate::legacy_keys::Upgrade;
use crate::maintenance::DEFAULT_PAGE;
use crate::model::{ApiKey, KeyHash, ManagedBy, State};
use crate::repository::{CommitError, Repository};
use crate::settings::{Environment, Settings, StorageSettings};
use crate::upstream::trust::TrustError;

/// Why the gateway did not start. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory or a file in it.
    #[error("{}: {error}; choose another directory with --data-dir", path.display())]
    DataDir {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The page of maintenance mode.
    #[error("{}: {error}; give a readable file with --maintenance-page", path.display())]
    Page {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A listener.
    #[error(transparent)]
    Listen(ListenError),
    /// The Admin API cannot be beside the routes and on a socket of its own.
    #[error(
        "a socket was handed over as `admin` (LISTEN_FDNAMES), but --admin-listen is `same`; give an address there or no such \
         socket"
    )]
    TwoAdminListeners,
    /// The certificate of the public listener.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The roots by which upstreams are believed.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A socket that was opened.
    #[error("a listening socket failed: {0}")]
    Socket(io::Error),
    /// A worker.
    #[error("a worker thread cannot be started: {0}; give fewer with --workers")]
    Thread(io::Error),
    /// The database's URL or the database.
    #[error("{0}")]
    Database(String),
    /// The disk of the database's file, where there is nothing else to serve.
    #[error(
        "{0}; there is no earlier configuration of this database that could be served meanwhile"
    )]
    Disk(String),
    /// A wrong role, password or database.
    #[error("{0}; correct the role, the password or the database's name in DATABASE_URL")]
    Refused(String),
    /// The database's tables are not those of this program.
    #[error(
        "the database answers, but cannot be used: {0}; run the version that it was last used with, or restore it from a backup"
    )]
    Unusable(String),
    /// The database's file is damaged.
    #[error("{0}")]
    Damaged(String),
    /// The database is older than this program.
    #[error(
        "the database has {0} pending {noun}; run `bastide gateway migrate` first",
        noun = if *.0 == 1 { "migration" } else { "migrations" }
    )]
    PendingMigrations(usize),
    /// The database was made with another pepper.
    #[error(
        "the keys in this database were hashed with another pepper; set BASTIDE_KEY_PEPPER to the one they were made with"
    )]
    WrongPepper,
    /// The shared store's URL.
    #[error("REDIS_URL: {0}")]
    Store(String),
    /// The declarative file.
    #[error("{0}")]
    File(String),
    /// The last good state on disk.
    #[error(transparent)]
    Snapshot(#[from] DiskError),
}

/// How long a start waits for its database before it serves the last good state from disk.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a first start waits, which has nothing else to serve: a database that boots beside it takes a while.
const FIRST_PATIENCE: Duration = Duration::from_secs(20);

/// Between two tries.
const RETRY: Duration = Duration::from_millis(250);

/// The setting that holds the pepper which was made here.
const PEPPER: &str = "key_pepper";
/// The setting that tells whether a given pepper is the right one.
const PEPPER_PROOF: &str = "key_pepper_proof";

/// What is hashed to compare peppers without keeping them.
const PROOF_TEXT: &str = "bastide key pepper";

/// Descriptors that are not there for connections: files, listening sockets, the database's; and those of each worker.
const OWN_DESCRIPTORS: u64 = 64;
const OWN_DESCRIPTORS_OF_WORKER: u64 = 8;

/// How many connections of clients may be open at a time: as many as was said, or as many as there are descriptors for, where
/// each needs one more for an upstream.
pub(crate) fn max_connections(settings: &Settings, descriptors: u64) -> usize {
    let own = OWN_DESCRIPTORS + OWN_DESCRIPTORS_OF_WORKER * settings.workers as u64;
    let room = usize::try_from(descriptors.saturating_sub(own) / 2).unwrap_or(usize::MAX);
    match settings.max_connections {
        None => room.max(1),
        Some(wanted) => {
            if wanted > room {
                tracing::warn!(
                    max_connections = wanted,
                    open_files = descriptors,
                    "the limit of open files is too low for so many connections and as many to upstreams; raise it (LimitNOFILE= of systemd)"
                );
            }
            wanted
        }
    }
}

/// Lets this process open as many descriptors as it may at all: the usual soft limit, 1 024, is for programs that use
/// `select`, and would be reached by some hundreds of clients. Returns how many it may open.
pub(crate) fn raise_descriptor_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let in_force = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files stays where it is");
            limit
        }
    };
    // None is no limit.
    in_force.current.unwrap_or(u64::MAX)
}

/// Makes the directory, for its owner alone.
pub(crate) fn make_data_dir(path: &Path) -> Result<(), StartError> {
    let fail = |error| StartError::DataDir {
        path: path.to_owned(),
        error,
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(fail)
}

/// The admin key.
pub(crate) struct AdminKey {
    pub(crate) key: Secret,
    /// Whether nobody knows it yet.
    pub(crate) was_made: bool,
}

/// The given admin key, or the one in the data directory, made at the first start.
pub(crate) fn admin_key(settings: &Settings) -> Result<AdminKey, StartError> {
    if let Some(key) = &settings.admin_key {
        return Ok(AdminKey {
            key: key.clone(),
            was_made: false,
        });
    }
    let path = settings.data_dir.join("admin.key");
    let fail = |error| StartError::DataDir {
        path: path.clone(),
        error,
    };
    match fs::read_to_string(&path) {
        Ok(key) if !key.trim().is_empty() => {
            return Ok(AdminKey {
                key: Secret::new(key.trim()),
                was_made: false,
            });
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(fail(error)),
    }
    let key = Keys::random_secret();
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .map_err(fail)?;
    writeln!(file, "{key}")
        .and_then(|()| file.sync_all())
        .map_err(fail)?;
    Ok(AdminKey {
        key: Secret::new(key),
        was_made: true,
    })
}

pub(crate) fn maintenance_page(path: Option<&Path>) -> Result<Arc<str>, StartError> {
    match path {
        None => Ok(DEFAULT_PAGE.into()),
        Some(path) => fs::read_to_string(path)
            .map(Arc::from)
            .map_err(|error| StartError::Page {
                path: path.to_owned(),
                error,
            }),
    }
}

/// The shared store and the limiter over it.
pub(crate) fn stores(settings: &Settings) -> Result<(Store, Limiter), StartError> {
    let Some(url) = &settings.redis_url else {
        return Ok((Store::memory(), Limiter::local()));
    };
    let wrong = |error: &dyn std::fmt::Display| StartError::Store(error.to_string());
    let url = RedisUrl::parse(url.expose()).map_err(|error| wrong(&error))?;
    let store = Store::redis(&url, RedisOptions::default()).map_err(|error| wrong(&error))?;
    let redis = store
        .as_redis()
        .expect("a store made by a Redis URL is Redis")
        .clone();
    let (limiter, leasing) = Limiter::shared(redis, SharedOptions::default());
    tokio::spawn(leasing);
    Ok((store, limiter))
}

/// What a start found.
pub(crate) struct Loaded {
    pub(crate) repository: Repository,
    pub(crate) state: State,
    pub(crate) pepper: String,
    /// Whether the database was down.
    pub(crate) is_from_disk: bool,
}

/// Opens the database that the settings name.
pub fn open(storage: &StorageSettings) -> Result<Repository, StartError> {
    make_data_dir(&storage.data_dir)?;
    let database = Database::open(&storage.url());
    let database = database.map_err(|error| StartError::Database(error.to_string()))?;
    Ok(Repository::new(database))
}

/// Opens the database and brings its tables up to date.
pub async fn open_migrated(storage: &StorageSettings) -> Result<Repository, StartError> {
    let repository = open(storage)?;
    repository.migrate().await.map_err(|error| match error {
        CommitError::Unusable(error) => StartError::Unusable(error),
        CommitError::Damaged(error) => StartError::Damaged(error),
        CommitError::Refused(error) => StartError::Refused(error),
        error => StartError::Database(error.to_string()),
    })?;
    Ok(repository)
}

/// Reads the configuration from the database, or, while that is down, from the last good state on disk.
pub(crate) async fn load(settings: &Settings) -> Result<Loaded, StartError> {
    let repository = open(&settings.storage())?;
    let snapshot = settings.data_dir.join("snapshot.json");
    let patience = if snapshot.exists() {
        PATIENCE
    } else {
        FIRST_PATIENCE
    };
    let mut last = None;
    let reading = persist(settings, &repository, &mut last);
    let failed = match tokio::time::timeout(patience, reading).await {
        Ok(Ok((state, pepper))) => {
            return Ok(Loaded {
                repository,
                state,
                pepper,
                is_from_disk: false,
            });
        }
        Ok(Err(ReadError::Fatal(error))) => return Err(error),
        Ok(Err(ReadError::Unavailable(error))) => error,
        Err(_) => last.unwrap_or_else(|| {
            let words = format!("nothing came from it within {} s", patience.as_secs());
            CommitError::Unavailable(words)
        }),
    };
    let source = crate::control::source(repository.database().name());
    match Control::saved(&snapshot)? {
        Some(saved) => {
            // Its tenants are not those of this database, and would be let in.
            if let Some(other) = saved.other_source(&source) {
                return Err(nothing_to_serve(
                    failed,
                    &format!(
                        "the last good configuration in the data directory is of another one ({other})"
                    ),
                ));
            }
            tracing::warn!(
                error = %failed,
                "the database is unavailable; serving the last good configuration"
            );
            let pepper = saved.pepper().to_owned();
            Ok(Loaded {
                repository,
                state: saved.into_state(),
                pepper,
                is_from_disk: true,
            })
        }
        None => Err(nothing_to_serve(
            failed,
            "there is no earlier configuration in the data directory",
        )),
    }
}

/// Why a start ends whose database does not answer: `instead` says what stands in the data directory.
fn nothing_to_serve(failed: CommitError, instead: &str) -> StartError {
    match failed {
        // The database is the right one; its own words say what to do.
        CommitError::Disk(error) => StartError::Disk(error),
        error => StartError::Database(format!(
            "the database is unavailable ({error}), and {instead}; check DATABASE_URL and that the database runs"
        )),
    }
}

/// Reads the configuration as soon as the database lets us. `last` is why it did not at the last try. A full disk is not waited
/// for: it does not boot, as a server may.
async fn persist(
    settings: &Settings,
    repository: &Repository,
    last: &mut Option<CommitError>,
) -> Result<(State, String), ReadError> {
    loop {
        match read(settings, repository).await {
            Err(ReadError::Unavailable(error)) if !matches!(error, CommitError::Disk(_)) => {
                if last.is_none() {
                    tracing::warn!(%error, "the database is unavailable; trying again");
                }
                *last = Some(error);
                tokio::time::sleep(RETRY).await;
            }
            read => return read,
        }
    }
}

enum ReadError {
    Unavailable(CommitError),
    Fatal(StartError),
}

impl From<CommitError> for ReadError {
    fn from(error: CommitError) -> Self {
        match error {
            // To serve what was last known would hide it until a change is wanted.
            CommitError::Unusable(error) => Self::Fatal(StartError::Unusable(error)),
            CommitError::Damaged(error) => Self::Fatal(StartError::Damaged(error)),
            CommitError::Refused(error) => Self::Fatal(StartError::Refused(error)),
            error => Self::Unavailable(error),
        }
    }
}

async fn read(settings: &Settings, repository: &Repository) -> Result<(State, String), ReadError> {
    if settings.environment == Environment::Production {
        let pending = repository.pending_migrations().await?;
        if pending > 0 {
            return Err(ReadError::Fatal(StartError::PendingMigrations(pending)));
        }
    } else {
        repository.migrate().await?;
    }
    let pepper = pepper(settings.key_pepper.as_ref(), repository).await?;
    let loaded = repository.load(0).await?;
    for problem in &loaded.problems {
        tracing::error!(%problem, "a stored object cannot be read and is left out");
    }
    let mut state = State::default();
    state.apply(loaded.delta);
    Ok((state, pepper))
}

/// The pepper of this installation: the given one, if it is that of the database, else the one made by the first node.
async fn pepper(given: Option<&Secret>, repository: &Repository) -> Result<String, ReadError> {
    let Some(given) = given else {
        return Ok(repository
            .setting_or_insert(PEPPER, &Keys::random_secret())
            .await?);
    };
    let proof = String::from(Keys::new(given.expose().as_bytes()).hash(PROOF_TEXT));
    let made_here = repository
        .setting(PEPPER)
        .await?
        .is_some_and(|made| made != given.expose());
    if made_here || repository.setting_or_insert(PEPPER_PROOF, &proof).await? != proof {
        return Err(ReadError::Fatal(StartError::WrongPepper));
    }
    Ok(given.expose().to_owned())
}

/// The key maker for commands that work on the database alone.
pub async fn keys(storage: &StorageSettings, repository: &Repository) -> Result<Keys, StartError> {
    match pepper(storage.key_pepper.as_ref(), repository).await {
        Ok(pepper) => Ok(Keys::new(pepper.as_bytes())),
        Err(ReadError::Fatal(error)) => Err(error),
        Err(ReadError::Unavailable(error)) => Err(StartError::Database(error.to_string())),
    }
}

/// Keeps as HMAC what was verified by bcrypt.
pub(crate) async fn rewrite_legacy_keys(
    control: Arc<Control>,
    mut upgraded: mpsc::UnboundedReceiver<Upgrade>,
) {
    while let Some(Upgrade { id, digest }) = upgraded.recv().await {
        let state = control.state();
        // A key of the declarative file keeps the hash that stands there, or each look at the file would put it back.
        let may_rewrite = |key: &&Arc<ApiKey>| {
            matches!(key.hash, KeyHash::Bcrypt(_)) && key.managed_by == ManagedBy::Api
        };
        let Some(key) = state.keys.get(&id).filter(may_rewrite) else {
            continue;
        };
        let author = Author {
            actor: "system",
            request_id: None,
            now: jiff::Timestamp::now(),
        };
        let mut rewritten = (**key).clone();
        rewritten.hash = KeyHash::Hmac(digest);
        rewritten.version += 1;
        rewritten.updated_at = author.now;
        let mut changes = ChangeSet::new(&author);
        changes.update("rehash", &**key, rewritten);
        if let Err(error) = control.commit(changes.into_commit()).await {
            // It stays valid by bcrypt on this node, and the next start tries again.
            tracing::warn!(key = %id, %error, "an imported key could not be rewritten");
        }
    }
}
