//! A configuration that is read again when its files change, for the sections that allow it.

use std::collections::BTreeSet;
use std::path::{Path as FilePath, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use serde_json::Value;

use super::tree::Tree;
use super::{Effective, Extent, Layers, LayersError, Loaded};
use crate::env::Env;
use crate::read::Fields;

/// Editors write a file in several steps; what comes within this time is one change.
const SETTLE: Duration = Duration::from_millis(100);
/// In a folder that never rests, a look comes after this time.
const UNREST: Duration = Duration::from_secs(1);
/// The files are looked at this often even if no event came: some file systems have none.
const POLL: Duration = Duration::from_secs(5);
const PRODUCTION: &str = "production";

/// When files are watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reload {
    /// Everywhere but in the environment `production`.
    #[default]
    OutsideProduction,
    /// In production too.
    Always,
}

/// A value that follows its files. Cheap to clone; the files are watched while one is there.
///
/// Only the sections that are named change. Any other that was changed is told of by one warning, and is in force after the next
/// start. A change is read whole: if anything is wrong with any section, everything stays as it was, with one warning. Variables
/// keep the values that they had at the start.
#[derive(Clone)]
pub struct Watched<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    current: ArcSwap<Loaded<Arc<T>>>,
    /// Dropped with the last clone, which ends the thread.
    _watcher: Option<(Option<RecommendedWatcher>, SyncSender<()>)>,
}

impl Layers {
    /// Reads the layers as [`Layers::read`] does, and again whenever a file changes; `sections` are the members of the root that
    /// may change while the program runs.
    ///
    /// # Errors
    /// As [`Layers::read`]; and if the system refuses a thread.
    pub fn watch<T: Send + Sync + 'static>(
        self,
        env: &Env,
        reload: Reload,
        sections: &'static [&'static str],
        reader: impl FnMut(&mut Fields<'_, '_>) -> Option<T> + Send + 'static,
    ) -> Result<Watched<T>, LayersError> {
        let mut follower = Follower {
            start: self.tree(env)?,
            env: env.frozen(),
            layers: self,
            sections,
            reader,
            last: None,
            told: String::new(),
        };
        let loaded = follower.first()?;
        let current = ArcSwap::from_pointee(loaded);
        let environment = follower.layers.environment_in(env);
        let is_watched = reload == Reload::Always || environment.as_deref() != Ok(PRODUCTION);
        if !is_watched {
            let shared = Arc::new(Shared {
                current,
                _watcher: None,
            });
            return Ok(Watched { shared });
        }
        let (sender, events) = sync_channel(1);
        let files = follower.layers.files(env).unwrap_or_default();
        let watcher = watch(files.into_iter().map(|(path, _)| path), &sender);
        if let Err(error) = &watcher {
            tracing::warn!(%error, "the files of the configuration cannot be watched; they are looked at every few seconds");
        }
        let shared = Arc::new(Shared {
            current,
            _watcher: Some((watcher.ok(), sender)),
        });
        let weak = Arc::downgrade(&shared);
        let thread = thread::Builder::new().name("configuration".to_owned());
        if let Err(error) = thread.spawn(move || follow(&weak, &events, follower)) {
            let message = format!("no thread to watch the configuration by: {error}");
            return Err(LayersError::of(vec![super::Mistake::nowhere(&message)]));
        }
        Ok(Watched { shared })
    }
}

impl<T> Watched<T> {
    /// The value as it is now. It waits for nothing.
    pub fn get(&self) -> Arc<T> {
        Arc::clone(&self.shared.current.load().value)
    }

    /// The values in use now, fit to be shown.
    pub fn effective(&self) -> Vec<Effective> {
        self.shared.current.load().effective.clone()
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Watched").field(&self.get()).finish()
    }
}

struct Follower<F> {
    layers: Layers,
    env: Env,
    sections: &'static [&'static str],
    reader: F,
    /// The files as they were at the start.
    start: Tree,
    /// The files as they were read last; `None`: they could not be.
    last: Option<Value>,
    /// The last warning, which is given once.
    told: String,
}

