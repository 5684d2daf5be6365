//! G20: maintenance mode by the shared store.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::redis_client::ask;
use crate::harness::wait::within;
use crate::harness::*;

/// Sets or deletes a key as an operator does.
fn switch(gateway: &Gateway, key: &str, value: Option<&str>) {
    let port = gateway.stores().redis().port();
    match value {
        Some(value) => assert_eq!(ask(port, &["SET", key, value]), "+OK"),
        None => assert_eq!(ask(port, &["DEL", key]), ":1"),
    }
}

/// Two nodes that both serve a tenant.
fn two_nodes(upstream: &Upstream) -> ([Gateway; 2], TenantKey) {
    let first = Gateway::start(Backend::Servers);
    let second = Gateway::start(first.options().another_node());
    let tenant = first.tenant_before(upstream);
    eventually("both nodes serve", || {
        second.get("/", &tenant.key).status == 200
    });
    ([first, second], tenant)
}

/// Two tenants: the whole tree of the first one, and of the second one two routes, `/on` and `/off`. Returns the id of the last.
fn two_tenants(gateway: &Gateway, upstream: &Upstream) -> (TenantKey, TenantKey, String) {
    let (a, b) = (gateway.tenant("a"), gateway.tenant("b"));
    gateway.prefix_route(&a, "/", &[upstream], Value::Null);
    gateway.prefix_route(&b, "/on", &[upstream], Value::Null);
    let off = gateway.prefix_route(&b, "/off", &[upstream], Value::Null);
    (a, b, off)
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn g20_one_key_in_redis_switches_every_node_within_a_second() {
    let upstream = Upstream::named("a");
    let ([first, second], tenant) = two_nodes(&upstream);
    switch(&first, "platform:maintenance", Some("1"));
    let nodes = [&first, &second];
    within(SECOND, "both nodes are switched", || {
        nodes
            .iter()
            .all(|node| node.get("/", &tenant.key).status == 503)
    });
    let before = upstream.count();
    for node in nodes {
        let page = node.get("/", &tenant.key).expect(503);
        assert!(
            page.header("content-type")
                .unwrap()
                .starts_with("text/html"),
            "{page:?}"
        );
        assert!(page.number("retry-after") >= 1);
        assert!(page.text().contains("<html"), "{page:?}");
        assert!(page.header("x-request-id").is_some() && page.header("proxy-status").is_some());
        // For everyone, known or not; but not for the operators.
        node.call(&Request::get("/")).expect(503);
        node.call(&Request::get("/health")).expect(200);
        node.admin("GET", "/admin/tenants", Value::Null).expect(200);
    }
    assert_eq!(upstream.count(), before);
    switch(&first, "platform:maintenance", None);
    within(SECOND, "both nodes serve again", || {
        nodes
            .iter()
            .all(|node| node.get("/", &tenant.key).status == 200)
    });
}

#[test]
fn g20_only_a_one_switches_it_on() {
    let gateway = Gateway::start(Backend::Servers);
    let upstream = Upstream::named("a");
    let tenant = gateway.tenant_before(&upstream);
    switch(&gateway, "platform:maintenance", Some("1"));
    eventually("it is on", || gateway.get("/", &tenant.key).status == 503);
    switch(&gateway, "platform:maintenance", Some("0"));
    within(SECOND, "it is off", || {
        gateway.get("/", &tenant.key).status == 200
    });
}

#[test]
fn g20_the_operators_own_page_is_served() {
    let options = Options::new(Backend::Servers);
    let page = options.folder().join("page.html");
    fs::write(&page, "<html>Wir sind gleich zurück</html>").unwrap();
    let gateway = Gateway::start(options.arg("--maintenance-page", page.to_str().unwrap()));
    let upstream = Upstream::named("a");
    let tenant = gateway.tenant_before(&upstream);
    switch(&gateway, "platform:maintenance", Some("1"));
    eventually("it is on", || gateway.get("/", &tenant.key).status == 503);
    assert_eq!(
        gateway.get("/", &tenant.key).text(),
        "<html>Wir sind gleich zurück</html>"
    );
    let head = gateway
        .call(&Request::new("HEAD", "/").key(&tenant.key))
        .expect(503);
    assert!(head.body.is_empty());
}

/// Whoever is known learns of its limit, whatever the answer is.
#[track_caller]
fn assert_limit_is_told(response: &Response) {
    for name in ["X-RateLimit-Limit", "X-RateLimit-Remaining", "RateLimit"] {
        assert!(response.header(name).is_some(), "{name}: {response:?}");
    }
}

#[test]
fn g20_a_tenant_or_a_route_can_be_switched_alone() {
    let gateway = Gateway::start(Backend::Servers);
    let upstream = Upstream::named("a");
    let (a, b, off) = two_tenants(&gateway, &upstream);
    switch(&gateway, "platform:maintenance:tenants", Some(&a.id));
    within(SECOND, "the tenant is switched", || {
        gateway.get("/", &a.key).status == 503
    });
    assert_limit_is_told(&gateway.get("/", &a.key).expect(503));
    gateway.get("/on", &b.key).expect(200);
    switch(&gateway, "platform:maintenance:tenants", None);
    switch(&gateway, "platform:maintenance:routes", Some(&off));
    within(SECOND, "the route is switched", || {
        gateway.get("/off", &b.key).status == 503
    });
    assert_limit_is_told(&gateway.get("/off", &b.key).expect(503));
    within(SECOND, "the tenant is back", || {
        gateway.get("/", &a.key).status == 200
    });
    gateway.get("/on", &b.key).expect(200);
}

/// Maintenance mode must not be what keeps a platform down.
#[test]
fn g20_without_the_store_it_is_off() {
    let gateway = Gateway::start(Backend::Servers);
    let upstream = Upstream::named("a");
    let tenant = gateway.tenant_before(&upstream);
    switch(&gateway, "platform:maintenance", Some("1"));
    eventually("it is on", || gateway.get("/", &tenant.key).status == 503);
    gateway.stores().redis().kill();
    eventually("it is off", || gateway.get("/", &tenant.key).status == 200);
    gateway.stores().redis().restart().unwrap();
    switch(&gateway, "platform:maintenance", Some("1"));
    eventually("it is on again", || {
        gateway.get("/", &tenant.key).status == 503
    });
    // A store that hangs is as good as gone.
    gateway.stores().redis().pause();
    eventually("it is off", || gateway.get("/", &tenant.key).status == 200);
    gateway.stores().redis().resume();
}

on_both! {
    /// Each scope by the Admin API, which needs no Redis for it.
    fn g20_the_admin_api_switches_platform_tenant_and_route(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let (a, b, off) = two_tenants(&gateway, &upstream);
        let put = |switches: Value| {
            gateway.admin("PUT", "/admin/maintenance", switches).expect(200).data()
        };
        let statuses = || {
            [("/", &a.key), ("/on", &b.key), ("/off", &b.key)].map(|(path, key)| gateway.get(path, key).status)
        };
        let shown = || gateway.admin("GET", "/admin/maintenance", Value::Null).expect(200).data();
        let none = json!({ "platform": false, "tenants": [], "routes": [] });
        assert_eq!(shown(), none);
        assert_eq!(statuses(), [200, 200, 200]);
        // On this node a change holds when it is acknowledged, as every other change does.
        let tenant = json!({ "platform": false, "tenants": [a.id], "routes": [] });
        assert_eq!(put(json!({ "tenants": [a.id] })), tenant);
        assert_eq!(statuses(), [503, 200, 200]);
        put(json!({ "routes": [off] }));
        assert_eq!(statuses(), [200, 200, 503], "what is left out is on again");
        put(json!({ "platform": true }));
        assert_eq!(statuses(), [503, 503, 503]);
        let page = gateway.get("/", &a.key);
        assert!(page.number("retry-after") >= 1 && page.text().contains("<html"), "{page:?}");
        assert_eq!(shown()["platform"], true);
        put(json!({}));
        assert_eq!(shown(), none);
        assert_eq!(statuses(), [200, 200, 200]);
        let before = upstream.count();
        for wrong in [json!({ "platform": 1 }), json!({ "tenants": ["a"] }), json!({ "all": true })] {
            gateway.admin("PUT", "/admin/maintenance", wrong).expect_problem(400, "validation_failed");
        }
        assert_eq!(statuses(), [200, 200, 200]);
        assert_eq!(upstream.count(), before + 3);
        gateway.call_admin(&Request::new("PUT", "/admin/maintenance").json(&json!({ "platform": true }))).expect(401);
        assert_eq!(statuses(), [200, 200, 200]);
    }
}

/// What one node is told the others see.
#[test]
fn g20_the_admin_api_of_one_node_switches_every_node_within_a_second() {
    let upstream = Upstream::named("a");
    let ([first, second], tenant) = two_nodes(&upstream);
    let switch = |on: bool| {
        first
            .admin("PUT", "/admin/maintenance", json!({ "platform": on }))
            .expect(200);
    };
    switch(true);
    within(SECOND, "the other node is switched", || {
        second.get("/", &tenant.key).status == 503
    });
    switch(false);
    within(SECOND, "the other node serves again", || {
        second.get("/", &tenant.key).status == 200
    });
}
