//! Active health checks: what a row of probe results says about an endpoint, and when to probe next.
//!
//! An endpoint is unhealthy after [`HealthConfig::unhealthy_threshold`] failed probes in a row and healthy again after
//! [`HealthConfig::healthy_threshold`] good ones; a result that agrees with the state starts the count afresh. Unknown
//! counts as healthy: a check that has not run yet must not take an endpoint out.
//!
//! # Another node's word
//!
//! Nodes tell one another of flips, and the word of one is evidence, not a verdict: a node with a broken network would
//! otherwise take the endpoint from the whole fleet. So [`Health::advise`]
//!
//! - is believed by a node that has not probed the endpoint itself since it started, until its own first probe: that one
//!   either confirms the state or flips it back at once;
//! - elsewhere makes the next own probe decisive: the count is put one short of the flip. A probe that agrees with the
//!   current state puts it back to nothing as usual.
//!
//! Only flips by own probes ([`Health::record`]) are to be passed on.
//!
//! ```
//! use bastide_resilience::health::{Health, HealthConfig};
//!
//! let health = Health::new(HealthConfig { healthy_threshold: 2, unhealthy_threshold: 3 });
//! assert_eq!([false, false, false].map(|ok| health.record(ok)), [None, None, Some(false)]);
//! assert!(!health.is_healthy());
//! assert_eq!([true, true].map(|ok| health.record(ok)), [None, Some(true)]);
//! ```

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How many probe results in a row change an endpoint's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthConfig {
    /// Good probes in a row that make an unhealthy endpoint healthy. Default 2; 0 is taken as 1.
    pub healthy_threshold: u32,
    /// Failed probes in a row that make a healthy endpoint unhealthy. Default 3; 0 is taken as 1.
    pub unhealthy_threshold: u32,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self {
            healthy_threshold: 2,
            unhealthy_threshold: 3,
        }
    }
}

/// The health of one endpoint, read by many threads and written by its prober.
#[derive(Debug)]
pub struct Health {
    config: HealthConfig,
    /// [`Status`] in one word, so that readers and writers need no lock.
    status: AtomicU64,
}

impl Health {
    /// An endpoint of which nothing is known. Values under their minimum are raised to it, see [`HealthConfig`].
    pub fn new(config: HealthConfig) -> Self {
        let config = HealthConfig {
            healthy_threshold: config.healthy_threshold.max(1),
            unhealthy_threshold: config.unhealthy_threshold.max(1),
        };
        Self {
            config,
            status: AtomicU64::new(Status::UNKNOWN.encode()),
        }
    }

    /// The configuration in force.
    pub fn config(&self) -> &HealthConfig {
        &self.config
    }

    /// Whether requests may go there.
    pub fn is_healthy(&self) -> bool {
        // Relaxed: nothing else is read on the strength of it.
        Status::decode(self.status.load(Ordering::Relaxed)).healthy
    }

    /// Takes in the result of a probe by this node. Answers the new state if this flipped it.
    pub fn record(&self, ok: bool) -> Option<bool> {
        self.update(|status| status.record(ok, &self.config))
            .then_some(ok)
    }

    /// Another node's word, see the [module's documentation](self). Answers whether it flipped the state here.
    pub fn advise(&self, healthy: bool) -> bool {
        self.update(|status| status.advise(healthy, &self.config))
    }

    /// Forgets everything, as for checks that were switched off: nothing is known, which counts as healthy.
    pub fn reset(&self) {
        self.update(|_| Status::UNKNOWN);
    }

    /// Answers whether the state flipped.
    fn update(&self, step: impl Fn(Status) -> Status) -> bool {
        let mut before = self.status.load(Ordering::Relaxed);
        loop {
            let (old, new) = (Status::decode(before), step(Status::decode(before)));
            if old == new {
                return false;
            }
            match self.status.compare_exchange_weak(
                before,
                new.encode(),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return old.healthy != new.healthy,
                Err(current) => before = current,
            }
        }
    }
}

/// What is known of an endpoint: the pure machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Status {
    healthy: bool,
    /// Whether this node has probed it.
    probed: bool,
    /// Results in a row that speak against `healthy`.
    against: u32,
}

impl Status {
    const UNKNOWN: Self = Self {
        healthy: true,
        probed: false,
        against: 0,
    };

    /// Results in a row that it takes to leave the state.
    const fn threshold(self, config: &HealthConfig) -> u32 {
        if self.healthy {
            config.unhealthy_threshold
        } else {
            config.healthy_threshold
        }
    }

    fn record(self, ok: bool, config: &HealthConfig) -> Self {
        let against = if ok == self.healthy {
            0
        } else {
            self.against + 1
        };
        if against < self.threshold(config) {
            Self {
                against,
                probed: true,
                ..self
            }
        } else {
            Self {
                healthy: ok,
                probed: true,
                against: 0,
            }
        }
    }

    fn advise(self, healthy: bool, config: &HealthConfig) -> Self {
        if healthy == self.healthy {
            return self;
        }
        let advised = if self.probed {
            self
        } else {
            Self { healthy, ..self }
        };
        Self {
            against: advised.threshold(config) - 1,
            ..advised
        }
    }

    const fn encode(self) -> u64 {
        (self.against as u64) << 2 | (self.probed as u64) << 1 | self.healthy as u64
    }

    const fn decode(word: u64) -> Self {
        Self {
            healthy: word & 1 != 0,
            probed: word & 2 != 0,
            against: (word >> 2) as u32,
        }
    }
}

/// How long after a probe was due the next one is due: the interval, 10 % more or less.
///
/// `random` is evenly distributed over all of `u64`. The jitter keeps the probes of many nodes and endpoints from falling
/// into step. Intervals over 500 years are cut.
pub fn next_probe_after(interval: Duration, random: u64) -> Duration {
    let interval = nanoseconds(interval);
    let tenth = interval / 10;
    Duration::from_nanos((interval - tenth).saturating_add(share(2 * tenth, random)))
}

/// How long after the start of checking the first probe is due: evenly within a tenth of the interval.
///
/// Soon, since unknown counts as healthy; not at once, since a reload may start the checks of thousands of endpoints.
pub fn first_probe_after(interval: Duration, random: u64) -> Duration {
    Duration::from_nanos(share(nanoseconds(interval) / 10, random))
}

fn nanoseconds(interval: Duration) -> u64 {
    u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX)
}

/// `whole * random / 2^64`.
fn share(whole: u64, random: u64) -> u64 {
    ((u128::from(whole) * u128::from(random)) >> 64) as u64
}
