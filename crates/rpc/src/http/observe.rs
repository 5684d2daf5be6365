//! What every request leaves behind: a time in a histogram and a line in the log.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bastide_telemetry::metrics::{Histogram, OTHER, Registry as MetricsRegistry, Shard};
use http::Method as Verb;
use tracing::field::display;

use crate::service::Registry;

/// `http_request_duration_seconds{method,route,status}`. Labels are what is configured: a route's path with its members' names, never
/// what a client sent.
#[derive(Debug)]
pub(crate) struct HttpMetrics {
    times: Shard<Histogram>,
    /// By [`Seen::number`].
    routes: Vec<OfRoute>,
    entries: usize,
}

#[derive(Debug)]
struct OfRoute {
    verb: &'static str,
    path: Box<str>,
    /// Whether its requests are told of in the log only where somebody looks for them.
    is_quiet: bool,
    /// Found once: what most requests end with.
    succeeded: OnceLock<Arc<Histogram>>,
}

/// Which way a request took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Seen {
    /// None that is known.
    #[default]
    Other,
    /// Several calls at once.
    Batch,
    /// The opening of a WebSocket; its calls are counted as calls.
    WebSocket,
    /// The method of this number by RPC.
    Rpc(usize),
    /// The method of this number at its own path, or the route.
    Path(usize),
    /// What the server itself answers at this path.
    Server(&'static str),
}

/// Paths that the server itself answers at: the description and the operator's.
const SERVERS: [&str; 5] = [
    "/openapi.json",
    "/healthz",
    "/readyz",
    "/metrics",
    "/version",
];

/// As many as HTTP has in use.
const STATUSES: usize = 24;

impl HttpMetrics {
    pub(crate) fn new(registry: &Registry, metrics: &MetricsRegistry) -> Self {
        let other = OfRoute::new(&Verb::GET, OTHER);
        let batch = OfRoute::new(&Verb::POST, "/rpc");
        let websocket = OfRoute::new(&Verb::GET, "websocket");
        let servers = SERVERS.map(|path| OfRoute::new(&Verb::GET, path).quiet(true));
        let by_rpc = registry.entries().iter().map(|entry| {
            let path = format!("/rpc/{}", entry.full_name());
            OfRoute::new(&Verb::POST, &path)
        });
        let own = registry
            .entries()
            .iter()
            .map(|entry| match entry.method().rest() {
                Some(rest) => OfRoute::new(rest.verb(), rest.path()),
                None => OfRoute::new(&Verb::GET, OTHER),
            });
        let routes = registry.routes().iter().map(|entry| {
            let (rest, is_quiet) = (entry.route().rest(), entry.route().is_quiet());
            OfRoute::new(rest.verb(), rest.path()).quiet(is_quiet)
        });
        let mut all = vec![other, batch, websocket];
        all.extend(servers);
        all.extend(by_rpc);
        all.extend(own.chain(routes));
        let times = metrics.family::<Histogram>(
            "http_request_duration_seconds",
            "Time from a request's head to the head of its response",
            &["method", "route", "status"],
            all.len() * STATUSES,
        );
        Self {
            times: times.shard(),
            routes: all,
            entries: registry.entries().len(),
        }
    }

    fn route(&self, seen: Seen) -> &OfRoute {
        let number = match seen {
            Seen::Other => 0,
            Seen::Batch => 1,
            Seen::WebSocket => 2,
            Seen::Server(path) => {
                let place = SERVERS.iter().position(|known| *known == path);
                place.map_or(0, |place| 3 + place)
            }
            Seen::Rpc(number) => 3 + SERVERS.len() + number,
            Seen::Path(number) => 3 + SERVERS.len() + self.entries + number,
        };
        &self.routes[number]
    }

    /// Counts a request that was answered, and writes its line.
    pub(super) fn observe(
        &self,
        seen: Seen,
        verb: &Verb,
        status: u16,
        time: Duration,
        peer: Option<IpAddr>,
        slow: Option<Duration>,
    ) {
        let route = self.route(seen);
        let verb = known(verb);
        if status == 200 && verb == route.verb {
            let find = || self.times.series(&[verb, &route.path, "200"]);
            route.succeeded.get_or_init(find).observe_time(time);
        } else {
            let series = self.times.series(&[verb, &route.path, &status.to_string()]);
            series.observe_time(time);
        }
        let millis = time.as_secs_f64() * 1e3;
        let path = &*route.path;
        let peer = peer.map(display);
        // Nothing of what the client sent but the name of a known method: a query or a path may hold secrets.
        if slow.is_some_and(|slow| time >= slow) {
            tracing::warn!(
                method = verb,
                route = path,
                status,
                millis,
                peer,
                "slow request"
            );
        } else if route.is_quiet {
            tracing::debug!(method = verb, route = path, status, millis, peer, "request");
        } else {
            tracing::info!(method = verb, route = path, status, millis, peer, "request");
        }
    }
}

impl OfRoute {
    fn new(verb: &Verb, path: &str) -> Self {
        Self {
            verb: known(verb),
            path: path.into(),
            is_quiet: false,
            succeeded: OnceLock::new(),
        }
    }

    fn quiet(mut self, is_quiet: bool) -> Self {
        self.is_quiet = is_quiet;
        self
    }
}

/// A client may send any word as a method.
fn known(verb: &Verb) -> &'static str {
    match *verb {
        Verb::GET => "GET",
        Verb::HEAD => "HEAD",
        Verb::POST => "POST",
        Verb::PUT => "PUT",
        Verb::PATCH => "PATCH",
        Verb::DELETE => "DELETE",
        Verb::OPTIONS => "OPTIONS",
        _ => OTHER,
    }
}
