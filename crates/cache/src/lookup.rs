//! One call's way: this process's memory, another call under way, the store, another process under way, computing.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout_at};

use crate::cache::Cache;
use crate::counters::Counters;
use crate::entry::Entry;
use crate::flights::{Lead, Turn};
use crate::keep::Keep;
use crate::key::{Key, Slot};
use crate::l1::Held;
use crate::remote::{Bid, Look};
use crate::tag::Tag;
use crate::tiers::Tiers;
use crate::turn::ComputeTurn;
use crate::voids::Stamp;

/// How often one who waits for another process looks: at first, and at most.
const POLL: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(50));

/// What came of looking.
pub(crate) enum Found<'a, T> {
    Value(T),
    /// Past its time, and asked for all the same.
    Stale(T),
    Compute(Box<ComputeTurn<'a>>),
}

/// What is asked for.
#[derive(Clone)]
pub(crate) struct Lookup<'a> {
    pub(crate) cache: &'a Cache,
    pub(crate) keep: &'a Keep,
    pub(crate) slot: Slot,
    key: &'a Key,
    /// In order, each once.
    pub(crate) tags: Vec<Tag>,
    pub(crate) stale: Duration,
}

/// How patient one is who finds another process computing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// Waits, and takes a value past its time if the call allows one.
    Asking,
    /// Wants a new value, and leaves it to the other.
    Refreshing,
}

impl<'a> Lookup<'a> {
    pub(crate) fn new(cache: &'a Cache, key: &'a Key, keep: &'a Keep, stale: Duration) -> Self {
        let mut tags = Vec::with_capacity(keep.tags.len() + cache.implied.len());
        tags.extend_from_slice(&keep.tags);
        tags.extend_from_slice(&cache.implied);
        tags.sort_unstable();
        tags.dedup();
        Self {
            cache,
            keep,
            slot: key.slot(cache.name),
            key,
            tags,
            stale,
        }
    }

