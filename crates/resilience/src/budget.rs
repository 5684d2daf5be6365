//! A retry budget: retries may add a share to the load, never multiply it.
//!
//! Two bounds, both of which a retry must pass:
//! - **a share of the requests**, as in Finagle's, linkerd's and tower's budgets: within any `ttl`, at most
//!   `min_per_second * ttl` retries plus `percent` of the requests. The floor lets a route with little traffic retry at
//!   all; the share bounds a busy one when everything behind it fails at once;
//! - **a share of what is in flight**, as in Envoy's: at most `percent` of the active requests, or
//!   [`MIN_CONCURRENT`], may be retries at the same moment. It acts where the first is too late: when answers become
//!   slow, retries pile up long before they have been counted over seconds.
//!
//! # Granularity
//! Time is cut into slots of `ttl / 10`. Withdrawals in *any* window of length `ttl` are bounded by the floor plus
//! `percent` of the deposits of that window and of up to one slot before it. Whole retries only: a fraction waits until
//! it has grown to one.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Retries that may always run at the same time, however few requests are active.
pub const MIN_CONCURRENT: u32 = 3;

/// Full slots of one `ttl`.
const SLOTS: usize = 10;
/// The running slot is counted besides the full ones, so that they always reach back at least one `ttl`.
const RING: usize = SLOTS + 1;

/// What a [`Budget`] allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetConfig {
    /// How long a request counts in favour of retries; 10 s by default, held within 1 s to 1 h.
    pub ttl: Duration,
    /// Retries per second that need no requests behind them; 10 by default.
    pub min_per_second: u32,
    /// Retries in per cent of the requests, and of those in flight; 20 by default. Above 100, a request may bring more
    /// than one retry.
    pub percent: u32,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(10),
            min_per_second: 10,
            percent: 20,
        }
    }
}

/// The retry budget of one upstream. Cheap enough for each request: a deposit is one atomic update.
///
/// `now` is monotonic, in microseconds. Threads may be slightly apart; the newest time seen decides.
///
/// ```
/// use bastide_resilience::budget::{Budget, BudgetConfig};
/// use std::time::Duration;
///
/// let budget = Budget::new(BudgetConfig { ttl: Duration::from_secs(10), min_per_second: 0, percent: 20 });
/// for _ in 0..10 {
///     budget.deposit(0);
/// }
/// assert!(budget.withdraw(0) && budget.withdraw(0));
/// assert!(!budget.withdraw(0), "two retries are 20 % of ten requests");
/// ```
#[derive(Debug)]
pub struct Budget {
    slot_micros: u64,
    /// Whole retries of the floor over one `ttl`.
    reserve: u64,
    percent: u64,
    /// Per slot its number since the clock's zero (upper half) and its requests (lower half).
    deposits: [AtomicU64; RING],
    /// Behind a lock, unlike deposits: only in order is the check exact, and retries are the rare case.
    withdrawals: Mutex<Withdrawals>,
    active: AtomicU32,
    retrying: AtomicU32,
}

#[derive(Debug, Default)]
struct Withdrawals {
    /// The newest slot seen.
    slot: u64,
    counts: [u64; RING],
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(BudgetConfig::default())
    }
}

impl Budget {
    /// A budget with nothing deposited; its floor is there at once.
    #[must_use]
    pub fn new(config: BudgetConfig) -> Self {
        let ttl = config
            .ttl
            .clamp(Duration::from_secs(1), Duration::from_hours(1));
        let micros = u64::try_from(ttl.as_micros()).expect("an hour of microseconds fits");
        Self {
            // Rounded up, so that the slots never fall short of the `ttl`.
            slot_micros: micros.div_ceil(SLOTS as u64),
            reserve: u64::from(config.min_per_second) * micros / 1_000_000,
            percent: u64::from(config.percent),
            deposits: Default::default(),
            withdrawals: Mutex::default(),
            active: AtomicU32::new(0),
            retrying: AtomicU32::new(0),
        }
    }

