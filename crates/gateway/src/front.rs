//! What the gateway answers itself: `/health`, `/ready`, `/metrics` and `/admin`.
//!
//! It runs on the control plane's runtime, so that nothing here, however slow, holds up a request on its way through.

use std::net::IpAddr;
use std::sync::Arc;

use bastide_health::Health;
use bastide_telemetry::metrics::{Exposition, Registry};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request};
use tokio::runtime::Handle;

use crate::admin::AdminApi;
use crate::control::Control;

/// Answers requests to the gateway itself. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Front {
    inner: Arc<Inner>,
    runtime: Handle,
}

struct Inner {
    health: Arc<Health>,
    metrics: Registry,
    admin: AdminApi<Control>,
}

impl Front {
    /// Answers on the given runtime.
    pub(crate) fn new(
        health: Arc<Health>,
        metrics: Registry,
        admin: AdminApi<Control>,
        runtime: Handle,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                health,
                metrics,
                admin,
            }),
            runtime,
        }
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

    /// How many bytes of a request's body are worth reading. A transport may stop one byte after that.
    pub(crate) fn body_limit(&self, head: &request::Parts) -> usize {
        match head.uri.path() {
            "/health" | "/ready" | "/metrics" => 0,
            _ => self.inner.admin.body_limit(head),
        }
    }

    /// Answers from whatever runtime.
    pub(crate) async fn handle(&self, request: Request<Bytes>, peer: IpAddr) -> Response<Bytes> {
        let inner = Arc::clone(&self.inner);
        match self
            .runtime
            .spawn(async move { inner.handle(request, peer).await })
            .await
        {
            Ok(response) => response,
            Err(error) => {
                tracing::error!(%error, "answering a request to the gateway itself failed");
                text(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "text/plain; charset=utf-8",
                    "internal error\n",
                )
            }
        }
    }
}

impl Inner {
    async fn handle(&self, request: Request<Bytes>, peer: IpAddr) -> Response<Bytes> {
        let path = request.uri().path();
        if !matches!(path, "/health" | "/ready" | "/metrics") {
            return self.admin.handle(request, peer).await;
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = text(
                StatusCode::METHOD_NOT_ALLOWED,
                "text/plain; charset=utf-8",
                "only GET and HEAD\n",
            );
            response
                .headers_mut()
                .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match path {
            "/health" => {
                let alive =
                    serde_json::json!({ "status": "ok", "timestamp": jiff::Timestamp::now() });
                text(StatusCode::OK, "application/json", alive.to_string())
            }
            "/ready" => {
                let report = self.health.report().await;
                let status = if report.is_ready() {
                    StatusCode::OK
                } else {
                    StatusCode::SERVICE_UNAVAILABLE
                };
                let body = serde_json::to_string(&report).expect("a report is plain data");
                text(status, "application/json", body)
            }
            _ => {
                let accept = request
                    .headers()
                    .get(header::ACCEPT)
                    .and_then(|value| value.to_str().ok());
                let exposition = Exposition::for_accept(accept);
                let metrics = self.metrics.clone();
                // Rendering many series takes milliseconds, which the other answers need not wait for.
                match tokio::task::spawn_blocking(move || metrics.render(exposition)).await {
                    Ok(body) => text(StatusCode::OK, exposition.content_type(), body),
                    Err(_) => text(
                        StatusCode::INTERNAL_SERVER_ERROR,
                        "text/plain; charset=utf-8",
                        "internal error\n",
                    ),
                }
            }
        }
    }
}

fn text(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
