//! Computing a value, and keeping it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::time::Instant;

use crate::entry::{Entry, Generation};
use crate::flights::Lead;
use crate::l1::Held;
use crate::lookup::Lookup;
use crate::remote::Lease;
use crate::voids::Stamp;

/// A value with more tags is not kept: each is read with it.
const MAX_TAGS: usize = 256;

/// The turn to compute. Dropped, it goes to the next, in this process and among all.
pub(crate) struct ComputeTurn<'a> {
    pub(crate) lookup: Lookup<'a>,
    pub(crate) lead: Option<Lead<'a>>,
    pub(crate) lease: Option<Lease>,
    /// What the tags' generations were before; `None`: the value is not put into the store.
    pub(crate) generations: Option<Vec<Generation>>,
    /// From before.
    pub(crate) stamp: Stamp,
    /// When the stamp was taken.
    pub(crate) begun: Instant,
}

impl<'a> ComputeTurn<'a> {
    /// Without the store.
    pub(crate) fn alone(lookup: Lookup<'a>, lead: Option<Lead<'a>>) -> Self {
        Self {
            stamp: lookup.tiers().voids.stamp(),
            begun: Instant::now(),
            lookup,
            lead,
            lease: None,
            generations: None,
        }
    }

    pub(crate) async fn compute<T, E, F, Fut>(mut self, compute: F) -> Result<T, E>
    where
        T: Serialize,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.lookup.counters().computes.add(1);
        let lease = self.lease.take();
        let result = compute().await;
        // Written before anything is waited for, so that a value need not be one that threads may share.
        let written = result.as_ref().ok().map(serde_json::to_vec);
        match written {
            Some(Ok(body)) => self.keep(body).await,
            Some(Err(_)) => self.lookup.counters().unreadable.add(1),
            None => self.lookup.counters().compute_errors.add(1),
        }
        if let Some(lease) = lease {
            lease.release().await;
        }
        result
    }

    /// Gives the turn up with the value, which others find from here on.
    async fn keep(&mut self, body: Vec<u8>) {
        let lookup = &self.lookup;
        let (tiers, counters) = (lookup.tiers(), lookup.counters());
        let fresh = lifetime(lookup, &body);
        let is_too_large =
            body.len() > tiers.options.max_value_bytes || lookup.tags.len() > MAX_TAGS;
        if is_too_large {
            counters.too_large.add(1);
        }
        let now = Instant::now();
        let held = Arc::new(Held {
            body: Bytes::from(body),
            tags: lookup.tags.as_slice().into(),
            stamp: self.stamp,
            known_good: self.begun,
            fresh_until: now + fresh,
            until: now + (fresh + lookup.stale).min(tiers.options.l1_ttl),
            counters: Arc::clone(&lookup.cache.counters),
        });
        // What was invalidated meanwhile is the caller's, who asked before; it is nobody else's.
        let is_kept = !is_too_large && !fresh.is_zero() && lookup.is_good(self.stamp);
        if is_kept {
            tiers.l1.put(lookup.slot, Arc::clone(&held));
        }
        if let Some(lead) = self.lead.take() {
            lead.land(Arc::clone(&held));
        }
        if let (true, Some(generations)) = (is_kept, self.generations.take()) {
            let entry = Entry {
                made_at: tiers.options.clock.now().as_millisecond(),
                fresh,
                stale: lookup.stale,
                generations: lookup.tags.iter().copied().zip(generations).collect(),
                body: held.body.clone(),
            };
            tiers.remote.put(&lookup.stored(), &entry).await;
        }
    }
}

/// How long the value is fresh, with its share of chance; zero: it is not kept.
fn lifetime(lookup: &Lookup<'_>, body: &[u8]) -> Duration {
    let options = &lookup.tiers().options;
    let ceiling = options.ceiling();
    let wanted = if body == b"null" {
        lookup.keep.absent.unwrap_or(Duration::ZERO)
    } else {
        lookup.keep.ttl.unwrap_or(ceiling)
    };
    let whole = wanted.min(ceiling);
    let fresh = whole.mul_f64(1.0 - options.jitter * fastrand::f64());
    // The store knows no shorter time.
    if fresh < Duration::from_millis(1) {
        return Duration::ZERO;
    }
    fresh
}
