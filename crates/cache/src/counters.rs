//! What a cache has done.

use std::sync::Arc;

use bastide_telemetry::metrics::{Counter, Registry};

use crate::tiers::Tiers;

/// Counts of one named cache in this process, since its start. Cheap to read at any time.
#[derive(Debug, Default)]
pub struct Counters {
    /// Answered from this process's memory.
    pub hits_l1: Counter,
    /// Answered from the store.
    pub hits_l2: Counter,
    /// Of the hits, those with a value past its time, which is computed anew meanwhile.
    pub stale_hits: Counter,
    /// Not answered from either tier: computed, or waited for.
    pub misses: Counter,
    /// Computations begun, also those in the background.
    pub computes: Counter,
    /// Computations that ended with an error.
    pub compute_errors: Counter,
    /// Calls that waited for another of this process.
    pub waits: Counter,
    /// Calls that waited for another process.
    pub remote_waits: Counter,
    /// Waits that lasted as long as a lease may; the caller computed too.
    pub waits_given_up: Counter,
    /// Calls that did without the store because it was away.
    pub without_store: Counter,
    /// Kept values that could not be read, and values that could not be written.
    pub unreadable: Counter,
    /// Values that were too large to be kept.
    pub too_large: Counter,
    /// Values that gave way to others in this process's memory.
    pub evictions: Counter,
    /// Invalidations asked of this cache, here.
    pub invalidations: Counter,
}

impl Counters {
    /// The share of calls that a tier answered, 0 to 1; `None` before the first call.
    pub fn hit_rate(&self) -> Option<f64> {
        let hits = (self.hits_l1.get() + self.hits_l2.get()) as f64;
        let all = hits + self.misses.get() as f64;
        (all > 0.0).then(|| hits / all)
    }
}

type Pick = fn(&Counters) -> &Counter;
type PickTotal = fn(&Totals) -> &Counter;

const FAMILIES: [(&str, &str, Pick); 12] = [
    (
        "bastide_cache_misses",
        "Calls answered from no tier",
        |of| &of.misses,
    ),
    (
        "bastide_cache_stale_hits",
        "Hits with a value past its time",
        |of| &of.stale_hits,
    ),
    ("bastide_cache_computes", "Computations begun", |of| {
        &of.computes
    }),
    (
        "bastide_cache_compute_errors",
        "Computations that failed",
        |of| &of.compute_errors,
    ),
    (
        "bastide_cache_waits",
        "Calls that waited for another in this process",
        |of| &of.waits,
    ),
    (
        "bastide_cache_remote_waits",
        "Calls that waited for another process",
        |of| &of.remote_waits,
    ),
    (
        "bastide_cache_waits_given_up",
        "Waits that lasted as long as a lease",
        |of| &of.waits_given_up,
    ),
    (
        "bastide_cache_without_store",
        "Calls that did without the store because it was away",
        |of| &of.without_store,
    ),
    (
        "bastide_cache_unreadable",
        "Values that could not be read or written",
        |of| &of.unreadable,
    ),
    (
        "bastide_cache_too_large",
        "Values too large to be kept",
        |of| &of.too_large,
    ),
    (
        "bastide_cache_evictions",
        "Values that gave way to others in memory",
        |of| &of.evictions,
    ),
    (
        "bastide_cache_invalidations",
        "Invalidations asked for in this process",
        |of| &of.invalidations,
    ),
];

/// What happens to all named caches of a process together.
#[derive(Debug, Default)]
pub struct Totals {
    /// Operations of the store that failed or were too slow.
    pub store_errors: Counter,
    /// Times this process dropped what it held because invalidations may have been missed.
    pub l1_drops: Counter,
    /// Invalidations that came from other processes, and from this one by way of the store.
    pub heard: Counter,
}

/// Adds the counts of all names to a registry; names that come later too.
pub(crate) fn expose(tiers: &Arc<Tiers>, registry: &Registry) {
    let of = Arc::clone(tiers);
    registry.counters(
        "bastide_cache_hits",
        "Calls answered from a tier",
        &["cache", "tier"],
        move |emit| {
            for (name, counters) in of.names() {
                emit(&[name, "l1"], counters.hits_l1.get() as f64);
                emit(&[name, "l2"], counters.hits_l2.get() as f64);
            }
        },
    );
    for (family, help, pick) in FAMILIES {
        let of = Arc::clone(tiers);
        registry.counters(family, help, &["cache"], move |emit| {
            for (name, counters) in of.names() {
                emit(&[name], pick(&counters).get() as f64);
            }
        });
    }
    let totals: [(_, _, PickTotal); 3] = [
        (
            "bastide_cache_store_errors",
            "Store operations that failed or were too slow",
            |of| &of.store_errors,
        ),
        (
            "bastide_cache_l1_drops",
            "Times memory was emptied because invalidations may have been missed",
            |of| &of.l1_drops,
        ),
        (
            "bastide_cache_invalidations_heard",
            "Invalidations that came by way of the store",
            |of| &of.heard,
        ),
    ];
    for (family, help, pick) in totals {
        let of = Arc::clone(tiers);
        registry.counters(family, help, &[], move |emit| {
            emit(&[], pick(&of.totals).get() as f64);
        });
    }
    let of = Arc::clone(tiers);
    registry.gauges(
        "bastide_cache_l1_entries",
        "Values in this process's memory",
        &[],
        move |emit| emit(&[], of.l1.size().0 as f64),
    );
    let of = Arc::clone(tiers);
    registry.gauges(
        "bastide_cache_l1_bytes",
        "What the values in this process's memory weigh",
        &[],
        move |emit| emit(&[], of.l1.size().1 as f64),
    );
}
