//! Circuit breaker: stops sending to an endpoint that keeps failing, and finds out with a few probes when it is back.
//!
//! ```text
//!            failure_threshold failures in a row, or another node's word
//!   Closed ----------------------------------------------------------------> Open
//!     ^                                                                     |    ^
//!     | success_threshold answers                              time is over |    | one failure
//!     |                                                                     v    |
//!     +------------------------------------------------------------------ HalfOpen
//! ```
//!
//! After Nygard, *Release It!*, chapter "Stability Patterns", with two additions: half-open admits a bounded number of
//! probes instead of everybody, and each failed attempt to come back doubles the wait.
//!
//! # Invariants
//!
//! - An open breaker admits nobody; a half-open one has at most [`BreakerConfig::success_threshold`] probes out.
//! - What a request reports counts only in the state in which it was admitted: the answers that were under way when the
//!   breaker opened can neither close nor reopen it.
//! - Nothing that a caller forgets blocks for ever: an unanswered probe gives its place away after
//!   [`BreakerConfig::open_for`].
//! - A healthy endpoint costs no lock and no write to shared memory, and an open one costs no lock either.
//!
//! Time is passed in: microseconds of any monotonic clock, the same for all calls to one breaker.
//!
//! ```
//! use bastide_resilience::breaker::{Availability, Breaker, BreakerConfig, Outcome, State};
//! use std::time::Duration;
//!
//! let breaker = Breaker::new(BreakerConfig { failure_threshold: 2, success_threshold: 1, open_for: Duration::from_secs(5) });
//! for now in [10, 20] {
//!     let permit = breaker.try_acquire(now).expect("a closed breaker admits everybody");
//!     breaker.record(permit, Outcome::Failure, now);
//! }
//! assert_eq!(breaker.availability(30), Availability::Open { until: 5_000_020 });
//!
//! let probe = breaker.try_acquire(5_000_020).expect("the time is over");
//! assert!(breaker.try_acquire(5_000_021).is_none(), "one probe at a time");
//! assert_eq!(breaker.record(probe, Outcome::Success, 5_000_030), Some(State::Closed));
//! ```

mod machine;
#[cfg(test)]
mod tests;
mod word;

use machine::Machine;
use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};
use std::time::Duration;
use word::View;

/// When a breaker opens, for how long, and what closes it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerConfig {
    /// Failures in a row that open a closed breaker. Default 5; 0 is taken as 1.
    pub failure_threshold: u32,
    /// Answers that close a half-open breaker, and the number of probes it has out at once. Default 2; 0 is taken as 1.
    pub success_threshold: u32,
    /// How long the first opening lasts, and after how long an unanswered probe is considered lost. Default 30 s; less
    /// than 1 ms is taken as 1 ms.
    ///
    /// The second opening in a row (the first reopening) lasts as long, each further one twice as long as the one before
    /// it, up to ten times this.
    pub open_for: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            failure_threshold: 5,
            success_threshold: 2,
            open_for: Duration::from_secs(30),
        }
    }
}

/// What became of a request, as far as it says something about the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A 1xx that ends the exchange (101), or a 2xx.
    Success,
    /// A 3xx or 4xx: the endpoint answered, though not with what was wanted.
    ///
    /// In a closed breaker it neither adds to the failures nor forgives them. In a half-open one it counts as a success:
    /// the question there is whether the endpoint answers, and one whose answers are all 404 would otherwise never close.
    Neutral,
    /// A 5xx, a timeout, or no answer.
    Failure,
}

/// The three states of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Everybody is admitted.
    Closed,
    /// Nobody is admitted.
    Open,
    /// A few probes are admitted; what they meet decides.
    HalfOpen,
}

/// Whether a request could go now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Availability {
    /// [`Breaker::try_acquire`] would admit it.
    Ready,
    /// Refused until then.
    Open {
        /// The moment at which the first probe is admitted, in microseconds of the caller's clock.
        until: u64,
    },
    /// Half-open, and all probes are out.
    Probing,
}

/// The right to send one request, to be given back by [`Breaker::record`] or [`Breaker::cancel`], once.
///
/// It names the state in which it was given, so that the breaker knows late news. It belongs to the breaker that gave it;
/// handing it to another one, or handing it back twice, may count a request wrongly but breaks no bound on what is admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a permit that is neither recorded nor cancelled keeps a probe's place until it is considered lost"]
pub struct Permit {
    generation: u64,
    /// The probe's number in its breaker, from 1; 0 for a permit of a closed breaker.
    probe: u64,
}

