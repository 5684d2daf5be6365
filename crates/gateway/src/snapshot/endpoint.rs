//! An endpoint of a route: where it is, and how it has behaved.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bastide_resilience::balance::Load;
use bastide_resilience::breaker::{Availability, Breaker, BreakerConfig, State};
use bastide_resilience::health::{Health, HealthConfig};
use bastide_routing::{BasePath, ConfigError};
use uuid::Uuid;

use crate::model::{CircuitBreaker, HealthCheck, Upstream, UpstreamAddress, UpstreamUrl};
use crate::upstream::advice::{Change, News, NewsSender};
use crate::upstream::origin::{Origin, Origins};

pub(crate) struct Endpoint {
    pub(crate) url: UpstreamUrl,
    pub(crate) origin: Arc<Origin>,
    pub(crate) base_path: BasePath,
    /// `Host: ...\r\n`
    pub(crate) host_line: Box<[u8]>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) state: Arc<EndpointState>,
}

impl Endpoint {
    pub(crate) fn compile(
        upstream: &Upstream,
        origins: &Origins,
        state: Arc<EndpointState>,
    ) -> Result<Self, ConfigError> {
        let host = match upstream.url.address() {
            UpstreamAddress::Tcp { host, port, tls } => {
                let host = if host.contains(':') {
                    format!("[{host}]")
                } else {
                    host.clone()
                };
                if *port == if *tls { 443 } else { 80 } {
                    host
                } else {
                    format!("{host}:{port}")
                }
            }
            UpstreamAddress::Unix(_) => "localhost".to_owned(),
        };
        Ok(Self {
            url: upstream.url.clone(),
            origin: origins.get(upstream.url.address(), upstream.protocol),
            base_path: BasePath::parse(upstream.url.base_path())?,
            host_line: format!("Host: {host}\r\n").into_bytes().into_boxed_slice(),
            timeout: upstream.timeout.map(Duration::from_millis),
            state,
        })
    }
}

/// Tells endpoints apart, also those that were configured one after the other. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct EndpointNumber(u64);

/// How an endpoint has behaved; outlives snapshots.
pub(crate) struct EndpointState {
    pub(crate) number: EndpointNumber,
    pub(crate) route: Uuid,
    pub(crate) url: UpstreamUrl,
    pub(crate) health: Health,
    pub(crate) breaker: Option<Box<Breaker>>,
    pub(crate) load: Load,
    /// Whether the last TLS handshake with it failed for a reason that lasts.
    is_tls_failing: AtomicBool,
    rules: Option<Box<Rules>>,
    /// Who tells the other nodes, if there may be any.
    news: Option<NewsSender>,
}

/// By what an endpoint is judged, beyond its answers.
struct Rules {
    breaker: Option<CircuitBreaker>,
    health: Option<HealthCheck>,
}

impl EndpointState {
    pub(crate) fn new(
        route: Uuid,
        url: &UpstreamUrl,
        breaker: Option<&CircuitBreaker>,
        health: Option<&HealthCheck>,
        news: Option<NewsSender>,
    ) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let thresholds = health.map_or_else(HealthConfig::default, |rules| HealthConfig {
            healthy_threshold: rules.healthy_threshold,
            unhealthy_threshold: rules.unhealthy_threshold,
        });
        let rules = Rules {
            breaker: breaker.cloned(),
            health: health.cloned(),
        };
        Self {
            number: EndpointNumber(NUMBERS.fetch_add(1, Ordering::Relaxed)),
            route,
            url: url.clone(),
            health: Health::new(thresholds),
            breaker: breaker.map(|rules| {
                Box::new(Breaker::new(BreakerConfig {
                    failure_threshold: rules.failure_threshold,
                    success_threshold: rules.success_threshold,
                    open_for: Duration::from_millis(rules.timeout),
                }))
            }),
            load: Load::default(),
            is_tls_failing: AtomicBool::new(false),
            rules: (breaker.is_some() || health.is_some()).then(|| Box::new(rules)),
            news,
        }
    }

    /// Whether it was judged by these rules: what was learned by others says nothing under them.
    pub(crate) fn is_for(
        &self,
        breaker: Option<&CircuitBreaker>,
        health: Option<&HealthCheck>,
    ) -> bool {
        let rules = self.rules.as_ref();
        rules.and_then(|rules| rules.breaker.as_ref()) == breaker
            && rules.and_then(|rules| rules.health.as_ref()) == health
    }

    /// Notes whether a TLS handshake with it failed for a reason that lasts. Tells whether that is news.
    pub(crate) fn note_tls(&self, is_failing: bool) -> bool {
        // Looked at before it is written: all workers share it, and it hardly ever changes.
        self.is_tls_failing.load(Ordering::Relaxed) != is_failing
            && self.is_tls_failing.swap(is_failing, Ordering::Relaxed) != is_failing
    }

    /// Whether anybody probes it.
    pub(crate) fn is_checked(&self) -> bool {
        self.rules
            .as_ref()
            .is_some_and(|rules| rules.health.is_some())
    }

    /// Passes on what this node's own probes found.
    pub(crate) fn note_health(&self, is_healthy: bool) {
        let state = if is_healthy { "healthy" } else { "unhealthy" };
        tracing::warn!(route = %self.route, upstream = %self.url, state, "an upstream changed");
        if is_healthy {
            // What was learned about its pace before it broke says nothing about it now.
            self.load.forget();
        }
        self.tell(Change::Healthy(is_healthy));
    }

    /// Passes on what this node's own requests did to the breaker.
    pub(crate) fn note_breaker(&self, breaker: &Breaker, state: State, now: u64) {
        tracing::warn!(route = %self.route, upstream = %self.url, ?state, "a circuit breaker changed");
        if let (State::Open, Availability::Open { until }) = (state, breaker.availability(now)) {
            self.tell(Change::Open((until - now).div_ceil(1_000)));
        }
    }

    fn tell(&self, change: Change) {
        if let Some(news) = &self.news {
            // The listener ends only with the process.
            news.send(News {
                route: self.route,
                url: self.url.to_string(),
                change,
            })
            .ok();
        }
    }

    /// Whether a request may go there now.
    pub(crate) fn may_serve(&self, now: u64) -> bool {
        self.health.is_healthy()
            && self
                .breaker
                .as_ref()
                .is_none_or(|breaker| breaker.availability(now) == Availability::Ready)
    }
}
