//! The Admin API over a configuration in memory.

mod config;
mod http;
mod keys;
mod routes;
mod tenants;

use std::sync::Arc;

use ::http::Request;
use bastide_config::Secret;
use bastide_rpc::HttpEntry;
use bastide_telemetry::metrics::Registry;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};

use super::memory::Memory;
use crate::front;
use crate::maintenance::Board;

const ADMIN_KEY: &str = "an admin key for tests";
const TENANT_KEY: &str = "a-key-that-a-client-chose";

struct Api {
    entry: HttpEntry,
    memory: Arc<Memory>,
}

struct Answer {
    status: u16,
    headers: ::http::HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    fn data(&self) -> Value {
        self.json()["data"].clone()
    }

    fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// `field: message` of each mistake.
    fn errors(&self) -> Vec<String> {
        let errors = self.json()["errors"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let text = |error: &Value, name: &str| error[name].as_str().unwrap_or_default().to_owned();
        errors
            .iter()
            .map(|error| format!("{}: {}", text(error, "field"), text(error, "message")))
            .collect()
    }

    #[track_caller]
    fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }
}

impl Api {
    fn new() -> Self {
        let memory = Arc::new(Memory::new());
        let service = super::service(Arc::clone(&memory), Board::default());
        Self {
            entry: front::entry([service], &Secret::new(ADMIN_KEY), &Registry::new()),
            memory,
        }
    }

    async fn send(&self, request: Request<Bytes>) -> Answer {
        let client = Some("192.0.2.7".parse().unwrap());
        let response = self.entry.answer(request.map(Full::new), client).await;
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            text,
        }
    }

    async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("x-admin-key", ADMIN_KEY);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], "").await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, &[], "").await
    }

    async fn json(&self, method: &str, path: &str, body: Value) -> Answer {
        self.call(
            method,
            path,
            &[("content-type", "application/json")],
            body.to_string(),
        )
        .await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.json("POST", path, body).await
    }

    async fn patch(&self, path: &str, body: Value) -> Answer {
        self.json("PATCH", path, body).await
    }

    /// Makes a tenant and returns its id.
    async fn tenant(&self, name: &str) -> String {
        let answer = self
            .post("/admin/tenants", json!({"name": name}))
            .await
            .expect(201);
        answer.data()["id"].as_str().unwrap().to_owned()
    }

    /// Makes a route of the tenant and returns its id.
    async fn route(&self, tenant: &str, path: &str) -> String {
        let body = json!({"tenantId": tenant, "method": "GET", "path": path, "upstreams": [{"url": "http://a:1"}]});
        self.post("/admin/routes", body).await.expect(201).data()["id"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    fn actions(&self) -> Vec<String> {
        let name = |entry: &crate::model::Audit| {
            format!("{:?} {}", entry.entity, entry.action).to_lowercase()
        };
        self.memory.audit_log().iter().map(name).collect()
    }
}
