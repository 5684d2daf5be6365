//! An endpoint of a route: where it is, and how it has behaved.

use std::sync::Arc;
use std::time::Duration;

use bastide_resilience::balance::Load;
use bastide_resilience::breaker::{Availability, Breaker, BreakerConfig};
use bastide_resilience::health::{Health, HealthConfig};
use bastide_routing::{BasePath, ConfigError};
use uuid::Uuid;

use crate::model::{CircuitBreaker, HealthCheck, Upstream, UpstreamAddress, UpstreamUrl};
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
        let host = match &upstream.url.address {
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
            origin: origins.get(&upstream.url.address),
            base_path: BasePath::parse(&upstream.url.base_path)?,
            host_line: format!("Host: {host}\r\n").into_bytes().into_boxed_slice(),
            timeout: upstream.timeout.map(Duration::from_millis),
            state,
        })
    }
}

/// How an endpoint has behaved; outlives snapshots.
pub(crate) struct EndpointState {
    pub(crate) route: Uuid,
    pub(crate) url: UpstreamUrl,
    pub(crate) health: Health,
    pub(crate) breaker: Option<Breaker>,
    pub(crate) load: Load,
    breaker_rules: Option<CircuitBreaker>,
    health_rules: Option<HealthCheck>,
}

impl EndpointState {
    pub(crate) fn new(
        route: Uuid,
        url: &UpstreamUrl,
        breaker: Option<&CircuitBreaker>,
        health: Option<&HealthCheck>,
    ) -> Self {
        let rules = health.cloned().unwrap_or_default();
        Self {
            route,
            url: url.clone(),
            health: Health::new(HealthConfig {
                healthy_threshold: rules.healthy_threshold,
                unhealthy_threshold: rules.unhealthy_threshold,
            }),
            breaker: breaker.map(|rules| {
                Breaker::new(BreakerConfig {
                    failure_threshold: rules.failure_threshold,
                    success_threshold: rules.success_threshold,
                    open_for: Duration::from_millis(rules.timeout),
                })
            }),
            load: Load::default(),
            breaker_rules: breaker.cloned(),
            health_rules: health.cloned(),
        }
    }

    /// Whether it was judged by these rules: what was learned by others says nothing under them.
    pub(crate) fn is_for(
        &self,
        breaker: Option<&CircuitBreaker>,
        health: Option<&HealthCheck>,
    ) -> bool {
        self.breaker_rules.as_ref() == breaker && self.health_rules.as_ref() == health
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
