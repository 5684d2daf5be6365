//! The settings in force, and the one way to change them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bastide_context::{Cx, Known};
use bastide_db::{Changes, Database, Local};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value as Json;
use tokio::sync::{Mutex, watch};
use tokio::task::AbortHandle;

use crate::error::{Result, SettingsError};
use crate::kind::Kind;
use crate::setting::{self, Declared, Held, Setting};
use crate::table::{self, Change, Stored, Write};

/// How long to wait before asking a database again that did not answer.
const RETRY: Duration = Duration::from_millis(500);
/// The most changes that are read at once.
pub(crate) const MAX_HISTORY: u32 = 500;

/// The settings of a program. Cheap to clone; the database is followed while one clone is there.
#[derive(Clone)]
pub struct Settings {
    inner: Arc<Inner>,
    _following: Arc<Following>,
}

struct Inner {
    database: Database,
    declared: Box<[&'static dyn Declared]>,
    snapshot: ArcSwap<Snapshot>,
    /// Held while a snapshot is made, so that they come in order.
    turn: Mutex<()>,
    revision: watch::Sender<u64>,
}

type Snapshot = HashMap<&'static str, Slot>;

/// One setting as it is in force.
#[derive(Clone)]
struct Slot {
    value: Held,
    json: Json,
    /// What the database holds, whatever became of it.
    stored: Option<String>,
    version: u64,
    problem: Option<String>,
}

/// Ends with the last clone.
struct Following(AbortHandle);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A setting as it is in force, for people.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InForce {
    /// Which.
    pub key: String,
    /// What it is for.
    pub description: String,
    /// What it may be.
    pub expected: String,
    /// Its value.
    pub value: Json,
    /// What it is where nothing is set.
    pub default: Json,
    /// Whether something is set.
    pub is_set: bool,
    /// Counts its changes; 0 if there was none.
    pub version: u64,
    /// Why the database's value is not in force, if it is not.
    pub problem: Option<String>,
}

/// A value in the database that its setting refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadValue {
    /// Which setting.
    pub key: &'static str,
    /// The version of the value.
    pub version: u64,
    /// What was expected and what was found.
    pub message: String,
}

