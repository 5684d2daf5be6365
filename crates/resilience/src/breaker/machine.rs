//! The breaker as a pure machine: one owner, no lock, no clock.

use super::{Availability, BreakerConfig, Outcome, Permit, State, word, word::View};
use std::collections::VecDeque;

/// An opening never lasts longer than this many times the first one.
const MAX_BACKOFF: u64 = 10;

#[derive(Debug)]
pub(super) struct Machine {
    failure_threshold: u32,
    success_threshold: u32,
    /// Microseconds.
    open_for: u64,
    /// Goes up with each change of the phase; permits carry it.
    generation: u64,
    /// Times in a row that half-open ended in a failure.
    reopenings: u32,
    /// The number of the last probe.
    last_probe: u64,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Closed {
        failures: u32,
    },
    Open {
        until: u64,
    },
    HalfOpen {
        successes: u32,
        out: VecDeque<Probe>,
    },
}

/// A probe that is out. They stand in the order in which they were given, which is that of `number` and of `since`.
#[derive(Debug)]
struct Probe {
    number: u64,
    since: u64,
}

impl Machine {
    pub(super) fn new(config: &BreakerConfig) -> Self {
        Self {
            failure_threshold: config.failure_threshold,
            success_threshold: config.success_threshold,
            open_for: u64::try_from(config.open_for.as_micros()).unwrap_or(u64::MAX),
            generation: 0,
            reopenings: 0,
            last_probe: 0,
            phase: Phase::Closed { failures: 0 },
        }
    }

    pub(super) fn view(&self) -> View {
        match self.phase {
            Phase::Closed { failures } => View::Closed {
                generation: self.generation,
                failing: failures > 0,
            },
            Phase::Open { until } => View::Open { until },
            Phase::HalfOpen { .. } => View::HalfOpen,
        }
    }

    pub(super) fn availability(&self, now: u64) -> Availability {
        match &self.phase {
            Phase::Open { until } if now < *until => Availability::Open { until: *until },
            Phase::HalfOpen { out, .. } => {
                let held = out
                    .iter()
                    .filter(|probe| !is_lost(probe, now, self.open_for))
                    .count();
                if held < self.success_threshold as usize {
                    Availability::Ready
                } else {
                    Availability::Probing
                }
            }
            Phase::Closed { .. } | Phase::Open { .. } => Availability::Ready,
        }
    }

    pub(super) fn try_acquire(&mut self, now: u64) -> Option<Permit> {
        if matches!(self.phase, Phase::Open { until } if until <= now) {
            self.enter(Phase::HalfOpen {
                successes: 0,
                out: VecDeque::new(),
            });
        }
        let probe = match &mut self.phase {
            Phase::Closed { .. } => 0,
            Phase::Open { .. } => return None,
            Phase::HalfOpen { out, .. } => {
                while out
                    .front()
                    .is_some_and(|probe| is_lost(probe, now, self.open_for))
                {
                    out.pop_front();
                }
                // Not fewer places for the successes there are: a probe that hangs must not keep the others from closing.
                if out.len() >= self.success_threshold as usize {
                    return None;
                }
                self.last_probe += 1;
                out.push_back(Probe {
                    number: self.last_probe,
                    since: now,
                });
                self.last_probe
            }
        };
        Some(Permit {
            generation: self.generation,
            probe,
        })
    }

    /// The outcome of a lost probe still counts while its half-open lasts: with a timeout longer than `open_for` there
    /// would otherwise be no outcome that does.
    pub(super) fn record(&mut self, permit: Permit, outcome: Outcome, now: u64) -> Option<State> {
        if permit.generation != self.generation {
            return None;
        }
        match (&mut self.phase, outcome) {
            (Phase::Closed { failures }, Outcome::Success) => *failures = 0,
            (Phase::Closed { failures }, Outcome::Failure) => {
                *failures += 1;
                if *failures >= self.failure_threshold {
                    return Some(self.open(now, self.open_for));
                }
            }
            (Phase::HalfOpen { successes, out }, Outcome::Success | Outcome::Neutral) => {
                give_back(out, permit);
                *successes += 1;
                if *successes >= self.success_threshold {
                    self.reset();
                    return Some(State::Closed);
                }
            }
            (Phase::HalfOpen { .. }, Outcome::Failure) => {
                let factor = 1u64
                    .checked_shl(self.reopenings)
                    .unwrap_or(MAX_BACKOFF)
                    .min(MAX_BACKOFF);
                self.reopenings = self.reopenings.saturating_add(1);
                return Some(self.open(now, self.open_for.saturating_mul(factor)));
            }
            (Phase::Closed { .. }, Outcome::Neutral) | (Phase::Open { .. }, _) => {}
        }
        None
    }

    pub(super) fn cancel(&mut self, permit: Permit) {
        if let Phase::HalfOpen { out, .. } = &mut self.phase {
            give_back(out, permit);
        }
    }

    pub(super) fn advise_open(&mut self, until: u64, now: u64) -> bool {
        if now < until && matches!(self.phase, Phase::Closed { .. }) {
            self.open(now, (until - now).min(self.open_for));
            return true;
        }
        false
    }

    pub(super) fn reset(&mut self) {
        self.reopenings = 0;
        self.enter(Phase::Closed { failures: 0 });
    }

    fn open(&mut self, now: u64, time: u64) -> State {
        self.enter(Phase::Open {
            until: now.saturating_add(time).min(word::MAX),
        });
        State::Open
    }

    fn enter(&mut self, phase: Phase) {
        self.generation += 1;
        self.phase = phase;
    }
}

fn is_lost(probe: &Probe, now: u64, after: u64) -> bool {
    now.saturating_sub(probe.since) >= after
}

/// Probe numbers are never used twice, so a permit from before finds nothing.
fn give_back(out: &mut VecDeque<Probe>, permit: Permit) {
    if let Ok(place) = out.binary_search_by_key(&permit.probe, |probe| probe.number) {
        out.remove(place);
    }
}
