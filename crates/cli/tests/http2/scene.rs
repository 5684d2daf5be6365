//! A gateway, a tenant and a route: what every test here begins with.

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::client::Http2;
use crate::harness::{Backend, Gateway, Options, Response, TenantKey, Upstream};
use crate::upstream::Http2Upstream;

/// A gateway whose tenant's whole tree goes to one upstream. One worker, so that all requests share its connections.
pub(crate) struct Scene {
    pub(crate) gateway: Gateway,
    pub(crate) tenant: TenantKey,
    pub(crate) route: String,
}

impl Scene {
    /// Before an upstream that speaks HTTP/1.1.
    #[track_caller]
    pub(crate) fn before(upstream: &Upstream) -> Self {
        Self::with(one_worker(), &upstream.url(), "http1", Value::Null)
    }

    /// Before an upstream that speaks HTTP/2.
    #[track_caller]
    pub(crate) fn before_http2(upstream: &Http2Upstream) -> Self {
        Self::with(one_worker(), &upstream.url(), "http2", Value::Null)
    }

    /// With members of its own in the route.
    #[track_caller]
    pub(crate) fn with(options: Options, url: &str, protocol: &str, more: Value) -> Self {
        let gateway = Gateway::start(options);
        let tenant = gateway.tenant("acme");
        let mut route = json!({
            "tenantId": tenant.id, "method": "*", "path": "/", "pathType": "prefix",
            "upstreams": [{ "url": url, "protocol": protocol }],
        });
        let members = route.as_object_mut().expect("an object");
        if let Value::Object(more) = more {
            members.extend(more);
        }
        let route = gateway.route(route);
        Self {
            gateway,
            tenant,
            route,
        }
    }

    /// A client's connection.
    pub(crate) async fn connect(&self) -> Http2 {
        Http2::connect(self.gateway.public).await
    }

    /// A POST that is under way by itself.
    pub(crate) fn post(&self, client: &Http2, path: &str) -> JoinHandle<Response> {
        let (client, request) = (client.clone(), self.request(client, "POST", path));
        tokio::spawn(async move { client.call(request, "body").await })
    }

    /// The beginning of a request with the tenant's key.
    pub(crate) fn request(
        &self,
        client: &Http2,
        method: &str,
        path: &str,
    ) -> http::request::Builder {
        client
            .request(method, path)
            .header("x-api-key", &self.tenant.key)
    }
}

/// Waits for every answer, each of which is to be 200.
pub(crate) async fn all_served(calls: impl IntoIterator<Item = JoinHandle<Response>>) {
    for call in calls {
        call.await.unwrap().expect(200);
    }
}

/// A gateway on embedded stores with one worker.
pub(crate) fn one_worker() -> Options {
    Options::new(Backend::Embedded).arg("--workers", "1")
}

/// Fails unless the gateway made this answer itself and says so.
#[track_caller]
pub(crate) fn assert_own(name: &str, response: &Response, status: u16) {
    assert_eq!(response.status, status, "{name}: {response:?}");
    let proxy_status = response.header("proxy-status").unwrap_or_default();
    assert!(
        proxy_status.starts_with("bastide; error="),
        "{name}: {response:?}"
    );
    assert!(!response.code().is_empty(), "{name}: {response:?}");
}