impl Settings {
    /// Reads these settings and follows them from now on. To be called within a tokio runtime.
    ///
    /// # Errors
    /// [`SettingsError::Declaration`] for a key twice, a key that is none, or a default that its own setting refuses;
    /// [`SettingsError::Database`] when the database does not answer or its [`MIGRATIONS`](crate::MIGRATIONS) are pending.
    pub async fn open(database: &Database, declared: &[&'static dyn Declared]) -> Result<Self> {
        setting::check(declared).map_err(SettingsError::Declaration)?;
        table::MIGRATIONS.check(database).await?;
        let slots = declared.iter().map(|one| {
            let json = one.default_json();
            let value = one.read(&json).map_err(SettingsError::Declaration)?;
            let slot = Slot {
                value,
                json,
                stored: None,
                version: 0,
                problem: None,
            };
            Ok((one.key(), slot))
        });
        let slots: Snapshot = slots.collect::<Result<_>>()?;
        let inner = Arc::new(Inner {
            database: database.clone(),
            declared: declared.into(),
            snapshot: ArcSwap::from_pointee(slots),
            turn: Mutex::new(()),
            revision: watch::Sender::new(0),
        });
        // Before the first look: what comes between the two is told.
        let changes = database.listen(table::CHANNEL);
        inner.refresh().await?;
        let task = tokio::spawn(follow(Arc::clone(&inner), changes));
        Ok(Self {
            inner,
            _following: Arc::new(Following(task.abort_handle())),
        })
    }

    /// The value in force. It waits for nothing: one look into an immutable map.
    ///
    /// # Panics
    /// If the setting was not given to [`Settings::open`]: nobody would see its changes.
    pub fn get<T: Kind>(&self, setting: &Setting<T>) -> T {
        let snapshot = self.inner.snapshot.load();
        let slot = snapshot.get(setting.key());
        let value = slot.and_then(|slot| slot.value.downcast_ref::<T>());
        let Some(value) = value else {
            panic!(
                "the setting `{}` was not given to `Settings::open` with this type",
                setting.key()
            );
        };
        value.clone()
    }

    /// Changes a setting for every process; here it is in force when this returns. `expected` is the version that the caller
    /// has seen; `None` overrules whatever there is. Gives the new version.
    ///
    /// # Errors
    /// [`SettingsError::Invalid`], [`SettingsError::Stale`], or what the database said.
    pub async fn set<T: Kind>(
        &self,
        cx: &Cx<Known>,
        setting: &Setting<T>,
        value: T,
        expected: Option<u64>,
    ) -> Result<u64> {
        self.set_json(cx, setting.key(), &value.write(), expected)
            .await
    }

    /// As [`Settings::set`] for a value that came as JSON.
    ///
    /// # Errors
    /// As [`Settings::set`], and [`SettingsError::Unknown`].
    pub async fn set_json(
        &self,
        cx: &Cx<Known>,
        key: &str,
        value: &Json,
        expected: Option<u64>,
    ) -> Result<u64> {
        let declared = self.inner.find(key)?;
        if let Err(reason) = declared.read(value) {
            let key = key.to_owned();
            return Err(SettingsError::Invalid { key, reason });
        }
        self.inner.write(cx, declared, Some(value), expected).await
    }

    /// Puts the default in force again, as a change of its own.
    ///
    /// # Errors
    /// [`SettingsError::Unknown`], [`SettingsError::Stale`], or what the database said.
    pub async fn reset(&self, cx: &Cx<Known>, key: &str, expected: Option<u64>) -> Result<u64> {
        let declared = self.inner.find(key)?;
        self.inner.write(cx, declared, None, expected).await
    }

    /// The changes of a setting, newest first: those before this version, or the newest; at most `limit`, and 500.
    ///
    /// # Errors
    /// [`SettingsError::Unknown`], or what the database said.
    pub async fn history(&self, key: &str, before: Option<u64>, limit: u32) -> Result<Vec<Change>> {
        let key = self.inner.find(key)?.key();
        table::history(&self.inner.database, key, before, limit.min(MAX_HISTORY)).await
    }

    /// Every setting as it is in force, in the order in which they were given.
    pub fn list(&self) -> Vec<InForce> {
        let snapshot = self.inner.snapshot.load();
        let each = self.inner.declared.iter();
        each.filter_map(|declared| in_force(*declared, &snapshot))
            .collect()
    }

    /// One setting as it is in force.
    ///
    /// # Errors
    /// [`SettingsError::Unknown`].
    pub fn find(&self, key: &str) -> Result<InForce> {
        let declared = self.inner.find(key)?;
        in_force(declared, &self.inner.snapshot.load())
            .ok_or_else(|| SettingsError::Unknown(key.to_owned()))
    }

    /// The values in the database that are not in force because their settings refuse them.
    pub fn problems(&self) -> Vec<BadValue> {
        let snapshot = self.inner.snapshot.load();
        let bad = |declared: &&'static dyn Declared| {
            let slot = snapshot.get(declared.key())?;
            Some(BadValue {
                key: declared.key(),
                version: slot.version,
                message: slot.problem.clone()?,
            })
        };
        self.inner.declared.iter().filter_map(bad).collect()
    }

    /// Counts up whenever a setting changed, for who has to do something then.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.inner.revision.subscribe()
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let values = self.list().into_iter().map(|one| (one.key, one.value));
        f.debug_map().entries(values).finish()
    }
}

fn in_force(declared: &dyn Declared, snapshot: &Snapshot) -> Option<InForce> {
    let slot = snapshot.get(declared.key())?;
    Some(InForce {
        key: declared.key().to_owned(),
        description: declared.description().to_owned(),
        expected: declared.expected(),
        value: slot.json.clone(),
        default: declared.default_json(),
        is_set: slot.stored.is_some(),
        version: slot.version,
        problem: slot.problem.clone(),
    })
}

