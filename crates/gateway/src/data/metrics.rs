//! Station: the books. Every worker counts in cells of its own; the scrape adds them up.

mod kept;
mod upstreams;

use std::sync::Arc;

use bastide_http1::Method;
use bastide_telemetry::metrics::{
    Family, LocalCounter, LocalGauge, LocalHistogram, Registry, Shard,
};
use tokio::time::Instant;
use uuid::Uuid;

use self::kept::Kept;
use self::upstreams::Families;
pub(crate) use self::upstreams::{Reason, Retried, Upstreams};
use super::call::Call;
use super::line::Served;

/// Series per family; what goes beyond is counted under `other`.
const MAX_SERIES: usize = 100_000;

/// The families of the data plane. Labels are what is configured, known methods, status codes and the gateway's own words,
/// so that no client can make series.
pub(crate) struct Metrics {
    requests: Family<LocalCounter>,
    durations: Family<LocalHistogram>,
    received: Family<LocalCounter>,
    sent: Family<LocalCounter>,
    in_flight: Family<LocalGauge>,
    refusals: Family<LocalCounter>,
    connections: Family<LocalGauge>,
    closed: Family<LocalCounter>,
    stale: Family<LocalCounter>,
    upstreams: Families,
}

/// Why the gateway ended a client's connection, or its exchange over HTTP/2, that the client had not ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Closed {
    /// Nothing moved in a WebSocket.
    TunnelIdle,
    /// What waited for the client was not taken.
    SlowClient,
    /// It was idle and another one needed the room.
    MadeRoom,
    /// There was no room for it.
    NoRoom,
}

impl Closed {
    const ALL: [Self; 4] = [
        Self::TunnelIdle,
        Self::SlowClient,
        Self::MadeRoom,
        Self::NoRoom,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::TunnelIdle => "tunnel_idle",
            Self::SlowClient => "slow_client",
            Self::MadeRoom => "made_room",
            Self::NoRoom => "no_room",
        }
    }
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let by_route = &["tenant_id", "route"];
        Self {
            requests: registry.family(
                "gateway_http_requests",
                "Requests answered",
                &["tenant_id", "route", "method", "status_code"],
                MAX_SERIES,
            ),
            durations: registry.family(
                "gateway_http_request_duration_seconds",
                "Time from a request's head to the end of its response",
                by_route,
                MAX_SERIES,
            ),
            received: registry.family(
                "gateway_http_received_bytes",
                "Bytes of requests, heads and framing included",
                by_route,
                MAX_SERIES,
            ),
            sent: registry.family(
                "gateway_http_sent_bytes",
                "Bytes of responses, heads and framing included",
                by_route,
                MAX_SERIES,
            ),
            in_flight: registry.family(
                "gateway_http_requests_in_flight",
                "Requests whose head was read and whose response is not out yet",
                &[],
                1,
            ),
            refusals: registry.family(
                "gateway_rate_limit_hits",
                "Requests refused with 429",
                &["tenant_id"],
                MAX_SERIES,
            ),
            connections: registry.family("gateway_connections", "Open connections", &["side"], 4),
            closed: registry.family(
                "gateway_connections_closed",
                "Connections and HTTP/2 exchanges of clients that the gateway ended by itself",
                &["reason"],
                Closed::ALL.len(),
            ),
            stale: registry.family(
                "gateway_stale_connections",
                "Pooled connections that an upstream had closed just before they were used",
                &[],
                1,
            ),
            upstreams: Families::new(registry),
        }
    }

    /// Forgets the series of tenants, routes and upstreams of routes that are gone.
    pub(crate) fn retain(
        &self,
        is_known: impl Fn(&str) -> bool,
        is_upstream: impl Fn(&str, &str) -> bool,
    ) {
        let known = |id: &str| id.is_empty() || is_known(id);
        let both = |labels: &[Box<str>]| known(&labels[0]) && known(&labels[1]);
        self.requests.retain(both);
        self.durations.retain(both);
        self.received.retain(both);
        self.sent.retain(both);
        self.refusals.retain(|labels| known(&labels[0]));
        self.upstreams.retain(known, is_upstream);
    }
}

