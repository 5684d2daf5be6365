//! A service with a method for every rule, and callers of every kind.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bastide_auth::BindingKey;
use bastide_auth::{
    Claims, Clock, ClockHandle, Issuer, Keys, Policy, ServiceKey, ServiceKeys, SessionId,
    SessionRecord, Sessions, SigningKey, TenantChoice, TenantId, Verifier,
};
use bastide_config::Secret;
use bastide_context::{Cx, Known, Public};
use bastide_rpc::{
    ApiError, Declared, Dispatcher, HttpEntry, HttpOptions, LimitRule, Method, Problem, Registry,
    Service,
};
use bastide_store::Store;
use bastide_telemetry::metrics;
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::feeds::{Feeds, feeds};
use crate::own::own;

pub(crate) const NOW: i64 = 1_800_000_000;
pub(crate) const SERVICE_KEY: &str = "sk_0123456789abcdef0123456789abcdef";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Find {
    pub(crate) id: u32,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    verbose: Option<bool>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Found {
    id: u32,
    tags: Vec<String>,
    verbose: Option<bool>,
    tenant: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

pub(crate) enum UserError {
    NotFound,
}

impl ApiError for UserError {
    const DECLARED: &'static [Declared] = &[Declared {
        status: 404,
        code: "user_not_found",
    }];

    fn into_problem(self) -> Problem {
        match self {
            Self::NotFound => Problem::new(404, "user_not_found", "there is no such user"),
        }
    }
}

/// Counts how often code behind an entry has run: what is refused must never get there.
#[derive(Clone, Default)]
pub(crate) struct Ran(Arc<AtomicU32>, Arc<Notify>);

impl Ran {
    pub(crate) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn begin(&self) {
        self.1.notify_one();
    }

    /// Waits until a method that takes long has begun.
    pub(crate) async fn begun(&self) {
        self.1.notified().await;
    }

    pub(crate) fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) fn users(ran: &Ran) -> Service {
    let counted = || ran.clone();
    let (find_ran, admin_ran, slow_ran) = (counted(), counted(), counted());
    Service::new("users", "1.2.0")
        .unwrap()
        .method(
            Method::named("find")
                .describe("One user by id.")
                .get("/users/{id}")
                .policy(Policy::identified())
                .limit(
                    LimitRule::parse("5/min")
                        .unwrap()
                        .tier("pro", "1000/min")
                        .unwrap(),
                )
                .handler(move |cx: Cx, input: Find| {
                    find_ran.count();
                    async move {
                        let Find { id, tags, verbose } = input;
                        assert_ne!(id, 500, "this one panics");
                        if id == 404 {
                            return Err(UserError::NotFound);
                        }
                        let tenant = cx.tenant().to_string();
                        Ok(Found {
                            id,
                            tags,
                            verbose,
                            tenant,
                        })
                    }
                }),
        )
        .method(
            Method::named("remove")
                .delete("/users/{id}")
                .policy(Policy::any_role(&["admin"]))
                .handler(move |_: Cx, input: Find| {
                    admin_ran.count();
                    async move { Ok::<_, Problem>(input.id) }
                }),
        )
        .method(
            Method::named("slow")
                .post("/users/slow")
                .policy(Policy::identified())
                .handler(move |_: Cx, _: Nothing| {
                    let ran = slow_ran.clone();
                    async move {
                        ran.begin();
                        tokio::time::sleep(Duration::from_secs(3_600)).await;
                        ran.count();
                        Ok::<_, Problem>(())
                    }
                }),
        )
        .method(
            Method::named("whoami")
                .get("/whoami")
                .policy_without_tenant(Policy::identified())
                .handler(|cx: Cx<Known>, _: Nothing| async move {
                    Ok::<_, Problem>(cx.actor().map(str::to_owned))
                }),
        )
        .method(
            Method::named("health")
                .get("/users-health")
                .public("load balancers have no token")
                .limit(LimitRule::parse("1000/min").unwrap())
                .handler(|cx: Cx<Public>, _: Nothing| async move {
                    Ok::<_, Problem>(cx.actor().map(str::to_owned))
                }),
        )
}

pub(crate) struct App {
    pub(crate) entry: HttpEntry,
    pub(crate) ran: Ran,
    pub(crate) feeds: Feeds,
    pub(crate) metrics: metrics::Registry,
    pub(crate) sessions: Sessions,
    pub(crate) time: ClockHandle,
    issuer: Issuer,
}

pub(crate) fn app() -> App {
    app_with(HttpOptions::default())
}

pub(crate) fn app_with(options: HttpOptions) -> App {
    app_of(options, |ran, fed| {
        vec![users(ran), own(ran), feeds(ran, fed)]
    })
}

/// The same callers before other entries.
pub(crate) fn app_of(
    options: HttpOptions,
    services: impl FnOnce(&Ran, &Feeds) -> Vec<Service>,
) -> App {
    app_through(options, services, |dispatcher| dispatcher)
}

