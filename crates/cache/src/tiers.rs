//! The two tiers, as the named caches of one process share them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bastide_store::Store;
use tokio::time::Instant;

use crate::counters::{Counters, Totals};
use crate::flights::Flights;
use crate::key::Slot;
use crate::l1::{Held, L1};
use crate::options::CacheOptions;
use crate::remote::Remote;
use crate::tag::Tag;
use crate::voids::Voids;

/// Tags whose invalidation is remembered, in each of two halves.
const REMEMBERED_TAGS: usize = 1 << 16;

/// How far an invalidation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Every process knows it or will within [`CacheOptions::max_staleness`].
    Everywhere,
    /// The store is away. It holds in this process, and goes to the others as soon as the store is back.
    HereOnly,
}

pub(crate) struct Tiers {
    pub(crate) options: CacheOptions,
    pub(crate) voids: Voids,
    pub(crate) l1: L1,
    pub(crate) flights: Flights,
    pub(crate) remote: Arc<Remote>,
    pub(crate) totals: Arc<Totals>,
    names: Mutex<BTreeMap<&'static str, Arc<Counters>>>,
}

impl Tiers {
    pub(crate) fn new(store: &Store, options: CacheOptions) -> Self {
        let totals = Arc::new(Totals::default());
        Self {
            voids: Voids::new(REMEMBERED_TAGS),
            l1: L1::new(&options),
            flights: Flights::default(),
            remote: Arc::new(Remote::new(store, &options, Arc::clone(&totals))),
            totals,
            names: Mutex::default(),
            options,
        }
    }

    pub(crate) fn counters(&self, name: &'static str) -> Arc<Counters> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(names.entry(name).or_default())
    }

    pub(crate) fn names(&self) -> Vec<(&'static str, Arc<Counters>)> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names
            .iter()
            .map(|(name, counters)| (*name, Arc::clone(counters)))
            .collect()
    }

    /// What this process holds here, if it may be served, and whether it is fresh.
    pub(crate) fn held(&self, slot: &Slot) -> Option<(Arc<Held>, bool)> {
        let held = self.l1.get(slot)?;
        let now = Instant::now();
        if now >= held.until || !self.voids.spare(held.stamp, &held.tags) {
            self.l1.remove(slot, &held);
            return None;
        }
        let options = &self.options;
        let is_known_good = self.remote.link.is_in_sync(now, options.max_staleness)
            || now.saturating_duration_since(held.known_good) < options.outage_ttl;
        let is_fresh = now < held.fresh_until;
        is_known_good.then_some((held, is_fresh))
    }

    /// Forgets what this process holds, and lets nothing be held that is being computed.
    pub(crate) fn empty_l1(&self) {
        self.voids.void_all();
        self.l1.clear();
    }

    /// As [`Tiers::empty_l1`], because something may have been missed.
    pub(crate) fn drop_l1(&self) {
        self.empty_l1();
        self.totals.l1_drops.add(1);
    }

    /// Tells the store and so the other processes.
    pub(crate) async fn invalidate_everywhere(&self, tags: Vec<Tag>) -> Reach {
        let remote = &self.remote;
        let reach = if remote.link.is_there() && remote.invalidate(&tags).await {
            Reach::Everywhere
        } else {
            // Also where the store only refuses: its values would be served here although they are void.
            remote.link.lost();
            remote.link.postpone(&tags);
            Reach::HereOnly
        };
        // What was read from the store while it did not know yet is void too.
        self.voids.void(&tags);
        reach
    }

    /// Delivers what could not be delivered before. `false`: it still cannot be.
    pub(crate) async fn deliver(&self) -> bool {
        let tags = self.remote.link.take_undelivered();
        if tags.is_empty() || self.remote.invalidate(&tags).await {
            return true;
        }
        self.remote.link.postpone(&tags);
        false
    }
}
