//! Station: the books. Every worker counts in cells of its own; the scrape adds them up.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use bastide_http1::Method;
use bastide_telemetry::metrics::{
    Family, LocalCounter, LocalGauge, LocalHistogram, Registry, Shard,
};
use tokio::time::Instant;
use uuid::Uuid;

use super::call::Call;
use super::line::Served;

/// Series per family; what goes beyond is counted under `other`.
const MAX_SERIES: usize = 100_000;

/// The families of the data plane. Labels are configured ids, known methods and status codes, so that no client can make
/// series.
pub(crate) struct Metrics {
    requests: Family<LocalCounter>,
    durations: Family<LocalHistogram>,
    refusals: Family<LocalCounter>,
    connections: Family<LocalGauge>,
    stale: Family<LocalCounter>,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
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
                &["tenant_id", "route"],
                MAX_SERIES,
            ),
            refusals: registry.family(
                "gateway_rate_limit_hits",
                "Requests refused with 429",
                &["tenant_id"],
                MAX_SERIES,
            ),
            connections: registry.family("gateway_connections", "Open connections", &["side"], 4),
            stale: registry.family(
                "gateway_stale_connections",
                "Pooled connections that an upstream had closed just before they were used",
                &[],
                1,
            ),
        }
    }

    /// Forgets the series of tenants and routes that are gone.
    pub(crate) fn retain(&self, is_known: impl Fn(&str) -> bool) {
        let known = |id: &str| id.is_empty() || is_known(id);
        self.requests
            .retain(|labels| known(&labels[0]) && known(&labels[1]));
        self.durations
            .retain(|labels| known(&labels[0]) && known(&labels[1]));
        self.refusals.retain(|labels| known(&labels[0]));
    }
}

/// One worker's cells.
pub(crate) struct WorkerMetrics {
    requests: Shard<LocalCounter>,
    durations: Shard<LocalHistogram>,
    refusals: Shard<LocalCounter>,
    clients: Arc<LocalGauge>,
    idle_upstreams: Arc<LocalGauge>,
    stale: Arc<LocalCounter>,
    series: RefCell<HashMap<SeriesKey, Arc<LocalCounter>, foldhash::fast::RandomState>>,
    times: RefCell<HashMap<(Uuid, Uuid), Arc<LocalHistogram>, foldhash::fast::RandomState>>,
    refused: RefCell<HashMap<Uuid, Arc<LocalCounter>, foldhash::fast::RandomState>>,
}

type SeriesKey = (Uuid, Uuid, Method, u16);

impl WorkerMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let connections = metrics.connections.shard();
        Self {
            requests: metrics.requests.shard(),
            durations: metrics.durations.shard(),
            refusals: metrics.refusals.shard(),
            clients: connections.series(&["client"]),
            idle_upstreams: connections.series(&["upstream_idle"]),
            stale: metrics.stale.shard().series(&[]),
            series: RefCell::default(),
            times: RefCell::default(),
            refused: RefCell::default(),
        }
    }

    /// Counts one finished request.
    pub(crate) fn count(&self, call: &Call<'_>, served: &Served<'_>) {
        let finished = served.finished.unwrap_or_else(Instant::now);
        let tenant = call
            .identity
            .map_or(Uuid::nil(), |identity| identity.tenant.id);
        let route = served.route.map_or(Uuid::nil(), |route| route.id);
        let method = call.head.method_kind();
        self.series
            .borrow_mut()
            .entry((tenant, route, method, served.status))
            .or_insert_with(|| {
                let method = if method == Method::Other {
                    "other"
                } else {
                    method.as_str()
                };
                self.requests.series(&[
                    &label(tenant),
                    &label(route),
                    method,
                    &served.status.to_string(),
                ])
            })
            .add(1);
        self.times
            .borrow_mut()
            .entry((tenant, route))
            .or_insert_with(|| self.durations.series(&[&label(tenant), &label(route)]))
            .observe_time(finished - call.arrived);
        if served.status == 429 {
            self.refused
                .borrow_mut()
                .entry(tenant)
                .or_insert_with(|| self.refusals.series(&[&label(tenant)]))
                .add(1);
        }
    }

    /// Counts a pooled connection that turned out to be dead.
    pub(crate) fn stale_connection(&self) {
        self.stale.add(1);
    }

    pub(crate) fn set_connections(&self, clients: usize, idle_upstreams: usize) {
        self.clients.set(clients as i64);
        self.idle_upstreams.set(idle_upstreams as i64);
    }

    /// Lets go of cached series; those still in use come back by themselves.
    pub(crate) fn forget_series(&self) {
        self.series.borrow_mut().clear();
        self.times.borrow_mut().clear();
        self.refused.borrow_mut().clear();
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