impl Permit {
    /// Whether this request is a probe of a half-open breaker: best not retried elsewhere before its outcome is recorded.
    pub const fn is_probe(&self) -> bool {
        self.probe != 0
    }
}

/// A circuit breaker for one endpoint, for use by many threads at once.
#[derive(Debug)]
pub struct Breaker {
    config: BreakerConfig,
    /// What the machine looked like after its last change; all that the usual cases need to know.
    view: AtomicU64,
    machine: Mutex<Machine>,
}

impl Breaker {
    /// A closed breaker. Values under their minimum are raised to it, see [`BreakerConfig`].
    pub fn new(config: BreakerConfig) -> Self {
        let config = BreakerConfig {
            failure_threshold: config.failure_threshold.max(1),
            success_threshold: config.success_threshold.max(1),
            open_for: config.open_for.max(Duration::from_millis(1)),
        };
        let machine = Machine::new(&config);
        Self {
            config,
            view: AtomicU64::new(word::encode(machine.view())),
            machine: Mutex::new(machine),
        }
    }

    /// The configuration in force.
    pub fn config(&self) -> &BreakerConfig {
        &self.config
    }

    /// Whether a request could go now; changes nothing.
    ///
    /// `Ready` is no promise: in half-open another thread may take the last place before [`Self::try_acquire`].
    pub fn availability(&self, now: u64) -> Availability {
        match self.view() {
            View::Closed { .. } => Availability::Ready,
            View::Open { until } if now < until => Availability::Open { until },
            View::Open { .. } => Availability::Ready,
            View::HalfOpen => self.lock(|machine| machine.availability(now)),
        }
    }

    /// Admits a request, or does not: `None` while open, and in half-open while all probes are out.
    pub fn try_acquire(&self, now: u64) -> Option<Permit> {
        match self.view() {
            View::Closed { generation, .. } => Some(Permit {
                generation,
                probe: 0,
            }),
            View::Open { until } if now < until => None,
            View::Open { .. } | View::HalfOpen => self.change(|machine| machine.try_acquire(now)),
        }
    }

    /// Takes in what became of a request. Answers the state this changed the breaker to, if it did: `Closed` or `Open`.
    pub fn record(&self, permit: Permit, outcome: Outcome, now: u64) -> Option<State> {
        if let View::Closed {
            generation,
            failing,
        } = self.view()
        {
            let idle = match outcome {
                Outcome::Success => !failing,
                Outcome::Neutral => true,
                Outcome::Failure => false,
            };
            if idle || generation != permit.generation {
                return None;
            }
        }
        self.change(|machine| machine.record(permit, outcome, now))
    }

    /// Takes back the permit of a request that ended without telling anything, such as when the client went away.
    pub fn cancel(&self, permit: Permit) {
        if permit.is_probe() {
            self.lock(|machine| machine.cancel(permit));
        }
    }

    /// The state at this time.
    pub fn state(&self, now: u64) -> State {
        match self.view() {
            View::Closed { .. } => State::Closed,
            View::Open { until } if now < until => State::Open,
            View::Open { .. } | View::HalfOpen => State::HalfOpen,
        }
    }

    /// Another node's word that it opened its breaker for this endpoint until then (in this node's clock).
    ///
    /// Opens a closed breaker, for [`BreakerConfig::open_for`] at most, and answers whether it did. Anything else is
    /// ignored: a breaker that is open or half-open knows from its own requests, or will soon. So advice can only cost the
    /// time of one first opening, after which the probes of this node decide. An opening made by advice is not to be passed
    /// on, else two nodes could keep one another open.
    pub fn advise_open(&self, until: u64, now: u64) -> bool {
        match self.view() {
            View::Closed { .. } if now < until => {
                self.change(|machine| machine.advise_open(until, now))
            }
            _ => false,
        }
    }

    /// Closes the breaker and forgets everything, as for an endpoint that was replaced. Requests under way no longer count.
    pub fn reset(&self) {
        self.change(Machine::reset);
    }

    fn view(&self) -> View {
        word::decode(self.view.load(Ordering::Acquire))
    }

    /// For what leaves the view as it is.
    fn lock<R>(&self, work: impl FnOnce(&mut Machine) -> R) -> R {
        // No call of the machine leaves it half changed, so a panic elsewhere while it was held does no harm.
        work(&mut self.machine.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<R>(&self, work: impl FnOnce(&mut Machine) -> R) -> R {
        self.lock(|machine| {
            let result = work(machine);
            // Under the lock, so that views appear in the order of the changes.
            self.view
                .store(word::encode(machine.view()), Ordering::Release);
            result
        })
    }
}