/// The same where calls go through a dispatcher that was changed so.
pub(crate) fn app_through(
    options: HttpOptions,
    services: impl FnOnce(&Ran, &Feeds) -> Vec<Service>,
    change: impl FnOnce(Dispatcher) -> Dispatcher,
) -> App {
    let secret = Secret::new("a secret of at least thirty-two bytes");
    let binding = BindingKey::new(&Secret::new("another secret of thirty-two bytes")).unwrap();
    let (clock, time) = Clock::controlled(Timestamp::from_second(NOW).unwrap());
    let sessions = Sessions::new(&Store::memory()).clock(clock.clone());
    let (ran, fed) = (Ran::default(), Feeds::default());
    let metrics = metrics::Registry::new();
    let verifier = Verifier::new(Keys::hs256(&secret).unwrap())
        .sessions(sessions.clone())
        .binding(binding.clone())
        .clock(clock.clone());
    let key = ServiceKey::new("billing", &Secret::new(SERVICE_KEY)).unwrap();
    let keys = ServiceKeys::new([key.tenant(TenantChoice::Named)]).unwrap();
    let registry = Registry::new(services(&ran, &fed)).unwrap();
    let dispatcher = Dispatcher::new(registry, &metrics, None)
        .unwrap()
        .verifier(verifier)
        .service_keys(keys)
        .timeout(Duration::from_secs(10));
    App {
        entry: HttpEntry::new(Arc::new(change(dispatcher)), options),
        ran,
        feeds: fed,
        metrics,
        sessions,
        time,
        issuer: Issuer::new(SigningKey::hs256(&secret).unwrap())
            .clock(clock)
            .binding(binding),
    }
}

impl App {
    /// A token of a session that is under way.
    pub(crate) async fn token(
        &self,
        subject: &str,
        change: impl FnOnce(Claims) -> Claims,
    ) -> String {
        let id = SessionId::parse(&format!("s-{subject}")).unwrap();
        let claims = change(Claims::new(subject).session(id.clone(), "r-1"));
        let token = self.issuer.sign(&claims).unwrap();
        let record = SessionRecord {
            user: subject.to_owned(),
            refresh: "r-1".to_owned(),
            tenant: tenant_in(token.expose()),
            expires_at: NOW + 100_000,
        };
        self.sessions.begin(&id, &record).await.unwrap();
        token.expose().to_owned()
    }

    /// A token of somebody of the tenant `acme`.
    pub(crate) async fn ada(&self) -> String {
        self.token("ada", |claims| claims.tenant("acme")).await
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Reply {
        let peer = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let (parts, body) = self.entry.answer(request, peer).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply {
            status: parts.status.as_u16(),
            fields: parts.headers,
            json: serde_json::from_slice(&body).unwrap_or(Value::Null),
        }
    }

    pub(crate) async fn rpc(&self, method: &str, token: Option<&str>, input: Value) -> Reply {
        self.send(post(&format!("/rpc/{method}"), token, &input))
            .await
    }

    pub(crate) async fn get(&self, path: &str, token: Option<&str>) -> Reply {
        self.send(request("GET", path, token, Bytes::new())).await
    }
}

/// The tenant that a token names; tests read what verifiers verify.
fn tenant_in(token: &str) -> Option<TenantId> {
    use base64::Engine;
    let payload = token.split('.').nth(1).unwrap();
    let json = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(payload)
        .unwrap();
    let claims: Value = serde_json::from_slice(&json).unwrap();
    claims["tenant_id"]
        .as_str()
        .map(|tenant| TenantId::parse(tenant).unwrap())
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) fields: HeaderMap,
    pub(crate) json: Value,
}

impl Reply {
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The status and, of a problem, its code.
    pub(crate) fn verdict(&self) -> (u16, String) {
        (
            self.status,
            self.json["code"].as_str().unwrap_or_default().to_owned(),
        )
    }
}

/// The fields in which a token is shown; or a service key, for the tenant `acme`.
pub(crate) fn credentials(token: Option<&str>) -> Vec<(&'static str, String)> {
    match token {
        None => Vec::new(),
        Some(key) if key.starts_with("sk_") => vec![
            ("x-service-key", key.to_owned()),
            ("x-tenant-id", "acme".to_owned()),
        ],
        Some(token) => vec![("authorization", format!("Bearer {token}"))],
    }
}

pub(crate) fn request(
    verb: &str,
    path: &str,
    token: Option<&str>,
    body: Bytes,
) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(verb).uri(path);
    for (name, value) in credentials(token) {
        request = request.header(name, value);
    }
    if !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    request.body(Full::new(body)).unwrap()
}

pub(crate) fn post(path: &str, token: Option<&str>, input: &Value) -> Request<Full<Bytes>> {
    request("POST", path, token, input.to_string().into())
}

/// `{"method": .., "input": ..}`.
pub(crate) fn item(method: &str, input: &Value) -> Value {
    json!({"method": method, "input": input})
}
