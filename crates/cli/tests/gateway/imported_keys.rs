//! G2: keys that are known by bcrypt hashes alone, while looking at one takes long.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::wait::within;
use crate::harness::*;

/// Half a minute's work at the least, so that no test sees its end.
const SLOW: &str = "$2b$20$abcdefghijklmnopqrstuunPKr0wtmDlW0zEQCy9Y0ZLm2suzv4ZS";

fn with_a_slow_key() -> (Gateway, TenantKey, Upstream) {
    let gateway = Gateway::start(Backend::Embedded);
    let upstream = Upstream::named("a");
    let tenant = gateway.tenant_before(&upstream);
    let path = "/admin/config";
    let mut document = gateway.admin("GET", path, json!(null)).expect(200).data();
    let tenants = document["tenants"].as_array_mut().unwrap();
    tenants.push(json!({ "name": "old", "keys": [{ "name": "imported", "hash": SLOW }] }));
    gateway.admin("PUT", path, document).expect(200);
    (gateway, tenant, upstream)
}

#[test]
fn g2_a_request_waits_for_a_verification_for_a_while_only() {
    let (gateway, tenant, _upstream) = with_a_slow_key();
    let since = Instant::now();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| gateway.get("/", "a-key-that-nobody-knows-1"));
        // Whose key is known waits for nobody.
        for _ in 0..20 {
            gateway.get("/", &tenant.key).expect(200);
        }
        assert!(!waiting.is_finished());
        let refused = waiting.join().unwrap();
        let refused = refused.expect_problem(503, "key_verifier_busy");
        assert!(refused.number("retry-after") >= 1);
    });
    let waited = since.elapsed();
    assert!(waited > Duration::from_secs(4), "{waited:?}");
    assert!(waited < Duration::from_secs(9), "{waited:?}");
}

#[test]
fn g2_who_leaves_is_no_longer_waited_for() {
    let (gateway, ..) = with_a_slow_key();
    let mut client = gateway.connect();
    client.send(Request::get("/").key("a-key-that-nobody-knows-2").bytes());
    let in_flight = |count: &str| {
        let metrics = gateway.metrics();
        metrics.contains(&format!("gateway_http_requests_in_flight {count}\n"))
    };
    eventually("the request waits", || in_flight("1"));
    drop(client);
    within(Duration::from_secs(3), "nobody waits", || in_flight("0"));
    assert!(gateway.metrics().contains("status_code=\"499\""));
}
