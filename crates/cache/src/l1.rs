//! The values in this process's memory.

use std::sync::Arc;

use bytes::Bytes;
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};
use tokio::time::Instant;

use crate::counters::Counters;
use crate::key::Slot;
use crate::options::CacheOptions;
use crate::tag::Tag;
use crate::voids::Stamp;

/// What a value costs beside its bytes: its place in the table, its times, its share of the allocator's.
const OVERHEAD: u64 = 200;

/// A value in memory.
#[derive(Debug)]
pub(crate) struct Held {
    /// The value in JSON.
    pub(crate) body: Bytes,
    pub(crate) tags: Arc<[Tag]>,
    /// Taken before anything was read that went into it.
    pub(crate) stamp: Stamp,
    /// Nothing that was invalidated before is in it.
    pub(crate) known_good: Instant,
    pub(crate) fresh_until: Instant,
    /// Until when it is in this tier.
    pub(crate) until: Instant,
    pub(crate) counters: Arc<Counters>,
}

/// Bounded by entries and bytes at once: a value weighs its bytes, but never less than an equal share of them.
#[derive(Debug, Clone, Copy)]
struct Weight {
    least: u64,
}

impl Weighter<Slot, Arc<Held>> for Weight {
    fn weight(&self, _: &Slot, held: &Arc<Held>) -> u64 {
        let tags = size_of_val(&*held.tags);
        self.least
            .max(OVERHEAD + held.body.len() as u64 + tags as u64)
    }
}

#[derive(Debug, Clone, Copy)]
struct CountEvictions;

impl Lifecycle<Slot, Arc<Held>> for CountEvictions {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), _: Slot, held: Arc<Held>) {
        held.counters.evictions.add(1);
    }
}

/// A table of values, if there is to be one.
pub(crate) struct L1(Option<Cache<Slot, Arc<Held>, Weight, DefaultHashBuilder, CountEvictions>>);

impl L1 {
    pub(crate) fn new(options: &CacheOptions) -> Self {
        if options.l1_entries == 0 {
            return Self(None);
        }
        // A value that is heavier than its shard's share would be refused in silence, so there are fewer shards where
        // values may be large.
        let shards = (options.l1_bytes / options.max_value_bytes.saturating_mul(4)).clamp(1, 16);
        let shards = 1 << shards.ilog2();
        let table = OptionsBuilder::new()
            .shards(shards)
            .estimated_items_capacity(options.l1_entries)
            .weight_capacity(options.l1_bytes as u64)
            .build()
            .expect("both capacities are given");
        let weight = Weight {
            least: (options.l1_bytes / options.l1_entries).max(1) as u64,
        };
        Self(Some(Cache::with_options(
            table,
            weight,
            DefaultHashBuilder::default(),
            CountEvictions,
        )))
    }

    pub(crate) fn get(&self, slot: &Slot) -> Option<Arc<Held>> {
        self.0.as_ref()?.get(slot)
    }

    pub(crate) fn put(&self, slot: Slot, held: Arc<Held>) {
        if let Some(table) = &self.0 {
            table.insert(slot, held);
        }
    }

    /// Frees the place of this very value.
    pub(crate) fn remove(&self, slot: &Slot, held: &Arc<Held>) {
        if let Some(table) = &self.0 {
            table.remove_if(slot, |present| Arc::ptr_eq(present, held));
        }
    }

    pub(crate) fn clear(&self) {
        if let Some(table) = &self.0 {
            table.clear();
        }
    }

    /// Values and their weight in bytes.
    pub(crate) fn size(&self) -> (usize, u64) {
        self.0
            .as_ref()
            .map_or((0, 0), |table| (table.len(), table.weight()))
    }
}
