//! G17: upstreams behind a Unix socket: everything that works over TCP works here.

use std::path::PathBuf;

use bastide_testkit::TestFolder;
use serde_json::{Value, json};

use crate::harness::upstream::Step;
use crate::harness::*;

/// Sockets of upstreams, in a folder of their own.
struct Sockets(TestFolder);

impl Sockets {
    fn new() -> Self {
        Self(TestFolder::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn url(&self, name: &str) -> String {
        format!("unix:{}", self.path(name).display())
    }

    /// Puts an upstream behind a socket, until the relay is dropped.
    fn open(&self, name: &str, upstream: &Upstream) -> Relay {
        Relay::from_unix(&self.path(name), upstream.address())
    }
}

/// A tenant whose whole tree goes to these sockets.
#[track_caller]
fn tenant_before(gateway: &Gateway, urls: &[String], resilience: Value) -> TenantKey {
    let tenant = gateway.tenant(&bastide_testkit::unique("tenant"));
    let upstreams: Vec<Value> = urls.iter().map(|url| json!({ "url": url })).collect();
    gateway.route(json!({
        "tenantId": tenant.id, "method": "*", "path": "/api", "pathType": "prefix", "upstreams": upstreams,
        "resilience": resilience,
    }));
    tenant
}

fn one_worker() -> Gateway {
    Gateway::start(Options::new(Backend::Embedded).arg("--workers", "1"))
}

#[test]
fn g17_requests_pass_by_a_unix_socket_and_keep_their_connection() {
    let (sockets, upstream) = (Sockets::new(), Upstream::echo());
    let relay = sockets.open("a.sock", &upstream);
    let gateway = one_worker();
    let tenant = tenant_before(&gateway, &[sockets.url("a.sock")], json!({}));
    let mut client = gateway.connect();
    for number in 0..5 {
        let request = Request::get(&format!("/api/{number}?x=%20y")).key(&tenant.key);
        assert_eq!(
            client.call(&request).expect(200).text(),
            format!("GET /{number}?x=%20y"),
            "the prefix goes, the rest stays"
        );
    }
    assert_eq!(relay.accepted(), 1);
    let seen = upstream.last();
    assert_eq!(seen.header("host"), Some("localhost"));
    assert_eq!(seen.header("x-forwarded-host"), Some("gateway.test"));
    assert_eq!(seen.header("x-tenant-id"), Some(tenant.id.as_str()));
}

#[test]
fn g17_bodies_trailers_and_events_pass_by_a_unix_socket() {
    const SIZE: usize = 8 * 1024 * 1024;
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::start(move |request| {
        match request.path() {
        "/events" => Answer::script([
            Step::Send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n".to_vec()),
            Step::Wait(held.clone()),
            Step::Send(b"9\r\ndata: 2\n\n\r\n0\r\nX-Last: yes\r\n\r\n".to_vec()),
        ]),
        _ => Answer::status(200).body(request.body.clone()),
    }
    });
    let sockets = Sockets::new();
    let _relay = sockets.open("a.sock", &upstream);
    let gateway = one_worker();
    let tenant = tenant_before(&gateway, &[sockets.url("a.sock")], json!({}));
    let body = vec![b'x'; SIZE];
    let mut client = gateway.connect();
    let post = Request::post("/api/", body.clone()).key(&tenant.key);
    assert!(client.call(&post).expect(200).body == body);
    client.send(
        Request::get("/api/events")
            .key(&tenant.key)
            .header("TE", "trailers")
            .bytes(),
    );
    client.read_head().expect(200);
    let mut seen = String::new();
    while !seen.contains("data: 1") {
        seen += &String::from_utf8(
            client
                .read_some()
                .expect("the first comes before the second"),
        )
        .unwrap();
    }
    gate.open();
    while !seen.ends_with("\r\n\r\n") {
        seen += &String::from_utf8(client.read_some().unwrap()).unwrap();
    }
    assert!(
        seen.contains("data: 2") && seen.to_lowercase().contains("x-last: yes"),
        "{seen}"
    );
}

#[test]
fn g17_a_socket_that_is_not_there_is_502_until_it_is() {
    let sockets = Sockets::new();
    let gateway = one_worker();
    let tenant = tenant_before(&gateway, &[sockets.url("a.sock")], json!({}));
    let mut client = gateway.connect();
    let request = Request::get("/api/").key(&tenant.key);
    let refused = client
        .call(&request)
        .expect_problem(502, "upstream_unreachable");
    assert!(
        !refused.text().contains("a.sock"),
        "clients learn nothing about what is behind"
    );
    let upstream = Upstream::named("a");
    let relay = sockets.open("a.sock", &upstream);
    assert_eq!(client.call(&request).expect(200).text(), "a");
    // A file that nobody listens on, as a server leaves it that was killed.
    drop(relay);
    eventually("its end is seen", || client.call(&request).status == 502);
    std::fs::remove_file(sockets.path("a.sock")).unwrap();
    let _relay = sockets.open("a.sock", &upstream);
    assert_eq!(client.call(&request).expect(200).text(), "a");
}

#[test]
fn g7_a_retry_goes_from_one_socket_to_the_other() {
    let (sockets, upstream) = (Sockets::new(), Upstream::named("good"));
    let failing = Upstream::status(503);
    let _relays = [
        sockets.open("good.sock", &upstream),
        sockets.open("failing.sock", &failing),
    ];
    let gateway = one_worker();
    let retry =
        json!({ "retry": { "enabled": true, "maxRetries": 2, "baseDelayMs": 1, "maxDelayMs": 2 } });
    let urls = ["missing.sock", "failing.sock", "good.sock"].map(|name| sockets.url(name));
    let tenant = tenant_before(&gateway, &urls, retry);
    for _ in 0..6 {
        assert_eq!(gateway.get("/api/", &tenant.key).expect(200).text(), "good");
    }
    assert!(failing.count() > 0, "it was not simply left out");
}

#[test]
fn g8_a_unix_socket_is_probed() {
    let (sockets, upstream) = (Sockets::new(), Upstream::named("a"));
    let relay = sockets.open("a.sock", &upstream);
    let gateway = one_worker();
    let checks = json!({ "healthCheck": {
        "enabled": true, "endpoint": "/health", "intervalMs": 100, "timeoutMs": 100,
        "healthyThreshold": 1, "unhealthyThreshold": 2
    } });
    let tenant = tenant_before(&gateway, &[sockets.url("a.sock")], checks);
    eventually("it is probed", || upstream.count_of("/health") >= 2);
    gateway.get("/api/", &tenant.key).expect(200);
    upstream.set(|request| match request.path() {
        "/health" => Answer::status(500),
        _ => Answer::text("a"),
    });
    let code = || {
        let response = gateway.get("/api/", &tenant.key);
        (response.status == 503).then(|| response.code())
    };
    eventually("it is unhealthy", || {
        code().as_deref() == Some("no_healthy_endpoint")
    });
    upstream.set(|_| Answer::text("a"));
    eventually("it is well again", || code().is_none());
    drop(relay);
    eventually("a socket without a server is unhealthy", || {
        code().as_deref() == Some("no_healthy_endpoint")
    });
}

#[test]
fn g6_a_socket_without_a_server_opens_its_breaker() {
    let sockets = Sockets::new();
    let gateway = one_worker();
    let breaker =
        json!({ "circuitBreaker": { "enabled": true, "failureThreshold": 2, "timeout": 60_000 } });
    let tenant = tenant_before(&gateway, &[sockets.url("a.sock")], breaker);
    for _ in 0..2 {
        gateway
            .get("/api/", &tenant.key)
            .expect_problem(502, "upstream_unreachable");
    }
    gateway
        .get("/api/", &tenant.key)
        .expect_problem(503, "circuit_open");
}
