//! What nearly every test begins with: a tenant, its key, a route.

use serde_json::{Value, json};

use super::{Gateway, Upstream};

/// A tenant and the key that was shown when it was made.
#[derive(Debug, Clone)]
pub(crate) struct TenantKey {
    pub(crate) id: String,
    pub(crate) key: String,
}

impl Gateway {
    /// A tenant whose limit no test reaches.
    #[track_caller]
    pub(crate) fn tenant(&self, name: &str) -> TenantKey {
        self.tenant_with(json!({ "name": name, "rateLimit": { "requestsPerSecond": 100_000 } }))
    }

    /// A tenant by its JSON.
    #[track_caller]
    pub(crate) fn tenant_with(&self, tenant: Value) -> TenantKey {
        let made = self
            .admin("POST", "/admin/tenants", tenant)
            .expect(201)
            .json();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        TenantKey {
            id: text(&made["data"]["id"]),
            key: text(&made["apiKey"]),
        }
    }

    /// A route by its JSON. Returns its id.
    #[track_caller]
    pub(crate) fn route(&self, route: Value) -> String {
        let made = self
            .admin("POST", "/admin/routes", route)
            .expect(201)
            .data();
        made["id"].as_str().expect("a text").to_owned()
    }

    /// A tenant's prefix route for every method to these upstreams, with `more` members.
    #[track_caller]
    pub(crate) fn prefix_route(
        &self,
        tenant: &TenantKey,
        path: &str,
        upstreams: &[&Upstream],
        more: Value,
    ) -> String {
        let upstreams: Vec<Value> = upstreams
            .iter()
            .map(|upstream| json!({ "url": upstream.url() }))
            .collect();
        let mut route = json!({ "tenantId": tenant.id, "method": "*", "path": path, "pathType": "prefix", "upstreams": upstreams });
        let members = route.as_object_mut().expect("an object");
        if let Value::Object(more) = more {
            members.extend(more);
        }
        self.route(route)
    }

    /// A tenant whose whole tree `/` goes to one upstream.
    #[track_caller]
    pub(crate) fn tenant_before(&self, upstream: &Upstream) -> TenantKey {
        let tenant = self.tenant("acme");
        self.prefix_route(&tenant, "/", &[upstream], Value::Null);
        tenant
    }

    /// Changes a route by a merge patch.
    #[track_caller]
    pub(crate) fn patch_route(&self, id: &str, patch: Value) -> Value {
        self.admin("PATCH", &format!("/admin/routes/{id}"), patch)
            .expect(200)
            .data()
    }

    /// Changes a tenant by a merge patch.
    #[track_caller]
    pub(crate) fn patch_tenant(&self, id: &str, patch: Value) -> Value {
        self.admin("PATCH", &format!("/admin/tenants/{id}"), patch)
            .expect(200)
            .data()
    }

    /// The text of `/metrics`.
    #[track_caller]
    pub(crate) fn metrics(&self) -> String {
        self.call_admin(&super::Request::get("/metrics"))
            .expect(200)
            .text()
    }
}
