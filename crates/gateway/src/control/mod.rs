//! The control plane's centre: the current [`State`], the one way to change it, and what follows from a change.
//!
//! Every node works by its own copy of the state. A change goes to the repository first; from there each node, this one
//! included, learns it as a delta, builds a snapshot beside the running one and swaps. So there is one order of changes,
//! the repository's, and losing the repository stops changes, never traffic.

mod disk;
mod source;
mod writes;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, Notify};

use self::writes::Writes;
use crate::keys::Keys;
use crate::model::{Audit, Delta, State};
use crate::repository::{AuditQuery, Commit, CommitError, Repository};

pub use disk::{DiskError, Saved};
pub use source::source;

/// Receives each new state. Called off the data path, one state at a time.
pub type Publish = Box<dyn Fn(&Arc<State>) + Send + Sync>;

/// How long to wait before asking an unavailable repository again.
const RETRY: Duration = Duration::from_secs(1);

/// Changes that come within this time are saved to disk together.
const SAVE_DELAY: Duration = Duration::from_millis(200);

/// Does what takes long where there are many objects, while everything else that this thread had to do is done by another one. It
/// is not a task of its own, so that it is neither given up halfway nor overtaken by the next change.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

/// What the log was told of a repository that cannot be read: each new reason once, and its end.
#[derive(Default)]
struct Told(Option<String>);

impl Told {
    fn failed(&mut self, error: &CommitError) {
        let words = error.to_string();
        if self.0.as_ref() == Some(&words) {
            return;
        }
        match error {
            CommitError::Damaged(_) | CommitError::Unusable(_) => {
                tracing::error!(%error, "the configuration cannot be read before somebody repairs the database; the last known one stays in force");
            }
            _ => {
                tracing::warn!(%error, "the configuration cannot be read; the last known one stays in force");
            }
        }
        self.0 = Some(words);
    }

    fn succeeded(&mut self) {
        if self.0.take().is_some() {
            tracing::info!("the configuration can be read again");
        }
    }
}

/// Owns the state and its repository. Shared by the Admin API, the declarative file and the data plane's snapshots.
pub struct Control {
    repository: Repository,
    state: ArcSwap<State>,
    keys: Keys,
    pepper: String,
    publish: Publish,
    /// Held while a delta is fetched and applied, so that states are published in order.
    turn: Mutex<()>,
    changed: Notify,
    reachable: AtomicBool,
    writes: Writes,
    snapshot_file: PathBuf,
}

impl Control {
    /// Starts from the given state, which is published at once. `reachable` says whether it came from the repository.
    pub fn new(
        repository: Repository,
        start: State,
        pepper: String,
        snapshot_file: PathBuf,
        reachable: bool,
        publish: Publish,
    ) -> Self {
        let keys = Keys::new(pepper.as_bytes());
        let state = Arc::new(start);
        publish(&state);
        let changed = Notify::new();
        if reachable {
            // What is on disk may be older, or not there.
            changed.notify_one();
        }
        Self {
            repository,
            state: ArcSwap::new(state),
            keys,
            pepper,
            publish,
            turn: Mutex::new(()),
            changed,
            reachable: AtomicBool::new(reachable),
            writes: Writes::default(),
            snapshot_file,
        }
    }

    /// The configuration as this node knows it. Never blocks, needs no database.
    pub fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// Writes the changes and returns the state that includes them. When this returns, this node's data plane already
    /// works by them.
    pub async fn commit(&self, commit: Commit) -> Result<Arc<State>, CommitError> {
        // Kept as text, in one piece: thousands of objects that live just while the next snapshot is built would leave
        // holes all over its memory.
        let changes = aside(|| serde_json::to_vec(&commit.changes)).map_err(|error| {
            CommitError::Unavailable(format!("a change has no JSON form: {error}"))
        })?;
        let written = self.repository.commit(commit).await;
        self.writes.note(&written);
        written?;
        if let Err(error) = self.sync().await {
            // It is written, so it must be said and done, although it cannot be read back now. The revision stays, and the
            // next look fetches the changes in the order that everybody sees.
            tracing::warn!(%error, "a change was written but not read back; it is in force on this node at once");
            let _turn = self.turn.lock().await;
            aside(|| {
                let mut next = State::clone(&self.state.load());
                next.apply(Delta {
                    revision: next.revision,
                    changes: serde_json::from_slice(&changes)
                        .expect("changes read back from the text that was made of them"),
                });
                self.publish(next);
            });
        }
        Ok(self.state())
    }

    /// A page of the audit log, newest first.
    pub async fn audit(&self, query: &AuditQuery) -> Result<Vec<Audit>, CommitError> {
        self.repository.audit(query).await
    }

