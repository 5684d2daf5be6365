//! The cache as its users hold it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bastide_store::Store;
use bastide_telemetry::metrics::Registry;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use crate::counters::{Counters, Totals, expose};
use crate::keep::Keep;
use crate::key::Key;
use crate::listener::Listener;
use crate::lookup::{Found, Lookup};
use crate::options::{CacheOptions, OptionsError};
use crate::tag::Tag;
use crate::tiers::{Reach, Tiers};

/// Two tiers of values. Cheap to clone.
#[derive(Clone)]
pub struct Cache {
    pub(crate) tiers: Arc<Tiers>,
    pub(crate) name: &'static str,
    pub(crate) counters: Arc<Counters>,
    /// Carried by all values of this name.
    pub(crate) implied: [Tag; 2],
    listener: Arc<Task>,
}

struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Cache {
    /// A cache over this store, named `default`. Afterwards it hears what other processes invalidate; if the store is away, as
    /// soon as it is back. Waits for the store for as long as a connection may take, and does not fail for it.
    ///
    /// Its task lives on this tokio runtime and ends with the last clone.
    ///
    /// # Errors
    /// An option is out of range.
    pub async fn new(store: &Store, options: CacheOptions) -> Result<Self, OptionsError> {
        options.check()?;
        let tiers = Arc::new(Tiers::new(store, options));
        let listener = Listener::start(Arc::clone(&tiers)).await;
        let listener = Arc::new(Task(tokio::spawn(listener.run())));
        Ok(Self::view(tiers, listener, "default"))
    }

    /// The cache of another name: other values and other counts in the same tiers. Tags reach across names.
    pub fn named(&self, name: &'static str) -> Self {
        Self::view(Arc::clone(&self.tiers), Arc::clone(&self.listener), name)
    }

    fn view(tiers: Arc<Tiers>, listener: Arc<Task>, name: &'static str) -> Self {
        Self {
            counters: tiers.counters(name),
            implied: [Tag::everything(), Tag::cache(name)],
            tiers,
            name,
            listener,
        }
    }

    /// The value of the key, from the nearest tier; else what `compute` gives, which is then kept.
    ///
    /// Of those who ask at the same time one computes, in the whole fleet about one; the others wait for it, for
    /// [`CacheOptions::lease`] at most. An error is given to the one caller who met it and is not kept; then another of those
    /// who wait computes.
    pub async fn get_or_compute<T, E, F, Fut>(
        &self,
        key: &Key,
        keep: &Keep,
        compute: F,
    ) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        match Lookup::new(self, key, keep, Duration::ZERO).find().await {
            Found::Value(value) | Found::Stale(value) => Ok(value),
            Found::Compute(turn) => turn.compute(compute).await,
        }
    }

    /// The JSON of the key's value where this process's memory has it fresh, which is what most calls of a busy program find.
    /// `None`: ask [`Cache::get_or_compute`].
    ///
    /// The value's own tags decide whether it is good; nobody compares them with those that the caller would name. So this
    /// is for who names the same tags for a key each time because they follow from it, and it spares him making them.
    pub fn json_in_memory(&self, key: &Key) -> Option<Bytes> {
        let (held, is_fresh) = self.tiers.held(&key.slot(self.name))?;
        if !is_fresh {
            return None;
        }
        self.counters.hits_l1.add(1);
        Some(held.body.clone())
    }

    /// As [`Cache::get_or_compute`], but a value whose time has passed is still served for the time of `stale`, while one
    /// process computes it anew in the background. A value that was invalidated is not served.
    ///
    /// An error of a computation in the background is counted, and the next call tries again.
    pub async fn get_or_refresh<T, E, F, Fut>(
        &self,
        key: &Key,
        keep: &Keep,
        stale: Duration,
        compute: F,
    ) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        E: Send + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        match Lookup::new(self, key, keep, stale).find().await {
            Found::Value(value) => Ok(value),
            Found::Compute(turn) => turn.compute(compute).await,
            Found::Stale(value) => {
                let (cache, key, keep) = (self.clone(), key.clone(), keep.clone());
                let refreshing = async move {
                    let lookup = Lookup::new(&cache, &key, &keep, stale);
                    if let Some(turn) = lookup.refresh::<T>().await {
                        // Counted where it fails; there is nobody to tell.
                        let _ = turn.compute(compute).await;
                    }
                };
                // What it logs is logged for the call that found the value stale.
                tokio::spawn(refreshing.in_current_span());
                Ok(value)
            }
        }
    }

    /// Makes all values with one of these tags void, in all caches of all processes. When it returns, this process serves
    /// none of them; the others as [`Reach`] says. It goes on if the caller is cancelled.
    ///
    /// Call it after the change it tells of is committed: what is computed from then on is kept.
    pub async fn invalidate(&self, tags: &[Tag]) -> Reach {
        self.counters.invalidations.add(1);
        self.tiers.voids.void(tags);
        let (tiers, tags) = (Arc::clone(&self.tiers), tags.to_vec());
        let telling = tokio::spawn(async move { tiers.invalidate_everywhere(tags).await });
        // Fails only while the runtime is being shut down.
        telling.await.unwrap_or(Reach::HereOnly)
    }

    /// Makes all values of this name void, as [`Cache::invalidate`].
    pub async fn clear(&self) -> Reach {
        self.invalidate(&[Tag::cache(self.name)]).await
    }

    /// What was counted under this name.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What was counted for all names together.
    pub fn totals(&self) -> &Totals {
        &self.tiers.totals
    }

    /// Shows the counts of all names, later ones too, as metrics labelled by the cache's name.
    ///
    /// # Panics
    /// If this registry shows a cache already.
    pub fn expose(&self, registry: &Registry) {
        expose(&self.tiers, registry);
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("name", &self.name)
            .field("options", &self.tiers.options)
            .finish_non_exhaustive()
    }
}
