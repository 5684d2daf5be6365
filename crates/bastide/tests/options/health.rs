//! When the program is well.

use bastide_testkit::{Postgres, Redis, until};
use serde_json::{Value, json};

use crate::shop::{PATIENCE, Setup, Shop};

fn check<'v>(report: &'v Value, name: &str) -> &'v Value {
    &report["checks"][name]["status"]
}

fn statuses(shop: &Shop) -> (u16, Value) {
    let answer = shop.get("/readyz", &[]);
    (answer.status, answer.json_of_any_status()["status"].clone())
}

#[test]
fn seed000_health_probes_for_kubernetes() {
    let shop = Setup::new("").start();
    assert_eq!(shop.get("/healthz", &[]).status, 200);
    assert_eq!(statuses(&shop), (200, json!("ready")));
}

#[test]
fn seed000_health_memory_thresholds() {
    let with = |degraded: &str, unhealthy: &str| {
        let text =
            format!("[health]\nmemory = {{degraded = {degraded:?}, unhealthy = {unhealthy:?}}}\n");
        Setup::new(&text).start()
    };
    assert_eq!(statuses(&with("100GB", "200GB")), (200, json!("ready")));
    let degraded = with("1MB", "200GB");
    assert_eq!(statuses(&degraded), (200, json!("degraded")));
    assert_eq!(check(&degraded.ready(), "memory"), "degraded");
    assert_eq!(statuses(&with("1MB", "2MB")), (503, json!("unready")));
    let without = Setup::new("").start();
    assert!(
        check(&without.ready(), "memory").is_null(),
        "memory is looked at when it is asked for"
    );
}

#[test]
fn seed000_health_runtime_lag() {
    let with = |unhealthy: &str| {
        let text = format!(
            "[health]\nruntime_lag = {{degraded = \"40ms\", unhealthy = {unhealthy:?}}}\ncache_ttl = \"0s\"\n"
        );
        // One thread, so that one task can hold the whole runtime.
        let shop = Setup::new(&text)
            .set("SHOP_HEALTH__RUNTIME_LAG__DEGRADED", "")
            .set("SHOP_HEALTH__RUNTIME_LAG__UNHEALTHY", "")
            .set("TOKIO_WORKER_THREADS", "1")
            .start();
        shop.send("POST", "/spin", None, &json!({"millis": 120, "times": 200}));
        shop
    };
    let degraded = with("60s");
    assert!(until(PATIENCE, || check(&degraded.ready(), "runtime")
        == "degraded"));
    let unready = with("60ms");
    assert!(until(PATIENCE, || statuses(&unready) == (503, json!("unready"))));
}

#[test]
fn seed000_health_database() {
    let mut server = Postgres::start().unwrap();
    let text = "[database]\nacquire_timeout = \"500ms\"\nconnect_timeout = \"500ms\"\n";
    let database = server.database().unwrap();
    let setup = Setup::new(text).postgres(&database);
    let shop = setup.start();
    assert_eq!(check(&shop.ready(), "database"), "healthy");
    server.stop();
    assert!(until(PATIENCE, || statuses(&shop) == (503, json!("unready"))));
    assert_eq!(
        shop.get("/healthz", &[]).status,
        200,
        "liveness asks nobody"
    );
    server.restart().unwrap();
    assert!(until(PATIENCE, || check(&shop.ready(), "database") == "healthy"));
}

#[test]
fn seed000_health_redis() {
    let mut server = Redis::start().unwrap();
    let shop = Setup::new("").set("REDIS_URL", server.url()).start();
    assert_eq!(check(&shop.ready(), "store"), "healthy");
    server.kill();
    assert!(until(PATIENCE, || check(&shop.ready(), "store") == "unhealthy"));
}

#[test]
fn seed000_health_timeout() {
    let server = Redis::start().unwrap();
    let with = |timeout: &str| {
        let text = format!("[health]\ntimeout = {timeout:?}\ncache_ttl = \"0s\"\n");
        Setup::new(&text).set("REDIS_URL", server.url()).start()
    };
    let shop = with("200ms");
    assert_eq!(check(&shop.ready(), "store"), "healthy");
    // It takes connections and answers nothing.
    server.pause();
    let report = shop.ready();
    server.resume();
    let store = &report["checks"]["store"];
    assert_eq!(store["status"], "unhealthy", "{report}");
    let took = store["latencyMs"].as_f64().unwrap();
    assert!((100.0..1_000.0).contains(&took), "{report}");
}

#[test]
fn seed000_health_cache_ttl() {
    // A report that is kept does not see that the store is gone.
    let mut server = Redis::start().unwrap();
    let with = |ttl: &str| {
        let text = format!("[health]\ncache_ttl = {ttl:?}\n");
        Setup::new(&text).set("REDIS_URL", server.url()).start()
    };
    let (kept, fresh) = (with("1h"), with("0s"));
    for shop in [&kept, &fresh] {
        assert_eq!(check(&shop.ready(), "store"), "healthy");
    }
    server.kill();
    assert!(until(PATIENCE, || check(&fresh.ready(), "store") == "unhealthy"));
    assert_eq!(check(&kept.ready(), "store"), "healthy");
}

#[test]
fn seed000_health_rpc_service() {
    let key = "sk_0123456789abcdef0123456789abcdef";
    let keys = format!("[[auth.service_keys]]\nname = \"operator\"\nkey = {key:?}\n");
    let ask =
        |shop: &Shop, fields: &[(&str, &str)]| shop.post("/rpc/health@1.0.0/check", fields, "{}");
    let on = Setup::new(&keys).start();
    let report = ask(&on, &[("x-service-key", key)]).json();
    assert_eq!(
        (&report["status"], &report["version"]),
        (&json!("ready"), &json!("1.2.3"))
    );
    assert_eq!(ask(&on, &[]).status, 401, "it is for services alone");
    let off = Setup::new(&format!("[health]\nrpc = false\n{keys}")).start();
    assert_eq!(ask(&off, &[("x-service-key", key)]).status, 404);
}

#[test]
fn seed000_health_version() {
    let shop = Setup::new("").start();
    assert_eq!(shop.ready()["version"], "1.2.3");
    assert_eq!(
        shop.get("/version", &[]).json(),
        json!({"version": "1.2.3"})
    );
}
