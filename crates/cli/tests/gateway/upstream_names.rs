//! G17: upstreams that are named, and names that nobody knows.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::*;

/// Never anybody's (RFC 6761).
const DEAD: &str = "http://no-such-host.invalid";

#[test]
fn g17_a_name_that_cannot_be_looked_up_is_told_once() {
    let gateway = Gateway::start(Backend::Embedded);
    let upstream = Upstream::named("a");
    let tenant = gateway.tenant_before(&upstream);
    for number in 0..5 {
        let path = format!("/dead/{number}");
        gateway.route(json!({
            "tenantId": tenant.id, "method": "*", "path": path,
            "upstreams": [{ "url": format!("{DEAD}:{}", 80 + number) }],
        }));
    }
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(4) {
        for number in 0..5 {
            let refused = gateway.get(&format!("/dead/{number}"), &tenant.key);
            let refused = refused.expect_problem(502, "upstream_unreachable");
            assert!(
                refused
                    .header("proxy-status")
                    .unwrap()
                    .contains("dns_error")
            );
        }
        gateway.get("/", &tenant.key).expect(200);
        pause(Duration::from_millis(100));
    }
    let told = || gateway.stdout().matches("name is not found").count();
    eventually("the log tells of it", || told() > 0);
    assert_eq!(told(), 1, "{}", gateway.stdout());
}
