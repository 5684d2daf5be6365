//! One tenant, one route, one upstream: what most tests here begin with.

use serde_json::{Value, json};

use crate::harness::{
    Answer, Backend, Gateway, Options, Received, Request, Response, TenantKey, Upstream,
};

/// A gateway before an upstream. One worker, so that every request meets the connections of the ones before.
pub(crate) struct Scene {
    pub(crate) gateway: Gateway,
    pub(crate) upstream: Upstream,
    pub(crate) tenant: TenantKey,
}

impl Scene {
    /// The tenant's whole tree goes to an upstream that answers by `handler`.
    #[track_caller]
    pub(crate) fn new(handler: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Self {
        Self::with(one_worker(), Value::Null, handler)
    }

    /// As [`Scene::new`] with members of its own in the route.
    #[track_caller]
    pub(crate) fn with(
        options: Options,
        route: Value,
        handler: impl Fn(&Received) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let gateway = Gateway::start(options);
        let upstream = Upstream::start(handler);
        let tenant = gateway.tenant("acme");
        gateway.prefix_route(&tenant, "/", &[&upstream], route);
        Self {
            gateway,
            upstream,
            tenant,
        }
    }

    /// A request with the tenant's key.
    pub(crate) fn request(&self, method: &str, target: &str) -> Request {
        Request::new(method, target).key(&self.tenant.key)
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Response {
        self.gateway.get(path, &self.tenant.key)
    }

    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &str) -> Response {
        self.gateway.call(&self.request("POST", path).body(body))
    }
}

/// A gateway on embedded stores with one worker.
pub(crate) fn one_worker() -> Options {
    Options::new(Backend::Embedded).arg("--workers", "1")
}

/// A gateway whose tenant's whole tree goes to this URL.
#[track_caller]
pub(crate) fn gateway_before(options: Options, url: &str) -> (Gateway, TenantKey) {
    let gateway = Gateway::start(options);
    let tenant = gateway.tenant("acme");
    let route = json!({
        "tenantId": tenant.id, "method": "*", "path": "/", "pathType": "prefix", "upstreams": [{ "url": url }],
    });
    gateway.route(route);
    (gateway, tenant)
}

/// Fails unless the gateway made this answer itself and says so.
#[track_caller]
pub(crate) fn assert_own(name: &str, response: &Response, status: u16) {
    assert_eq!(
        response.status,
        status,
        "{name}: {response:?} {}",
        response.text()
    );
    let proxy_status = response.header("proxy-status").unwrap_or_default();
    assert!(
        proxy_status.starts_with("bastide; error="),
        "{name}: {response:?}"
    );
    assert!(
        response
            .header("x-request-id")
            .is_some_and(|id| !id.is_empty()),
        "{name}: {response:?}"
    );
    assert!(!response.code().is_empty(), "{name}: {response:?}");
}
