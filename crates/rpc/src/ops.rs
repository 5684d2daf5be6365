//! What the operator asks a process: whether it lives, whether it is ready, its metrics and its version.

use std::sync::Arc;

use bastide_auth::Policy;
use bastide_context::Scope;
use bastide_health::{Health, Report};
use bastide_telemetry::metrics::{Exposition, Registry as MetricsRegistry};
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Method as Verb, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::dispatch::Dispatcher;
use crate::http::{HttpEntry, HttpOptions, RawResponse};
use crate::method::{Guarded, Method};
use crate::problem::Problem;
use crate::service::{Registry, RegistryError, Service};

/// The operator's endpoints, for `GET` and `HEAD`, without credentials:
///
/// - `/healthz`: 200 as long as the process can answer, also while it drains. It asks nobody.
/// - `/readyz`: the report of all indicators; 503 when it is unready or draining.
/// - `/metrics`: for Prometheus, in the format that `Accept` names.
/// - `/version`.
///
/// They tell about the inside of the process: serve them where the operator alone gets to, by a [`Server`](crate::Server) of
/// their own ([`Ops::entry`]), or beside the service where a gateway in front keeps them from strangers
/// ([`HttpEntry::with_ops`]).
///
/// ```
/// use std::sync::Arc;
/// use bastide_health::Health;
/// use bastide_rpc::{Ops, Server};
/// use bastide_telemetry::metrics;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let metrics = metrics::Registry::new();
/// metrics.add_process_metrics();
/// let mut server = Server::new(Ops::new(Arc::new(Health::new("1.0.0")), metrics).entry());
/// let address = server.listen(([127, 0, 0, 1], 0).into()).await?;
/// println!("curl http://{address}/readyz");
/// # server.drain(std::time::Duration::from_secs(1)).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Ops {
    health: Arc<Health>,
    metrics: MetricsRegistry,
}

impl Ops {
    pub(crate) const PATHS: [&'static str; 4] = ["/healthz", "/readyz", "/metrics", "/version"];

    /// About this process.
    pub fn new(health: Arc<Health>, metrics: MetricsRegistry) -> Self {
        Self { health, metrics }
    }

    /// For a listener of their own, at which nothing else is.
    ///
    /// # Panics
    /// Never: there are no methods that could be wrong.
    pub fn entry(self) -> HttpEntry {
        // What comes here is not the service's traffic, so it is counted nowhere.
        let dispatcher = Dispatcher::new(Registry::default(), &MetricsRegistry::new(), None)
            .expect("no method needs a cache");
        HttpEntry::new(Arc::new(dispatcher), HttpOptions::default()).put_ops(self)
    }

    /// Refuses methods and routes at one of these paths, which would never serve.
    pub(crate) fn check(registry: &Registry) -> Result<(), RegistryError> {
        let methods = registry.entries().iter();
        let methods = methods.filter_map(|entry| Some((entry.full_name(), entry.method().rest()?)));
        let routes = registry.routes().iter();
        let routes = routes.map(|entry| (entry.full_name(), entry.route().rest()));
        match methods
            .chain(routes)
            .find(|(_, rest)| Self::PATHS.contains(&rest.path()))
        {
            None => Ok(()),
            Some((entry, rest)) => Err(RegistryError::Reserved {
                entry: entry.to_owned(),
                path: rest.path(),
            }),
        }
    }

    /// The response of the endpoint at this path, one of [`Ops::PATHS`].
    pub(crate) async fn response(&self, path: &str, parts: &Parts) -> Result<RawResponse, Problem> {
        match path {
            "/healthz" => RawResponse::json(&json!({"status": "alive"})),
            "/version" => RawResponse::json(&json!({"version": self.health.version()})),
            "/metrics" => {
                let accept = parts.headers.get(header::ACCEPT);
                let accept = accept.and_then(|accept| accept.to_str().ok());
                let exposition = Exposition::for_accept(accept);
                let text = self.metrics.render(exposition);
                let response = RawResponse::whole(exposition.content_type(), text);
                Ok(response.field(header::VARY, HeaderValue::from_static("accept")))
            }
            _ => {
                let report = self.health.report().await;
                let status = if report.is_ready() {
                    StatusCode::OK
                } else {
                    StatusCode::SERVICE_UNAVAILABLE
                };
                Ok(RawResponse::json(&report)?.status(status))
            }
        }
    }

    /// Which of these paths a request is for.
    pub(crate) fn path(path: &str) -> Option<&'static str> {
        Self::PATHS.into_iter().find(|known| *known == path)
    }

    /// What they answer to.
    pub(crate) fn takes(verb: &Verb) -> bool {
        matches!(*verb, Verb::GET | Verb::HEAD)
    }
}

/// No input.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// `health@1.0.0` with the method `check`, which gives the report to everybody. An unready process answers it too, with its
/// report.
pub fn health_service(health: Arc<Health>) -> Service {
    let reason = "whoever sends work asks first whether it should";
    service(check().public(reason), health)
}

/// The same for those whom the policy admits.
pub fn health_service_for(health: Arc<Health>, policy: Policy) -> Service {
    service(check().policy_without_tenant(policy), health)
}

fn check() -> crate::method::Outline {
    Method::named("check").describe("Whether this process should be sent work, and why not.")
}

fn service<S: Scope>(check: Guarded<S>, health: Arc<Health>) -> Service {
    let check = check.handler(move |_, _: Nothing| {
        let health = health.clone();
        async move { Ok::<Report, Problem>(health.report().await) }
    });
    let service = Service::new("health", "1.0.0").expect("a name and a version");
    service.method(check)
}