impl<F> Follower<F> {
    fn first<T>(&mut self) -> Result<Loaded<Arc<T>>, LayersError>
    where
        F: FnMut(&mut Fields<'_, '_>) -> Option<T>,
    {
        let loaded = self.layers.read_tree(
            self.start.clone(),
            &self.env,
            Extent::Whole,
            &mut self.reader,
        )?;
        self.last = Some(self.start.value().clone());
        Ok(shared(loaded))
    }

    /// The new value, if there is one.
    fn look<T>(&mut self) -> Option<Loaded<Arc<T>>>
    where
        F: FnMut(&mut Fields<'_, '_>) -> Option<T>,
    {
        let tree = match self.layers.tree(&self.env) {
            Ok(tree) => tree,
            Err(error) => {
                self.last = None;
                self.refuse(&error);
                return None;
            }
        };
        if self.last.as_ref() == Some(tree.value()) {
            return None;
        }
        self.last = Some(tree.value().clone());
        // First all of it as the next start would read it, then what may change now.
        let whole = self
            .layers
            .read_tree(tree.clone(), &self.env, Extent::Whole, &mut self.reader);
        let mut now = self.start.clone();
        for section in self.sections {
            now.take_over(section, &tree);
        }
        let read = whole.and_then(|_| {
            let loaded = self
                .layers
                .read_tree(now, &self.env, Extent::Whole, &mut self.reader)?;
            Ok(shared(loaded))
        });
        match read {
            Ok(loaded) => {
                tracing::info!("the configuration was read again");
                self.told.clear();
                self.name_fixed(&tree);
                Some(loaded)
            }
            Err(error) => {
                self.refuse(&error);
                None
            }
        }
    }

    fn refuse(&mut self, error: &LayersError) {
        let words = error.to_string();
        if words != self.told {
            tracing::warn!("the configuration is not read again, what was in force stays: {words}");
            self.told = words;
        }
    }

    /// Says which changes are not in force.
    fn name_fixed(&self, tree: &Tree) {
        let (Value::Object(before), Value::Object(after)) = (self.start.value(), tree.value())
        else {
            return;
        };
        let names: BTreeSet<&str> = before
            .keys()
            .chain(after.keys())
            .map(String::as_str)
            .collect();
        let fixed: Vec<&str> = names
            .into_iter()
            .filter(|name| !self.sections.contains(name) && before.get(*name) != after.get(*name))
            .collect();
        if !fixed.is_empty() {
            tracing::warn!(
                sections = fixed.join(", "),
                "these sections were changed and are in force after the next start"
            );
        }
    }
}

fn shared<T>(loaded: Loaded<T>) -> Loaded<Arc<T>> {
    Loaded {
        value: Arc::new(loaded.value),
        effective: loaded.effective,
    }
}

fn follow<T, F>(shared: &Weak<Shared<T>>, events: &Receiver<()>, mut follower: Follower<F>)
where
    F: FnMut(&mut Fields<'_, '_>) -> Option<T>,
{
    loop {
        // An event, or no event for a while: either way the content decides.
        if events.recv_timeout(POLL) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
        let patience = Instant::now() + UNREST;
        while Instant::now() < patience {
            match events.recv_timeout(SETTLE) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        let found = follower.look();
        let Some(shared) = shared.upgrade() else {
            return;
        };
        if let Some(loaded) = found {
            shared.current.store(Arc::new(loaded));
        }
    }
}

/// Watches the folders: a file that is replaced by a rename is another file to the kernel.
fn watch(
    files: impl Iterator<Item = PathBuf>,
    sender: &SyncSender<()>,
) -> notify::Result<RecommendedWatcher> {
    let sender = sender.clone();
    let mut watcher = notify::recommended_watcher(move |_: notify::Result<notify::Event>| {
        // A full channel means that a look is due anyway.
        sender.try_send(()).ok();
    })?;
    let folder = |file: PathBuf| match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let folders: BTreeSet<PathBuf> = files.map(folder).collect();
    for folder in folders.iter().filter(|folder| FilePath::is_dir(folder)) {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}
