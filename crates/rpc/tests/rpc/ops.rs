//! What the operator asks, over real sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use bastide_auth::Policy;
use bastide_context::{Cx, Public};
use bastide_health::{Health, Indicator, Verdict};
use bastide_rpc::{
    Dispatcher, HttpEntry, HttpOptions, Method, Ops, Problem, RawRequest, RawResponse, Registry,
    Route, Service, health_service, health_service_for, openapi,
};
use bastide_telemetry::metrics;
use serde_json::{Value, json};

use crate::sockets::{send, serve, with};
use crate::support::{Nothing, app_of};

/// A process with a database that is up or down, and how often it was asked.
#[derive(Clone, Default)]
struct Database(Arc<(AtomicBool, AtomicU32)>);

impl Database {
    fn health(&self) -> Arc<Health> {
        let database = self.clone();
        let indicator = Indicator::new("database", move || {
            let database = database.clone();
            async move {
                database.0.1.fetch_add(1, Ordering::Relaxed);
                if database.0.0.load(Ordering::Relaxed) {
                    Verdict::unhealthy("connection refused")
                } else {
                    Verdict::Healthy
                }
            }
        });
        let indicator = indicator.cache_for(std::time::Duration::ZERO);
        Arc::new(Health::new("3.1.4").with(indicator))
    }

    fn go_down(&self) {
        self.0.0.store(true, Ordering::Relaxed);
    }

    fn asked(&self) -> u32 {
        self.0.1.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn s12_alive_and_ready_are_two_things() {
    let database = Database::default();
    let health = database.health();
    let (_server, address) =
        serve(Ops::new(health.clone(), metrics::Registry::new()).entry()).await;
    let get = async |path: &str| send(address, with("GET", path, &[], "")).await;
    let ready = get("/readyz").await;
    assert_eq!(
        (ready.status, ready.field("content-type")),
        (200, "application/json")
    );
    assert_eq!(ready.json()["status"], "ready");
    assert_eq!(ready.json()["checks"]["database"]["status"], "healthy");
    database.go_down();
    let unready = get("/readyz").await;
    assert_eq!(
        (unready.status, &unready.json()["status"]),
        (503, &json!("unready"))
    );
    assert_eq!(
        unready.json()["checks"]["database"]["message"],
        "connection refused"
    );
    let asked = database.asked();
    let alive = get("/healthz").await;
    assert_eq!(
        (alive.status, alive.json()),
        (200, json!({"status": "alive"}))
    );
    assert_eq!(
        database.asked(),
        asked,
        "a dependency says nothing about being alive"
    );
    health.drain();
    assert_eq!(get("/readyz").await.json()["draining"], true);
    assert_eq!(get("/healthz").await.status, 200);
    assert_eq!(get("/version").await.json(), json!({"version": "3.1.4"}));
    assert_eq!(
        send(address, with("HEAD", "/readyz", &[], "")).await.status,
        503
    );
    let posted = send(address, with("POST", "/healthz", &[], "")).await;
    assert_eq!(
        (posted.status, posted.field("allow")),
        (405, "GET, HEAD, OPTIONS")
    );
    assert_eq!(get("/").await.status, 404);
}

#[tokio::test]
async fn s13_metrics_are_given_in_the_format_that_is_asked_for() {
    let metrics = metrics::Registry::new();
    metrics.add_process_metrics();
    let health = Arc::new(Health::new("1.0.0"));
    let (_server, address) = serve(Ops::new(health, metrics).entry()).await;
    let plain = send(address, with("GET", "/metrics", &[], "")).await;
    assert_eq!(
        plain.field("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
    ] {
        assert!(
            plain.text().contains(&format!("\n{name} ")),
            "{name} in\n{}",
            plain.text()
        );
    }
    let accept = [(
        "accept",
        "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
    )];
    let open = send(address, with("GET", "/metrics", &accept, "")).await;
    assert!(
        open.field("content-type")
            .starts_with("application/openmetrics-text")
    );
    assert!(open.text().ends_with("# EOF\n"));
    assert_eq!(open.field("vary"), "accept");
}

fn entry(service: Service) -> HttpEntry {
    let registry = Registry::new([service]).unwrap();
    let dispatcher = Dispatcher::new(registry, &metrics::Registry::new(), None).unwrap();
    HttpEntry::new(dispatcher.into(), HttpOptions::default())
}

fn ops() -> Ops {
    Ops::new(Arc::new(Health::new("1.0.0")), metrics::Registry::new())
}

fn anything(path: &'static str) -> Service {
    let route = Route::get(path)
        .public("for tests")
        .handler(|_: Cx<Public>, _: RawRequest| async { Ok::<_, Problem>(RawResponse::empty()) });
    Service::new("any", "1.0.0").unwrap().route(route)
}

#[tokio::test]
async fn s12_the_operators_endpoints_may_stand_beside_the_methods() {
    let beside = entry(anything("/{*rest}")).with_ops(ops()).unwrap();
    let (_server, address) = serve(beside).await;
    assert_eq!(
        send(address, with("GET", "/readyz", &[], "")).await.status,
        200
    );
    assert_eq!(
        send(address, with("GET", "/other", &[], "")).await.status,
        204
    );
    // Without being asked for they are not there.
    let (_server, address) = serve(entry(anything("/x"))).await;
    assert_eq!(
        send(address, with("GET", "/healthz", &[], "")).await.status,
        404
    );
    assert_eq!(
        send(address, with("GET", "/metrics", &[], "")).await.status,
        404
    );

    let error = entry(anything("/version"))
        .with_ops(ops())
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "`GET /version` wants /version, where the server answers itself; give it another path"
    );
    let method = Method::named("health")
        .get("/healthz")
        .public("for tests")
        .handler(|_, _: Nothing| async { Ok::<_, Problem>(()) });
    let service = Service::new("any", "1.0.0").unwrap().method(method);
    let error = entry(service).with_ops(ops()).unwrap_err().to_string();
    assert!(
        error.starts_with("`any@1.0.0/health` wants /healthz"),
        "{error}"
    );
}

#[tokio::test]
async fn s12_health_is_a_service_too() {
    let database = Database::default();
    database.go_down();
    let health = database.health();
    let app = app_of(HttpOptions::default(), |_, _| {
        vec![health_service(health.clone())]
    });
    let reply = app.rpc("health@1.0.0/check", None, json!({})).await;
    assert_eq!(
        (reply.status, &reply.json["status"]),
        (200, &json!("unready"))
    );
    assert_eq!(
        reply.json["checks"]["database"]["message"],
        "connection refused"
    );

    let admins = Policy::any_role(&["admin"]);
    let app = app_of(HttpOptions::default(), |_, _| {
        vec![health_service_for(health, admins)]
    });
    assert_eq!(app.rpc("health/check", None, json!({})).await.status, 401);
    let root = app.token("root", |claims| claims.role("admin")).await;
    assert_eq!(
        app.rpc("health/check", Some(&root), json!({})).await.status,
        200
    );
}

#[test]
fn s12_the_report_is_described() {
    let service = health_service(Arc::new(Health::new("1.0.0")));
    let document = openapi(&Registry::new([service]).unwrap(), "Example", "1.0.0");
    let report = &document["components"]["schemas"]["Report"];
    let members: Vec<_> = report["properties"].as_object().unwrap().keys().collect();
    assert_eq!(
        members,
        ["checks", "draining", "status", "timestamp", "version"]
    );
    assert_ne!(document["components"]["schemas"]["Check"], Value::Null);
}