/// One worker's cells.
pub(crate) struct WorkerMetrics {
    requests: Shard<LocalCounter>,
    durations: Shard<LocalHistogram>,
    received: Shard<LocalCounter>,
    sent: Shard<LocalCounter>,
    refusals: Shard<LocalCounter>,
    clients: Arc<LocalGauge>,
    idle_upstreams: Arc<LocalGauge>,
    in_flight: Arc<LocalGauge>,
    stale: Arc<LocalCounter>,
    closed: [Arc<LocalCounter>; Closed::ALL.len()],
    counted: Kept<(Uuid, Uuid, Method, u16), Arc<LocalCounter>>,
    by_route: Kept<(Uuid, Uuid), ByRoute>,
    refused: Kept<Uuid, Arc<LocalCounter>>,
    /// The books on upstreams.
    pub(crate) upstreams: Upstreams,
}

struct ByRoute {
    durations: Arc<LocalHistogram>,
    received: Arc<LocalCounter>,
    sent: Arc<LocalCounter>,
}

/// Bytes that one request moved between the client and the gateway, before TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) received: u64,
    pub(crate) sent: u64,
}

/// Counts a request as in flight for as long as it lives.
pub(crate) struct InFlight<'m>(&'m LocalGauge);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

impl WorkerMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let connections = metrics.connections.shard();
        let closed = metrics.closed.shard();
        Self {
            requests: metrics.requests.shard(),
            durations: metrics.durations.shard(),
            received: metrics.received.shard(),
            sent: metrics.sent.shard(),
            refusals: metrics.refusals.shard(),
            clients: connections.series(&["client"]),
            idle_upstreams: connections.series(&["upstream_idle"]),
            in_flight: metrics.in_flight.shard().series(&[]),
            stale: metrics.stale.shard().series(&[]),
            closed: Closed::ALL.map(|reason| closed.series(&[reason.name()])),
            counted: Kept::default(),
            by_route: Kept::default(),
            refused: Kept::default(),
            upstreams: Upstreams::new(&metrics.upstreams),
        }
    }

    /// Counts a request as in flight until the answer is dropped.
    pub(crate) fn begin(&self) -> InFlight<'_> {
        self.in_flight.add(1);
        InFlight(&self.in_flight)
    }

    /// Counts one finished request.
    pub(crate) fn count(
        &self,
        call: &Call<'_>,
        served: &Served<'_>,
        traffic: Traffic,
        finished: Instant,
    ) {
        let tenant = call
            .identity
            .map_or(Uuid::nil(), |identity| identity.tenant.id);
        let route = served.route.map_or(Uuid::nil(), |route| route.id);
        let method = call.head.method_kind();
        self.counted.with(
            (tenant, route, method, served.status),
            || {
                let method = if method == Method::Other {
                    "other"
                } else {
                    method.as_str()
                };
                let status = served.status.to_string();
                self.requests
                    .series(&[&label(tenant), &label(route), method, &status])
            },
            |requests| requests.add(1),
        );
        self.by_route.with(
            (tenant, route),
            || {
                let (tenant, route) = (label(tenant), label(route));
                let labels = [tenant.as_str(), &route];
                ByRoute {
                    durations: self.durations.series(&labels),
                    received: self.received.series(&labels),
                    sent: self.sent.series(&labels),
                }
            },
            |cells| {
                cells.durations.observe_time(finished - call.arrived);
                cells.received.add(traffic.received);
                cells.sent.add(traffic.sent);
            },
        );
        if served.status == 429 {
            self.refused.with(
                tenant,
                || self.refusals.series(&[&label(tenant)]),
                |refused| refused.add(1),
            );
        }
    }

    /// Counts a pooled connection that turned out to be dead.
    pub(crate) fn stale_connection(&self) {
        self.stale.add(1);
    }

    /// Counts a connection that the gateway ended.
    pub(crate) fn closed(&self, reason: Closed) {
        self.closed[reason as usize].add(1);
    }

    pub(crate) fn set_connections(&self, clients: usize, idle_upstreams: usize) {
        self.clients.set(clients as i64);
        self.idle_upstreams.set(idle_upstreams as i64);
    }

    /// Lets go of cached series; those still in use come back by themselves.
    pub(crate) fn forget_series(&self) {
        self.counted.forget();
        self.by_route.forget();
        self.refused.forget();
        self.upstreams.forget();
    }
}

/// No id is an empty label, which Prometheus treats as an absent one.
fn label(id: Uuid) -> String {
    if id.is_nil() {
        String::new()
    } else {
        id.to_string()
    }
}