impl Inner {
    fn find(&self, key: &str) -> Result<&'static dyn Declared> {
        let found = self.declared.iter().find(|declared| declared.key() == key);
        found
            .copied()
            .ok_or_else(|| SettingsError::Unknown(key.to_owned()))
    }

    /// Reads what is set and puts it in force.
    async fn refresh(&self) -> Result<()> {
        let _turn = self.turn.lock().await;
        let mut stored: HashMap<String, Stored> = table::load(&self.database)
            .await?
            .into_iter()
            .map(|stored| (stored.key.clone(), stored))
            .collect();
        let before = self.snapshot.load_full();
        let mut next = None;
        for declared in &self.declared {
            let (text, version) = stored
                .remove(declared.key())
                .map_or((None, 0), |stored| (stored.text, stored.version));
            let known = &before[declared.key()];
            if known.version == version && known.stored == text {
                continue;
            }
            let slot = known.followed_by(*declared, text, version);
            next.get_or_insert_with(|| Snapshot::clone(&before))
                .insert(declared.key(), slot);
        }
        if let Some(next) = next {
            self.publish(next);
        }
        Ok(())
    }

    async fn write(
        &self,
        cx: &Cx<Known>,
        declared: &'static dyn Declared,
        value: Option<&Json>,
        expected: Option<u64>,
    ) -> Result<u64> {
        let write = Write {
            key: declared.key(),
            after: value,
            expected,
            actor: cx.actor().unwrap_or_default(),
            request: cx.call().request_id().to_string(),
        };
        let version = cx.call().run(self.commit(cx, &write)).await??;
        let _turn = self.turn.lock().await;
        let before = self.snapshot.load_full();
        let known = &before[declared.key()];
        // A later change may have been seen already.
        if known.version < version {
            let text = value.map(ToString::to_string);
            let slot = known.followed_by(declared, text, version);
            let mut next = Snapshot::clone(&before);
            next.insert(declared.key(), slot);
            self.publish(next);
        }
        Ok(version)
    }

    async fn commit(&self, cx: &Cx<Known>, write: &Write<'_>) -> Result<u64> {
        let local = Local {
            limit: cx.call().remaining()?,
            ..Local::default()
        };
        let mut transaction = self.database.begin_within(&local).await?;
        match table::write(&mut transaction, write).await {
            Ok(version) => {
                transaction.commit().await?;
                Ok(version)
            }
            Err(error) => {
                transaction.rollback().await;
                Err(error)
            }
        }
    }

    fn publish(&self, next: Snapshot) {
        self.snapshot.store(Arc::new(next));
        self.revision.send_modify(|revision| *revision += 1);
    }
}

impl Slot {
    /// What comes of it with this in the database. A value that the setting refuses leaves the last good one in force.
    fn followed_by(&self, declared: &dyn Declared, text: Option<String>, version: u64) -> Self {
        let json = match &text {
            None => Ok(declared.default_json()),
            Some(text) => serde_json::from_str(text).map_err(|_| "expected JSON".to_owned()),
        };
        let read = json.and_then(|json| Ok((declared.read(&json)?, json)));
        let (value, json, problem) = match read {
            Ok((value, json)) => (value, json, None),
            Err(message) => {
                tracing::warn!(
                    key = declared.key(),
                    version,
                    "the value of a setting in the database is not in force, the last good one stays: {message}"
                );
                (self.value.clone(), self.json.clone(), Some(message))
            }
        };
        Self {
            value,
            json,
            stored: text,
            version,
            problem,
        }
    }
}

/// Looks whenever something may have changed.
async fn follow(inner: Arc<Inner>, mut changes: Changes) {
    let mut told = None;
    loop {
        changes.changed().await;
        while let Err(error) = inner.refresh().await {
            let words = error.to_string();
            if told.as_ref() != Some(&words) {
                tracing::warn!(%error, "the settings cannot be read; the last known ones stay in force");
                told = Some(words);
            }
            tokio::time::sleep(RETRY).await;
        }
        if told.take().is_some() {
            tracing::info!("the settings can be read again");
        }
    }
}