    /// Counts an original request. Retries are not deposited: a retry must not pay for the next.
    pub fn deposit(&self, now: u64) {
        let slot = now / self.slot_micros;
        let cell = &self.deposits[ring_index(slot)];
        let mut seen = cell.load(Relaxed);
        loop {
            let (number, count) = unpack(seen);
            if number > slot {
                // A thread far behind: its time has left the window.
                return;
            }
            let count = if number == slot {
                count.saturating_add(1)
            } else {
                1
            };
            match cell.compare_exchange_weak(seen, pack(slot, count), Relaxed, Relaxed) {
                Ok(_) => return,
                Err(newer) => seen = newer,
            }
        }
    }

    /// Takes one retry from the share of requests; `false` where it is used up, and nothing is taken.
    #[must_use = "a refused retry must not be sent"]
    pub fn withdraw(&self, now: u64) -> bool {
        // Nothing in here can leave the counts half-changed, so a poisoned lock is as good as any.
        let mut taken = self
            .withdrawals
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let slot = taken.advance(now / self.slot_micros);
        let withdrawn: u64 = taken.counts.iter().sum();
        let allowed = withdrawn < self.reserve || {
            // The share is asked only past the floor, which spares a quiet route the sum.
            withdrawn
                < self
                    .reserve
                    .saturating_add(self.deposited(slot).saturating_mul(self.percent) / 100)
        };
        taken.counts[ring_index(slot)] += u64::from(allowed);
        allowed
    }

    /// Counts a request as active until the guard is dropped.
    #[must_use = "the request is active for as long as the guard lives"]
    pub fn begin(&self) -> Active<'_> {
        self.active.fetch_add(1, Relaxed);
        Active { budget: self }
    }

    /// Takes one retry under both bounds: the concurrency cap for as long as the guard lives, and
    /// [`withdraw`](Self::withdraw). `None` where either refuses.
    #[must_use = "a refused retry must not be sent, a granted one runs for as long as the guard lives"]
    pub fn retry(&self, now: u64) -> Option<Retry<'_>> {
        let cap = (u64::from(self.active()) * self.percent / 100).max(u64::from(MIN_CONCURRENT));
        self.retrying
            .fetch_update(Relaxed, Relaxed, |running| {
                (u64::from(running) < cap).then_some(running + 1)
            })
            .ok()?;
        let retry = Retry { budget: self };
        // A refusal drops the guard, which gives the place back.
        self.withdraw(now).then_some(retry)
    }

    /// Requests between [`begin`](Self::begin) and the end of their guard.
    #[must_use]
    pub fn active(&self) -> u32 {
        self.active.load(Relaxed)
    }

    /// Retries that run now.
    #[must_use]
    pub fn retrying(&self) -> u32 {
        self.retrying.load(Relaxed)
    }

    fn deposited(&self, slot: u64) -> u64 {
        let oldest = slot.saturating_sub(SLOTS as u64);
        self.deposits
            .iter()
            .map(|cell| unpack(cell.load(Relaxed)))
            // A deposit may be ahead of this thread's time, and counts.
            .filter(|&(number, _)| number >= oldest)
            .map(|(_, count)| u64::from(count))
            .sum()
    }
}

impl Withdrawals {
    /// Clears what has left the window and returns the slot to count in.
    fn advance(&mut self, slot: u64) -> u64 {
        if slot > self.slot {
            let passed = (slot - self.slot).min(RING as u64);
            for number in slot + 1 - passed..=slot {
                self.counts[ring_index(number)] = 0;
            }
            self.slot = slot;
        }
        self.slot
    }
}

/// A request that is active; ends when dropped.
#[derive(Debug)]
pub struct Active<'b> {
    budget: &'b Budget,
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.budget.active.fetch_sub(1, Relaxed);
    }
}

/// A granted retry; its place in the concurrency cap is free again when dropped.
#[derive(Debug)]
pub struct Retry<'b> {
    budget: &'b Budget,
}

impl Drop for Retry<'_> {
    fn drop(&mut self) {
        self.budget.retrying.fetch_sub(1, Relaxed);
    }
}

fn ring_index(slot: u64) -> usize {
    (slot % RING as u64) as usize
}

/// Slots last 100 ms or more, so 32 bits number them for 13 years of a monotonic clock.
fn pack(slot: u64, count: u32) -> u64 {
    (slot << 32) | u64::from(count)
}

fn unpack(cell: u64) -> (u64, u32) {
    (cell >> 32, cell as u32)
}

#[cfg(test)]
mod tests;
