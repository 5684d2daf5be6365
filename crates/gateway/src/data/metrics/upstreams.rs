//! The books on upstreams: every attempt, every failure, every retry.

use std::sync::Arc;
use std::time::Duration;

use bastide_telemetry::metrics::{Family, LocalCounter, LocalHistogram, Registry, Shard};
use uuid::Uuid;

use super::kept::Kept;
use super::{MAX_SERIES, label};
use crate::snapshot::{Endpoint, EndpointNumber, RouteEntry};

/// The families. Labels are the route's id, the upstream's URL as it is configured, and words of the gateway's own.
pub(super) struct Families {
    requests: Family<LocalCounter>,
    times: Family<LocalHistogram>,
    failures: Family<LocalCounter>,
    retries: Family<LocalCounter>,
}

/// Why an attempt failed, or why another was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reason {
    /// No connection.
    Connect,
    /// No connection in time.
    ConnectTimeout,
    /// The upstream closed the connection before its response.
    Closed,
    /// The response is not HTTP, or of a protocol that nobody asked for.
    Malformed,
    /// No response in time.
    Timeout,
    /// The response broke off.
    Cut,
    /// A status that the route has tried again.
    Status,
}

/// What became of a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Retried {
    /// It brought a response that nobody would try again.
    Success,
    /// It failed as well.
    Failure,
    /// The client did not wait for it.
    Cancelled,
    /// It was not made: the route's budget for retries was used up.
    OverBudget,
}

impl Reason {
    fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::ConnectTimeout => "connect_timeout",
            Self::Closed => "closed",
            Self::Malformed => "malformed",
            Self::Timeout => "timeout",
            Self::Cut => "cut",
            Self::Status => "status",
        }
    }
}

impl Retried {
    /// The outcome of a retry that brought a response.
    pub(crate) fn of(is_failure: bool) -> Self {
        if is_failure {
            Self::Failure
        } else {
            Self::Success
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
            Self::OverBudget => "over_budget",
        }
    }
}

impl Families {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            requests: registry.family(
                "gateway_upstream_requests",
                "Attempts at upstreams by the class of the answer; `none` where none came",
                &["route", "upstream", "status_class"],
                MAX_SERIES,
            ),
            times: registry.family(
                "gateway_upstream_duration_seconds",
                "Time from the start of an attempt, connecting included, to the head of its response",
                &["route", "upstream"],
                MAX_SERIES,
            ),
            failures: registry.family(
                "gateway_upstream_failures",
                "Attempts at upstreams that brought no response, or not all of it",
                &["route", "upstream", "reason"],
                MAX_SERIES,
            ),
            retries: registry.family(
                "gateway_upstream_retries",
                "Retries by why they were wanted and what became of them",
                &["route", "reason", "outcome"],
                MAX_SERIES,
            ),
        }
    }

    /// Forgets routes, and upstreams of routes, that are gone.
    pub(super) fn retain(
        &self,
        is_route: impl Fn(&str) -> bool,
        is_upstream: impl Fn(&str, &str) -> bool,
    ) {
        let known = |labels: &[Box<str>]| is_upstream(&labels[0], &labels[1]);
        self.requests.retain(known);
        self.times.retain(known);
        self.failures.retain(known);
        self.retries.retain(|labels| is_route(&labels[0]));
    }
}

/// One worker's cells.
pub(crate) struct Upstreams {
    requests: Shard<LocalCounter>,
    times: Shard<LocalHistogram>,
    failures: Shard<LocalCounter>,
    retries: Shard<LocalCounter>,
    answered: Kept<(EndpointNumber, u8), Answered>,
    failed: Kept<(EndpointNumber, Reason), Arc<LocalCounter>>,
    retried: Kept<(Uuid, Reason, Retried), Arc<LocalCounter>>,
}

struct Answered {
    requests: Arc<LocalCounter>,
    times: Arc<LocalHistogram>,
}

impl Upstreams {
    pub(super) fn new(families: &Families) -> Self {
        Self {
            requests: families.requests.shard(),
            times: families.times.shard(),
            failures: families.failures.shard(),
            retries: families.retries.shard(),
            answered: Kept::default(),
            failed: Kept::default(),
            retried: Kept::default(),
        }
    }

    /// Counts an attempt that brought a response's head after this time.
    pub(crate) fn answered(&self, endpoint: &Endpoint, status: u16, after: Duration) {
        let class = (status / 100) as u8;
        self.with_answered(endpoint, class, |cells| {
            cells.requests.add(1);
            cells.times.observe_time(after);
        });
    }

    /// Counts an attempt that brought none, whoever's doing that was.
    pub(crate) fn unanswered(&self, endpoint: &Endpoint) {
        self.with_answered(endpoint, 0, |cells| cells.requests.add(1));
    }

    fn with_answered(&self, endpoint: &Endpoint, class: u8, count: impl FnOnce(&Answered)) {
        let find = || {
            let route = endpoint.state.route.to_string();
            let upstream = endpoint.url.as_str();
            let name = match class {
                1 => "1xx",
                2 => "2xx",
                3 => "3xx",
                4 => "4xx",
                5 => "5xx",
                0 => "none",
                _ => "other",
            };
            Answered {
                requests: self.requests.series(&[&route, upstream, name]),
                times: self.times.series(&[&route, upstream]),
            }
        };
        self.answered
            .with((endpoint.state.number, class), find, count);
    }

    /// Counts an attempt that the upstream failed.
    pub(crate) fn failed(&self, endpoint: &Endpoint, reason: Reason) {
        let find = || {
            let route = endpoint.state.route.to_string();
            self.failures
                .series(&[&route, endpoint.url.as_str(), reason.name()])
        };
        self.failed
            .with((endpoint.state.number, reason), find, |cell| cell.add(1));
    }

    /// Counts a retry when it has ended, or when it was wanted and not made.
    pub(crate) fn retried(&self, route: &RouteEntry, reason: Reason, outcome: Retried) {
        let find = || {
            self.retries
                .series(&[&label(route.id), reason.name(), outcome.name()])
        };
        self.retried
            .with((route.id, reason, outcome), find, |cell| cell.add(1));
    }

    pub(super) fn forget(&self) {
        self.answered.forget();
        self.failed.forget();
        self.retried.forget();
    }
}
