//! How things stand between this process and the store.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::tag::Tag;

/// More undelivered tags than this become one: everything.
const MAX_UNDELIVERED: usize = 10_000;

/// Whether the store is there, and until when this process knows that it missed nothing.
#[derive(Debug)]
pub(crate) struct Link {
    base: Instant,
    away: AtomicBool,
    /// Nanoseconds since `base`: values of the store are not used before.
    usable_from: AtomicU64,
    /// Nanoseconds since `base`, and one: everything invalidated before is known here. Zero: never.
    confirmed: AtomicU64,
    /// What was invalidated while the store was away, and the other processes do not know yet.
    undelivered: Mutex<BTreeSet<Tag>>,
}

impl Link {
    pub(crate) fn new() -> Self {
        Self {
            base: Instant::now(),
            away: AtomicBool::new(false),
            usable_from: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
            undelivered: Mutex::default(),
        }
    }

    fn nanos(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.base).as_nanos() as u64
    }

    /// Whether the store answers, as far as is known.
    pub(crate) fn is_there(&self) -> bool {
        !self.away.load(Ordering::Acquire)
    }

    /// Whether values of the store may be used.
    pub(crate) fn is_usable(&self, now: Instant) -> bool {
        self.is_there() && self.nanos(now) >= self.usable_from.load(Ordering::Acquire)
    }

    pub(crate) fn lost(&self) {
        if !self.away.swap(true, Ordering::AcqRel) {
            tracing::warn!("the shared store is away; the cache goes on in memory alone");
        }
    }

    /// The store answers. After an absence its values are used only when `settle` has passed: by then the other processes
    /// that were cut off have said what they invalidated meanwhile.
    pub(crate) fn back(&self, now: Instant, settle: Duration) {
        if !self.is_there() {
            let from = self.nanos(now).saturating_add(settle.as_nanos() as u64);
            self.usable_from.store(from, Ordering::Release);
            self.away.store(false, Ordering::Release);
            tracing::info!("the shared store is back");
        }
    }

    /// Everything that was invalidated before `at` is known here.
    pub(crate) fn confirm(&self, at: Instant) {
        self.confirmed.store(self.nanos(at) + 1, Ordering::Release);
    }

    /// Whether everything is known here that was invalidated longer ago than `bound`.
    pub(crate) fn is_in_sync(&self, now: Instant, bound: Duration) -> bool {
        let confirmed = self.confirmed.load(Ordering::Acquire);
        confirmed > 0 && self.nanos(now).saturating_sub(confirmed) <= bound.as_nanos() as u64
    }

    /// Keeps what could not be delivered.
    pub(crate) fn postpone(&self, tags: &[Tag]) {
        let mut undelivered = self
            .undelivered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        undelivered.extend(tags);
        if undelivered.len() > MAX_UNDELIVERED {
            *undelivered = BTreeSet::from([Tag::everything()]);
        }
    }

    /// What is to be delivered now; if that fails, postpone it again.
    pub(crate) fn take_undelivered(&self) -> Vec<Tag> {
        let mut undelivered = self
            .undelivered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *undelivered).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn after_an_absence_the_stores_values_are_left_alone_for_a_while() {
        let link = Link::new();
        let usable = || link.is_usable(Instant::now());
        link.back(Instant::now(), SECOND);
        assert!(usable(), "it was never away");
        link.lost();
        assert!(!usable() && !link.is_there());
        advance(SECOND * 5).await;
        assert!(!usable());
        link.back(Instant::now(), SECOND);
        assert!(!usable() && link.is_there());
        advance(SECOND).await;
        assert!(usable());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_confirmed_holds_for_the_bound_and_nothing_holds_before() {
        let link = Link::new();
        let in_sync = || link.is_in_sync(Instant::now(), SECOND);
        assert!(!in_sync());
        link.confirm(Instant::now());
        advance(SECOND).await;
        assert!(in_sync());
        advance(Duration::from_millis(1)).await;
        assert!(!in_sync());
    }

    #[test]
    fn too_much_to_deliver_becomes_everything() {
        let link = Link::new();
        let tags: Vec<Tag> = (0..=MAX_UNDELIVERED)
            .map(|number| Tag::shared(&number.to_string()))
            .collect();
        link.postpone(&tags[..2]);
        assert_eq!(link.take_undelivered().len(), 2);
        assert!(link.take_undelivered().is_empty());
        link.postpone(&tags);
        assert_eq!(link.take_undelivered(), [Tag::everything()]);
    }
}
