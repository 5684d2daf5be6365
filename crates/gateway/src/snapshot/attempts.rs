//! The endpoints of a route as one request sees them: which to try, whether to try again, and what was learned.

use std::time::Duration;

use bastide_limit::clock;
use bastide_resilience::backoff::Backoff;
use bastide_resilience::breaker::{self, Availability, Permit};
use bastide_resilience::budget::{Active, Budget, Retry};
use smallvec::SmallVec;
use tokio::time::Instant;

use super::endpoint::Endpoint;
use super::route::{Retrying, RouteEntry};
use crate::data::Refusal;

/// How an attempt ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Outcome {
    /// The upstream answered.
    Status(u16),
    /// It did not, or not in time, or broke off.
    Failed,
}

/// Whether another attempt is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// Yes, after this time.
    After(Duration),
    /// No: the route does not want one, or has had all that it wants.
    No,
    /// No: the route wants one, but its budget is used up.
    OverBudget,
}

/// The attempts of one request.
pub(crate) struct Attempts<'r> {
    route: &'r RouteEntry,
    /// Endpoints that were tried since the last time that all had been.
    tried: SmallVec<[usize; 4]>,
    made: u32,
    /// Counted while the request lasts, where it may be retried.
    _active: Option<Active<'r>>,
    /// Counted while a retry lasts.
    retrying: Option<Retry<'r>>,
}

/// An endpoint that is being tried. Whoever has one tells how it ended; dropping it tells nothing.
pub(crate) struct Picked<'r> {
    pub(crate) endpoint: &'r Endpoint,
    permit: Option<Permit>,
    /// On the limiter's clock.
    started: u64,
}

impl<'r> Attempts<'r> {
    pub(crate) fn new(route: &'r RouteEntry, now: u64) -> Self {
        let budget = route.retrying.as_ref().map(|retrying| &*retrying.budget);
        if let Some(budget) = budget {
            budget.deposit(now);
        }
        Self {
            route,
            tried: SmallVec::new(),
            made: 0,
            _active: budget.map(Budget::begin),
            retrying: None,
        }
    }

    /// The endpoint for the next attempt: one that was not tried yet, if there is one. Unhealthy endpoints and those whose
    /// breaker is open are passed over.
    pub(crate) fn pick(&mut self, random: u64, now: u64) -> Result<Picked<'r>, Refusal> {
        let endpoints = &self.route.endpoints;
        // Another request may take a half-open breaker's last probe between the look and the grip.
        let mut lost = SmallVec::<[usize; 4]>::new();
        loop {
            let may_serve = |i: usize| endpoints[i].state.may_serve(now) && !lost.contains(&i);
            let load = |i: usize| &endpoints[i].state.load;
            let untried = |i: usize| may_serve(i) && !self.tried.contains(&i);
            let balancer = &self.route.balancer;
            let chosen = if self.made == 0 {
                balancer.pick(may_serve, load, random, now)
            } else {
                balancer
                    .pick_again(untried, load, random, now)
                    .or_else(|| balancer.pick_again(may_serve, load, random, now))
            };
            let Some(chosen) = chosen else {
                return Err(self.nobody(now));
            };
            let endpoint = &endpoints[chosen];
            let permit = match &endpoint.state.breaker {
                None => None,
                Some(breaker) => {
                    let permit = breaker.try_acquire(now);
                    if permit.is_none() {
                        lost.push(chosen);
                        continue;
                    }
                    permit
                }
            };
            if self.tried.len() == endpoints.len() {
                self.tried.clear();
            }
            self.tried.push(chosen);
            self.made += 1;
            endpoint.state.load.start();
            return Ok(Picked {
                endpoint,
                permit,
                started: now,
            });
        }
    }

    /// Why nobody can be tried: health first, as a healthy endpoint with an open breaker is closer to serving.
    fn nobody(&self, now: u64) -> Refusal {
        let open_until = self
            .route
            .endpoints
            .iter()
            .filter(|endpoint| endpoint.state.health.is_healthy())
            .filter_map(|endpoint| endpoint.state.breaker.as_ref())
            .map(|breaker| match breaker.availability(now) {
                Availability::Open { until } => until,
                Availability::Probing | Availability::Ready => now,
            })
            .min();
        match open_until {
            None => Refusal::NoHealthyEndpoint,
            Some(until) => Refusal::BreakerOpen {
                retry_after: Duration::from_micros(until.saturating_sub(now)),
            },
        }
    }

    /// Whether the route wants another attempt after a response with this status.
    pub(crate) fn is_retryable(&self, status: u16) -> bool {
        let retrying = self.route.retrying.as_deref();
        retrying.is_some_and(|retrying| retrying.rules.retryable_status_codes.contains(&status))
    }

    /// Whether to try again after a response with this status.
    pub(crate) fn retry_status(
        &mut self,
        status: u16,
        wish: Option<Duration>,
        random: u64,
    ) -> Again {
        if self.is_retryable(status) {
            self.delay(wish, random)
        } else {
            Again::No
        }
    }

    /// Whether to try again after no response. Where nobody can have seen the request, an endpoint that was not tried yet is
    /// tried at once, asked for or not.
    pub(crate) fn retry_failure(&mut self, was_sent: bool, random: u64) -> Again {
        if !was_sent && self.tried.len() < self.route.endpoints.len() {
            return Again::After(Duration::ZERO);
        }
        self.delay(None, random)
    }

    fn delay(&mut self, wish: Option<Duration>, random: u64) -> Again {
        let Some(Retrying { rules, budget }) = self.route.retrying.as_deref() else {
            return Again::No;
        };
        if self.made > rules.max_retries {
            return Again::No;
        }
        // An earlier retry of this request is over.
        self.retrying = None;
        self.retrying = budget.retry(clock::now());
        if self.retrying.is_none() {
            return Again::OverBudget;
        }
        let backoff = Backoff {
            base: Duration::from_millis(rules.base_delay_ms),
            max: Duration::from_millis(rules.max_delay_ms),
        };
        Again::After(backoff.with_retry_after(self.made - 1, random, wish))
    }

    /// Whether a response with this status is what is left after all retries failed.
    pub(crate) fn is_last_word(&self, status: u16) -> bool {
        self.made > 1 && self.is_retryable(status)
    }
}

impl Picked<'_> {
    /// Tells how and when it ended.
    pub(crate) fn finish(mut self, outcome: Outcome, at: Instant) {
        let now = clock::at(at.into_std());
        let state = &self.endpoint.state;
        let is_failure = matches!(outcome, Outcome::Failed | Outcome::Status(500..));
        state.load.finish(
            Some(Duration::from_micros(now.saturating_sub(self.started))),
            !is_failure,
            now,
        );
        if let (Some(breaker), Some(permit)) = (&state.breaker, self.permit.take()) {
            let outcome = match outcome {
                Outcome::Status(100..=299) => breaker::Outcome::Success,
                Outcome::Status(300..=499) => breaker::Outcome::Neutral,
                Outcome::Status(_) | Outcome::Failed => breaker::Outcome::Failure,
            };
            if let Some(changed) = breaker.record(permit, outcome, now) {
                state.note_breaker(breaker, changed, now);
            }
        }
        // Told: `drop` has nothing to add.
        std::mem::forget(self);
    }
}

impl Drop for Picked<'_> {
    /// The client went away, or its task was ended: nothing was learned about the upstream.
    fn drop(&mut self) {
        let state = &self.endpoint.state;
        state.load.finish(None, true, clock::now());
        if let (Some(breaker), Some(permit)) = (&state.breaker, self.permit.take()) {
            breaker.cancel(permit);
        }
    }
}
