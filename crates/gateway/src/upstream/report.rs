//! The state of upstreams as metrics, looked up when they are scraped.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bastide_limit::clock;
use bastide_resilience::breaker::State;
use bastide_telemetry::metrics::Registry;

use crate::snapshot::{Endpoint, Snapshot};

/// Adds gauges for breakers, health and requests in flight. Their labels are configured: the route's id and the upstream's
/// URL, which holds neither query nor password.
pub(crate) fn register(registry: &Registry, snapshot: &Arc<ArcSwap<Snapshot>>) {
    let gauge = |name, help, read: fn(&Endpoint) -> Option<f64>| {
        let snapshot = Arc::clone(snapshot);
        registry.gauges(name, help, &["route", "upstream"], move |emit| {
            for route in snapshot.load().routes() {
                let id = route.id.to_string();
                for endpoint in &route.endpoints {
                    if let Some(value) = read(endpoint) {
                        emit(&[&id, endpoint.url.as_str()], value);
                    }
                }
            }
        });
    };
    gauge(
        "gateway_circuit_breaker_state",
        "0 closed, 1 open, 2 half-open",
        |endpoint| {
            let breaker = endpoint.state.breaker.as_ref()?;
            Some(match breaker.state(clock::now()) {
                State::Closed => 0.0,
                State::Open => 1.0,
                State::HalfOpen => 2.0,
            })
        },
    );
    gauge(
        "gateway_upstream_healthy",
        "1 while health checks call the upstream well, else 0",
        |endpoint| {
            let is_checked = endpoint.state.is_checked();
            is_checked.then(|| f64::from(u8::from(endpoint.state.health.is_healthy())))
        },
    );
    gauge(
        "gateway_upstream_requests_in_flight",
        "Attempts at the upstream that are not decided yet",
        |endpoint| Some(endpoint.state.load.in_flight().into()),
    );
}
