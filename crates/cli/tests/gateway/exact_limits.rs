//! G3: limits with `exact: true`, which ask the shared store for every request.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::*;
use crate::shared_limits::without_redis;

/// A tenant with `limit` in a minute, counted exactly.
#[track_caller]
fn exact(gateway: &Gateway, upstream: &Upstream, limit: u32, policy: &str) -> TenantKey {
    let limit = json!({ "limit": limit, "windowMs": 60_000, "exact": true, "onStoreLoss": policy });
    let tenant = gateway.tenant_with(json!({ "name": policy, "rateLimit": limit }));
    gateway.prefix_route(&tenant, "/", &[upstream], Value::Null);
    tenant
}

on_both! {
    fn g3_an_exact_limit_admits_exactly_its_number(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let tenant = exact(&gateway, &upstream, 5, "fail-share");
        let limit = gateway
            .admin("GET", &format!("/admin/tenants/{}", tenant.id), Value::Null)
            .expect(200)
            .data();
        assert_eq!(limit["rateLimit"]["exact"], true);
        for left in (0..5).rev() {
            let response = gateway.get("/", &tenant.key).expect(200);
            assert_eq!(response.number("x-ratelimit-limit"), 5);
            assert_eq!(response.number("x-ratelimit-remaining"), left);
        }
        let refused = gateway.get("/", &tenant.key).expect_problem(429, "rate_limited");
        assert_eq!(refused.number("x-ratelimit-remaining"), 0);
        // The oldest part of the window counts whole until it is over.
        assert!((1..=70).contains(&refused.number("retry-after")), "{refused:?}");
        assert_eq!(upstream.count(), 5);
    }

    /// What several connections press for at once is counted one by one.
    fn g3_an_exact_limit_holds_under_pressure(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let tenant = exact(&gateway, &upstream, 100, "fail-share");
        let request = Request::get("/").key(&tenant.key);
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    let mut client = gateway.connect();
                    for _ in 0..40 {
                        assert!(matches!(client.call(&request).status, 200 | 429));
                    }
                });
            }
        });
        assert_eq!(upstream.count(), 100);
    }
}

/// Where leases would leave something unspent on a node, an exact limit does not.
///
/// A machine that keeps Redis from answering within 5 ms makes a node fall back to its share, as it should; then another tenant
/// is tried. More than that share on top is never admitted.
#[test]
fn g3_two_nodes_admit_an_exact_limit_to_the_last_request() {
    let first = Gateway::start(Backend::Servers);
    let second = Gateway::start(first.options().another_node());
    let upstream = Upstream::named("a");
    let limit = json!({ "limit": 21, "windowMs": 60_000, "exact": true });
    first.route(json!({
        "path": "/", "pathType": "prefix", "method": "*", "upstreams": [{ "url": upstream.url() }],
    }));
    let reached_exactly = (0..5).any(|attempt| {
        let limits = json!({ "name": format!("t{attempt}"), "rateLimit": limit });
        let tenant = first.tenant_with(limits);
        eventually("both nodes know the tenant", || {
            let path = format!("/admin/tenants/{}", tenant.id);
            second.admin("GET", &path, Value::Null).status == 200
        });
        let mut clients = [first.connect(), second.connect()];
        let mut left = Vec::new();
        for number in 0..42 {
            let response = clients[number % 2].call(&Request::get("/").key(&tenant.key));
            if response.status == 200 {
                left.push(response.number("x-ratelimit-remaining"));
            }
        }
        assert!(left.len() <= 21 + 21 / 2, "{left:?}");
        left == (0..21).rev().collect::<Vec<u64>>()
    });
    assert!(reached_exactly, "each node sees what the other admitted");
}

#[test]
fn g3_an_exact_limit_follows_its_policy_while_redis_is_gone() {
    let gateway = Gateway::start(Backend::Servers);
    let upstream = Upstream::named("a");
    let [open, share, closed] = ["fail-open", "fail-share", "fail-closed"]
        .map(|policy| exact(&gateway, &upstream, 3, policy).key);
    for key in [&open, &share, &closed] {
        gateway.get("/", key).expect(200);
    }
    let admitted = without_redis(&gateway, [&open, &share, &closed]);
    assert!(admitted <= 3, "{admitted} of a share of 3");
}

/// The one thing that may wait for Redis does not wait for long.
#[test]
fn g3_a_redis_that_hangs_holds_nobody_up() {
    let gateway = Gateway::start(Backend::Servers);
    let upstream = Upstream::named("a");
    let tenant = exact(&gateway, &upstream, 1_000, "fail-open");
    let mut client = gateway.connect();
    client.call(&Request::get("/").key(&tenant.key)).expect(200);
    gateway.stores().redis().pause();
    let started = std::time::Instant::now();
    for _ in 0..20 {
        client.call(&Request::get("/").key(&tenant.key)).expect(200);
    }
    let took = started.elapsed();
    gateway.stores().redis().resume();
    assert!(took < Duration::from_secs(5), "{took:?} for 20 requests");
}