    pub(crate) fn tiers(&self) -> &'a Tiers {
        &self.cache.tiers
    }

    pub(crate) fn counters(&self) -> &'a Counters {
        &self.cache.counters
    }

    pub(crate) fn stored(&self) -> String {
        self.key.stored(self.cache.name)
    }

    pub(crate) fn is_good(&self, stamp: Stamp) -> bool {
        self.tiers().voids.spare(stamp, &self.tags)
    }

    /// The value, or the turn to compute it.
    pub(crate) async fn find<T: DeserializeOwned>(self) -> Found<'a, T> {
        if let Some(found) = self.in_memory() {
            return found;
        }
        let give_up = Instant::now() + self.tiers().options.lease;
        let mut has_waited = false;
        loop {
            let stamp = self.tiers().voids.stamp();
            let turn = self
                .tiers()
                .flights
                .join(self.slot, stamp, |stamp| self.is_good(stamp));
            let mut outcome = match turn {
                Turn::Lead(lead) => {
                    // Another may have landed since memory was looked at.
                    if let Some(found) = self.in_memory() {
                        return found;
                    }
                    return self.go(Some(lead), give_up).await;
                }
                Turn::Follow(outcome) => outcome,
            };
            if !has_waited {
                has_waited = true;
                self.counters().waits.add(1);
            }
            let landing = async { outcome.wait_for(Option::is_some).await.ok()?.clone() };
            match timeout_at(give_up, landing).await {
                Ok(Some(held)) if self.is_good(held.stamp) && *held.tags == *self.tags => {
                    if let Some(value) = self.read(&held) {
                        self.counters().misses.add(1);
                        return Found::Value(value);
                    }
                    return self.go(None, give_up).await;
                }
                // Void by now; or it failed, and the next one tries.
                Ok(_) => {
                    if let Some(found) = self.in_memory() {
                        return found;
                    }
                }
                Err(_) => {
                    self.counters().waits_given_up.add(1);
                    return self.go(None, give_up).await;
                }
            }
        }
    }

    /// The turn to compute a value anew, unless someone does already.
    pub(crate) async fn refresh<T: DeserializeOwned>(self) -> Option<Box<ComputeTurn<'a>>> {
        let stamp = self.tiers().voids.stamp();
        let turn = self
            .tiers()
            .flights
            .join(self.slot, stamp, |stamp| self.is_good(stamp));
        let Turn::Lead(lead) = turn else {
            return None;
        };
        // The one before may have landed since this one was begun.
        if let Some(held) = self.tiers().l1.get(&self.slot)
            && self.is_good(held.stamp)
            && Instant::now() < held.fresh_until
        {
            return None;
        }
        match self
            .go_as::<T>(Mood::Refreshing, Some(lead), Instant::now())
            .await
        {
            Some(Found::Compute(turn)) => Some(turn),
            _ => None,
        }
    }

    /// What is in this process's memory, if it may be served.
    fn in_memory<T: DeserializeOwned>(&self) -> Option<Found<'a, T>> {
        let (held, is_fresh) = self.tiers().held(&self.slot)?;
        if *held.tags != *self.tags || (!is_fresh && self.stale.is_zero()) {
            return None;
        }
        let Some(value) = self.read(&held) else {
            self.tiers().l1.remove(&self.slot, &held);
            return None;
        };
        self.counters().hits_l1.add(1);
        Some(self.found(value, is_fresh))
    }

    fn found<T>(&self, value: T, is_fresh: bool) -> Found<'a, T> {
        if is_fresh {
            return Found::Value(value);
        }
        self.counters().stale_hits.add(1);
        Found::Stale(value)
    }

    fn read<T: DeserializeOwned>(&self, held: &Held) -> Option<T> {
        let value = serde_json::from_slice(&held.body).ok();
        if value.is_none() {
            self.counters().unreadable.add(1);
        }
        value
    }

    async fn go<T: DeserializeOwned>(
        self,
        lead: Option<Lead<'a>>,
        give_up: Instant,
    ) -> Found<'a, T> {
        let turn = self.clone();
        match self.go_as(Mood::Asking, lead, give_up).await {
            Some(found) => found,
            // Who asks never leaves it to others.
            None => Found::Compute(Box::new(ComputeTurn::alone(turn, None))),
        }
    }

    /// From the store, or computing; `None`: another process does, and this one does not wait.
    async fn go_as<T: DeserializeOwned>(
        self,
        mood: Mood,
        lead: Option<Lead<'a>>,
        give_up: Instant,
    ) -> Option<Found<'a, T>> {
        let tiers = self.tiers();
        let stored = self.stored();
        let mut poll = POLL.0;
        let mut has_waited = false;
        loop {
            let stamp = tiers.voids.stamp();
            let asked = Instant::now();
            let look = if tiers.remote.is_usable() {
                tiers.remote.look(&stored, &self.tags).await
            } else {
                None
            };
            let Some(look) = look else {
                if tiers.options.multi_tier {
                    self.counters().without_store.add(1);
                }
                self.count_miss(mood);
                return Some(Found::Compute(Box::new(ComputeTurn::alone(self, lead))));
            };
            let Look {
                entry,
                generations,
                is_leased,
            } = look;
            let mut is_unreadable = false;
            if let Some((held, is_fresh)) = entry.and_then(|entry| self.hold(&entry, stamp, asked))
                && (is_fresh || (mood == Mood::Asking && !self.stale.is_zero()))
            {
                if let Some(value) = self.read(&held) {
                    tiers.l1.put(self.slot, Arc::clone(&held));
                    if let (true, Some(lead)) = (is_fresh, lead) {
                        lead.land(held);
                    }
                    if mood == Mood::Asking {
                        self.counters().hits_l2.add(1);
                    }
                    return Some(self.found(value, is_fresh));
                }
                is_unreadable = true;
            }
            let has_given_up = has_waited && Instant::now() >= give_up;
            let bid = if is_unreadable || has_given_up {
                Bid::Void
            } else if is_leased {
                Bid::Lost
            } else {
                tiers.remote.bid(&stored).await
            };
            let lease = match bid {
                Bid::Won(lease) => Some(lease),
                Bid::Void => None,
                Bid::Lost if mood == Mood::Refreshing => return None,
                Bid::Lost => {
                    if !has_waited {
                        has_waited = true;
                        self.counters().remote_waits.add(1);
                    }
                    let pause = poll.mul_f64(0.5 + fastrand::f64());
                    sleep(pause.min(give_up.saturating_duration_since(Instant::now()))).await;
                    poll = (poll * 2).min(POLL.1);
                    continue;
                }
            };
            if has_given_up {
                self.counters().waits_given_up.add(1);
            }
            self.count_miss(mood);
            let generations = tiers.remote.generations(&self.tags, generations).await;
            return Some(Found::Compute(Box::new(ComputeTurn {
                lookup: self,
                lead,
                lease,
                generations,
                stamp,
                begun: asked,
            })));
        }
    }

    fn count_miss(&self, mood: Mood) {
        if mood == Mood::Asking {
            self.counters().misses.add(1);
        }
    }

    /// A value of the store as this process holds it, and whether it is fresh; `None`: its time has passed.
    fn hold(&self, entry: &Entry, stamp: Stamp, asked: Instant) -> Option<(Arc<Held>, bool)> {
        let options = &self.tiers().options;
        let (fresh, whole) = entry.remaining(options.clock.now().as_millisecond());
        if whole.is_zero() {
            return None;
        }
        let held = Held {
            body: entry.body.clone(),
            tags: self.tags.as_slice().into(),
            stamp,
            known_good: asked,
            fresh_until: asked + fresh,
            until: asked + whole.min(options.l1_ttl),
            counters: Arc::clone(&self.cache.counters),
        };
        Some((Arc::new(held), !fresh.is_zero()))
    }
}
