//! What the gateway answers itself: `/health`, `/ready`, `/metrics` and `/admin`.
//!
//! It runs on the control plane's runtime, so that nothing here, however slow, holds up a request on its way through.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bastide_config::Secret;
use bastide_context::{Cx, Public};
use bastide_health::Health;
use bastide_rpc::{
    Dispatcher, HttpEntry, HttpOptions, Problem, RawRequest, RawResponse, Registry as Services,
    Route, Service,
};
use bastide_telemetry::metrics::{Exposition, Registry};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::runtime::Handle;
use uuid::Uuid;

use crate::admin::access;

/// A head must be whole after this time, and the next one come.
const HEAD: Duration = Duration::from_secs(10);

/// How long a client is waited for that sends nothing of its body, or next to nothing.
const BODY: Duration = Duration::from_secs(30);

const REQUEST_ID: &str = "x-request-id";
const TEXT: &str = "text/plain; charset=utf-8";

/// Everything that is answered here, for the data plane. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Front {
    entry: Arc<HttpEntry>,
    runtime: Handle,
}

impl Front {
    /// Answers on the given runtime.
    pub(crate) fn new(entry: Arc<HttpEntry>, runtime: Handle) -> Self {
        Self { entry, runtime }
    }

    /// Whether a path of the public listener is the gateway's own. `all` adds what otherwise only the admin listener
    /// serves.
    pub(crate) fn serves(path: &str, all: bool) -> bool {
        match path {
            "/health" | "/ready" => true,
            "/metrics" | "/admin" => all,
            path => all && path.starts_with("/admin/"),
        }
    }

    /// Answers from whatever runtime. The body is read where the answer needs it.
    pub(crate) async fn handle<B>(&self, request: Request<B>, peer: IpAddr) -> Response<Bytes>
    where
        B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        let entry = Arc::clone(&self.entry);
        let answering = self.runtime.spawn(async move {
            let (head, body) = entry.answer(request, Some(peer)).await.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok::<_, bastide_rpc::Broken>(Response::from_parts(head, body))
        });
        match answering.await {
            Ok(Ok(response)) => return response,
            Ok(Err(error)) => tracing::error!(%error, "an answer to a request broke off"),
            Err(error) => {
                tracing::error!(%error, "answering a request to the gateway itself failed");
            }
        }
        let mut response = Response::new(Bytes::from_static(b"internal error\n"));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        let fields = response.headers_mut();
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(TEXT));
        response
    }
}

/// Where requests to these services come in. They are counted in this registry.
pub(crate) fn entry(
    services: impl IntoIterator<Item = Service>,
    admin_key: &Secret,
    metrics: &Registry,
) -> HttpEntry {
    let services = Services::new(services).expect("each path is there once");
    let dispatcher = Dispatcher::new(services, metrics, None)
        .expect("nothing is cached")
        .service_keys(access::keys(admin_key).expect("one key is not ambiguous"))
        .attempts(access::attempts())
        .refusal(access::refusal);
    let nosniff = HeaderValue::from_static("nosniff");
    let options = HttpOptions {
        header_timeout: HEAD,
        body_timeout: BODY,
        websocket_path: None,
        credentials: access::fields(),
        closed: Some(access::OPERATOR),
        request_name: Some(request_name),
        fields: HeaderMap::from_iter([(header::X_CONTENT_TYPE_OPTIONS, nosniff)]),
        http2: false,
        ..HttpOptions::default()
    };
    HttpEntry::new(Arc::new(dispatcher), options)
}

/// The id that the transport gave, unless it is something that no log should have to hold.
fn request_name(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let is_plain =
        |id: &&str| (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    given
        .filter(is_plain)
        .map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

/// `/health`, `/ready` and `/metrics`.
pub(crate) fn probes(health: Arc<Health>, metrics: Registry) -> Service {
    let service = Service::new("probes", "1.0.0").expect("a name and a version");
    let probe = |path| {
        let reason = "load balancers and collectors ask without a key";
        Route::any(path).public(reason).quiet()
    };
    let alive = probe("/health").handler(|_: Cx<Public>, request: RawRequest| async move {
        check_method(&request)?;
        let alive = serde_json::json!({ "status": "ok", "timestamp": jiff::Timestamp::now() });
        RawResponse::json(&alive)
    });
    let ready = probe("/ready").handler(move |_: Cx<Public>, request: RawRequest| {
        let health = Arc::clone(&health);
        async move {
            check_method(&request)?;
            let report = health.report().await;
            let status = if report.is_ready() {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            };
            Ok::<_, Problem>(RawResponse::json(&report)?.status(status))
        }
    });
    let metrics = probe("/metrics").handler(move |_: Cx<Public>, request: RawRequest| {
        let metrics = metrics.clone();
        async move {
            check_method(&request)?;
            let accept = request.head.fields().get(header::ACCEPT);
            let exposition = Exposition::for_accept(accept.and_then(|value| value.to_str().ok()));
            // Rendering many series takes milliseconds, which the other answers need not wait for.
            let body = tokio::task::spawn_blocking(move || metrics.render(exposition)).await;
            let body = body.map_err(|_| Problem::internal())?;
            Ok::<_, Problem>(RawResponse::whole(exposition.content_type(), body))
        }
    });
    service.route(alive).route(ready).route(metrics)
}

/// Nothing else is to be had there, `OPTIONS` neither.
fn check_method(request: &RawRequest) -> Result<(), Problem> {
    if matches!(*request.head.method(), Method::GET | Method::HEAD) {
        return Ok(());
    }
    let problem = Problem::new(405, "method_not_allowed", "only GET and HEAD");
    Err(problem.field(header::ALLOW, HeaderValue::from_static("GET, HEAD")))
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    #[tokio::test]
    async fn what_is_answered_here_is_timed_by_route() {
        let metrics = Registry::new();
        let probes = probes(Arc::new(Health::new("1.0.0")), metrics.clone());
        let entry = entry([probes], &Secret::new("a key"), &metrics);
        for (verb, path) in [("GET", "/health"), ("POST", "/health"), ("GET", "/secret")] {
            let request = Request::builder().method(verb).uri(path);
            let request = request.body(Full::new(Bytes::new())).unwrap();
            entry.answer(request, None).await;
        }
        let text = metrics.render(Exposition::Prometheus);
        for labels in [
            r#"method="GET",route="/health",status="200""#,
            r#"method="POST",route="/health",status="405""#,
            r#"method="GET",route="other",status="401""#,
        ] {
            let line = format!("http_request_duration_seconds_count{{{labels}}} 1");
            assert!(text.contains(&line), "{line} in\n{text}");
        }
        // What has no methods tells of none, and no path that a client thought of stands there.
        assert!(!text.contains("rpc_") && !text.contains("secret"), "{text}");
    }
}
