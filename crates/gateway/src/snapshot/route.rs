//! A route, compiled.

use std::sync::Arc;
use std::time::Duration;

use bastide_http1::Method;

use bastide_resilience::balance::{Balancer, Strategy};
use bastide_resilience::budget::Budget;
use bastide_routing::{ConfigError, PathRewrite};
use uuid::Uuid;

use super::build::policy;
use super::endpoint::{Endpoint, EndpointState};
use super::headers::HeaderPlan;
use super::last_good::LastGood;
use super::route_limit::RouteLimit;
use crate::model::{CircuitBreaker, Fallback, HealthCheck, LoadBalancing, Retry, Route, Timeouts};
use crate::upstream::advice::NewsSender;
use crate::upstream::origin::Origins;

/// Until the response's head, where neither route nor upstream says otherwise.
const HEAD: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(60);

/// Quiet chats are no mistake, and their programs ping; what is silent for an hour has been forgotten by both.
const TUNNEL_IDLE: Duration = Duration::from_secs(3600);

/// A process holds one for each route, and most routes ask for little: what only some have stands in a box.
pub(crate) struct RouteEntry {
    pub(crate) id: Uuid,
    pub(crate) spec: Arc<Route>,
    pub(crate) endpoints: Box<[Endpoint]>,
    pub(crate) balancer: Balancer,
    pub(crate) rewrite: Option<Box<PathRewrite>>,
    pub(crate) request_headers: HeaderPlan,
    pub(crate) response_headers: HeaderPlan,
    pub(crate) times: RouteTimes,
    pub(crate) retrying: Option<Box<Retrying>>,
    pub(crate) fallback: Option<Box<Fallback>>,
    /// Where the fallback may be an earlier response.
    pub(crate) last_good: Option<Arc<LastGood>>,
    pub(crate) health_check: Option<Box<HealthCheck>>,
    pub(crate) limits: Option<Box<RouteLimit>>,
}

/// How a route tries again.
pub(crate) struct Retrying {
    pub(crate) rules: Retry,
    /// Outlives snapshots.
    pub(crate) budget: Arc<Budget>,
}

/// Limits of time, resolved.
pub(crate) struct RouteTimes {
    pub(crate) connect: Duration,
    pub(crate) idle: Duration,
    pub(crate) tunnel_idle: Duration,
    pub(crate) total: Option<Duration>,
    default: Option<Duration>,
    by_method: Box<[(Method, Duration)]>,
}

impl RouteEntry {
    /// Compiles a route. From the entry that it replaces it takes over what is not configuration: health, breakers,
    /// what the balancer has learned.
    pub(crate) fn compile(
        route: &Arc<Route>,
        origins: &Origins,
        news: Option<&NewsSender>,
        before: Option<&Self>,
    ) -> Result<Self, ConfigError> {
        let resilience = route.resilience.as_deref().cloned().unwrap_or_default();
        let breaker = resilience.circuit_breaker.filter(|breaker| breaker.enabled);
        let health_check = resilience.health_check.filter(|check| check.enabled);
        let transform = route.transform.as_deref().cloned().unwrap_or_default();
        let request = transform.request.unwrap_or_default();
        let endpoints = route
            .upstreams
            .iter()
            .map(|upstream| {
                let state = state(
                    route,
                    upstream,
                    breaker.as_ref(),
                    health_check.as_ref(),
                    news,
                    before,
                );
                Endpoint::compile(upstream, origins, state)
            })
            .collect::<Result<_, _>>()?;
        let weights: Vec<u32> = route
            .upstreams
            .iter()
            .map(|upstream| upstream.weight)
            .collect();
        let fallback = resilience.fallback.filter(|fallback| fallback.enabled);
        Ok(Self {
            id: route.id,
            balancer: Balancer::new(strategy(route.load_balancing), &weights),
            endpoints,
            rewrite: request
                .path_rewrite
                .as_ref()
                .map(|rewrite| {
                    PathRewrite::new(&rewrite.pattern, &rewrite.replacement).map(Box::new)
                })
                .transpose()?,
            request_headers: HeaderPlan::compile(&request.headers),
            response_headers: HeaderPlan::compile(&transform.response.unwrap_or_default().headers),
            times: RouteTimes::new(&resilience.timeout.unwrap_or_default()),
            retrying: resilience
                .retry
                .filter(|retry| retry.enabled && retry.max_retries > 0)
                .map(|rules| {
                    let known = before.and_then(|before| before.retrying.as_ref());
                    let budget = known.map_or_else(Arc::default, |known| Arc::clone(&known.budget));
                    Box::new(Retrying { rules, budget })
                }),
            last_good: fallback
                .as_ref()
                .is_some_and(|fallback| fallback.cached)
                .then(|| {
                    before
                        .and_then(|before| before.last_good.clone())
                        .unwrap_or_default()
                }),
            fallback: fallback.map(Box::new),
            health_check: health_check.map(Box::new),
            limits: route
                .rate_limit
                .map(|limit| Box::new(RouteLimit::new(route.id, policy(&limit)))),
            spec: Arc::clone(route),
        })
    }
}

/// The state of an endpoint: that of the same endpoint before, if it is judged by the same rules, else a new one.
fn state(
    route: &Route,
    upstream: &crate::model::Upstream,
    breaker: Option<&CircuitBreaker>,
    health: Option<&HealthCheck>,
    news: Option<&NewsSender>,
    before: Option<&RouteEntry>,
) -> Arc<EndpointState> {
    let same = |entry: &&Endpoint| entry.url == upstream.url && entry.state.is_for(breaker, health);
    match before.and_then(|before| before.endpoints.iter().find(same)) {
        Some(known) => Arc::clone(&known.state),
        None => Arc::new(EndpointState::new(
            route.id,
            &upstream.url,
            breaker,
            health,
            news.cloned(),
        )),
    }
}

fn strategy(configured: LoadBalancing) -> Strategy {
    match configured {
        LoadBalancing::RoundRobin => Strategy::RoundRobin,
        LoadBalancing::Weighted => Strategy::Weighted,
        LoadBalancing::Random => Strategy::Random,
        LoadBalancing::LeastRequest => Strategy::LeastRequest,
        LoadBalancing::PeakEwma => Strategy::PeakEwma,
    }
}

impl RouteTimes {
    fn new(times: &Timeouts) -> Self {
        let millis = |value: Option<u64>| value.map(Duration::from_millis);
        Self {
            connect: millis(times.connect_ms).unwrap_or(CONNECT),
            idle: millis(times.idle_ms).unwrap_or(IDLE),
            tunnel_idle: millis(times.tunnel_idle_ms).unwrap_or(TUNNEL_IDLE),
            total: millis(times.total_ms),
            default: millis(times.default),
            by_method: times
                .by_method
                .iter()
                .map(|(method, time)| (Method::of(method.as_bytes()), Duration::from_millis(*time)))
                .collect(),
        }
    }

    /// Until the response's head: the method's, else the route's, else the upstream's, else 30 s.
    pub(crate) fn head(&self, method: Method, endpoint: &Endpoint) -> Duration {
        // HEAD is served by GET's routes, and by its times.
        let own = |wanted| {
            self.by_method
                .iter()
                .find(|(method, _)| *method == wanted)
                .map(|(_, time)| *time)
        };
        own(method)
            .or_else(|| {
                if method == Method::Head {
                    own(Method::Get)
                } else {
                    None
                }
            })
            .or(self.default)
            .or(endpoint.timeout)
            .unwrap_or(HEAD)
    }
}