    /// Makes and hashes API keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Whether the repository answered the last time it was asked.
    pub fn is_repository_reachable(&self) -> bool {
        self.reachable.load(Ordering::Relaxed)
    }

    /// Whether the disk of the database was full or failed at the last write.
    pub fn is_disk_failing(&self) -> bool {
        self.writes.are_refused()
    }

    /// Fetches what changed and publishes it.
    pub async fn sync(&self) -> Result<(), CommitError> {
        let _turn = self.turn.lock().await;
        let known = self.state.load_full();
        let loaded = self.repository.load(known.revision).await;
        self.reachable.store(loaded.is_ok(), Ordering::Relaxed);
        let loaded = loaded?;
        for problem in &loaded.problems {
            tracing::error!(%problem, "a stored object cannot be read and is left out");
        }
        if loaded.delta.revision == known.revision {
            return Ok(());
        }
        aside(|| {
            let mut next = if loaded.is_complete {
                State::default()
            } else {
                State::clone(&known)
            };
            next.apply(loaded.delta);
            self.publish(next);
        });
        Ok(())
    }

    fn publish(&self, next: State) {
        let next = Arc::new(next);
        (self.publish)(&next);
        self.state.store(next);
        self.changed.notify_one();
    }

    /// Follows the repository for ever.
    pub async fn follow(&self) {
        let mut changes = self.repository.changes();
        let mut told = Told::default();
        loop {
            if let Err(error) = self.sync().await {
                told.failed(&error);
                tokio::time::sleep(RETRY).await;
                continue;
            }
            told.succeeded();
            tokio::select! {
                () = changes.changed() => {}
                () = self.writes.are_due_for_a_try() => {
                    self.writes.note(&self.repository.check_writable().await);
                }
            }
        }
    }

    /// Keeps the last good state on disk, for a start at which the repository is down.
    pub async fn save(self: Arc<Self>) {
        loop {
            self.changed.notified().await;
            tokio::time::sleep(SAVE_DELAY).await;
            let this = Arc::clone(&self);
            let saved = tokio::task::spawn_blocking(move || {
                disk::save(
                    &this.snapshot_file,
                    &Saved::new(
                        &this.state(),
                        &this.pepper,
                        &source(this.repository.database().name()),
                    ),
                )
            });
            if let Ok(Err(error)) = saved.await {
                tracing::warn!(%error, "the snapshot on disk is out of date; serving goes on, it is tried again");
                self.changed.notify_one();
                tokio::time::sleep(RETRY * 10).await;
            }
            crate::sys::release_memory();
        }
    }

    /// Reads the last good state from disk, if there is one.
    pub fn saved(snapshot_file: &std::path::Path) -> Result<Option<Saved>, DiskError> {
        disk::load(snapshot_file)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use bastide_db::Database;
    use bastide_testkit::TestFolder;
    use jiff::Timestamp;
    use tokio::runtime::Handle;
    use uuid::Uuid;

    use super::*;
    use crate::model::{Change, ManagedBy, Tenant};

    fn tenant() -> Tenant {
        let now = Timestamp::UNIX_EPOCH;
        Tenant {
            id: Uuid::now_v7(),
            name: "acme".to_owned(),
            tier: "pro".to_owned(),
            rate_limit: None,
            is_active: true,
            managed_by: ManagedBy::Api,
            created_at: now,
            updated_at: now,
            version: 1,
        }
    }

    /// To compile ten thousand routes takes long; `/metrics` and `/ready` are answered by the same thread.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn publishing_leaves_the_thread_to_others() {
        let folder = TestFolder::new().unwrap();
        let url = format!("sqlite:{}", folder.path().join("test.db").display());
        let repository = Repository::new(Database::open(&url).unwrap());
        repository.migrate().await.unwrap();
        let runtime = Handle::current();
        let publish = move |state: &Arc<State>| {
            if state.tenants.is_empty() {
                return;
            }
            let (say, heard) = channel();
            runtime.spawn(async move { say.send(()).unwrap() });
            heard
                .recv_timeout(Duration::from_secs(10))
                .expect("the one thread does something else meanwhile");
        };
        let control = Arc::new(Control::new(
            repository,
            State::default(),
            "pepper".to_owned(),
            folder.path().join("snapshot.json"),
            true,
            Box::new(publish),
        ));
        let commit = Commit {
            changes: vec![Change::PutTenant(tenant())],
            ..Commit::default()
        };
        // On the one thread, where the test itself is not.
        let committed = tokio::spawn(async move { control.commit(commit).await });
        assert_eq!(committed.await.unwrap().unwrap().tenants.len(), 1);
    }
}
