//! Changes of the configuration under load: no request notices, no memory is lost.

use std::time::Instant;

use serde_json::json;

use crate::harness::{Backend, Gateway, Options, Request, Upstream};
use crate::load::Load;
use crate::memory;

const RELOADS: usize = 1_000;

/// By then caches and pools have their size.
const WARM: usize = 200;

/// What 800 reloads may cost, in kibibytes. A snapshot that is kept shows: each is larger than this divided by 800.
const GROWTH: u64 = 6 * 1024;

#[test]
fn a_thousand_reloads_under_load_fail_no_request_and_keep_memory_flat() {
    let gateway = Gateway::start(Options::new(Backend::Embedded));
    let upstream = Upstream::named("fine");
    let tenant = gateway.tenant_before(&upstream);
    // Enough routes for a snapshot to weigh something.
    let routes: Vec<String> = (0..100)
        .map(|number| {
            gateway.prefix_route(
                &tenant,
                &format!("/extra/{number}"),
                &[&upstream],
                json!(null),
            )
        })
        .collect();
    let load = Load::of_ok(
        gateway.public,
        2,
        &Request::get("/extra/7/x").key(&tenant.key),
    );
    load.wait_for(50);
    let started = Instant::now();
    let mut admin = crate::harness::Client::connect(gateway.admin);
    let mut warm = 0;
    for number in 0..RELOADS {
        let request = Request::new(
            "PATCH",
            &format!("/admin/routes/{}", routes[number % routes.len()]),
        )
        .header("X-Admin-Key", crate::harness::ADMIN_KEY)
        .json(&json!({ "priority": number }));
        admin.call(&request).expect(200);
        if number == WARM {
            warm = memory::resident(gateway.id());
        }
    }
    let took = started.elapsed();
    let report = load.stop();
    let after = memory::resident(gateway.id());
    println!(
        "{RELOADS} reloads in {took:?}, {} requests meanwhile; {warm} KiB after {WARM}, {after} KiB at the end",
        report.answered
    );
    report.assert_clean();
    assert!(
        after.saturating_sub(warm) < GROWTH,
        "from {warm} to {after} KiB"
    );
}

/// Ten times as many, by themselves: what is lost per reload, however little, adds up.
#[test]
fn ten_thousand_reloads_leave_memory_flat() {
    const RELOADS: usize = 10_000;
    const WARM: usize = 2_000;
    /// Over the 8 000 that follow, in kibibytes: less than half a kibibyte each.
    const GROWTH: u64 = 3 * 1024;
    let gateway = Gateway::start(Options::new(Backend::Embedded).arg("--workers", "1"));
    let upstream = Upstream::named("fine");
    let tenant = gateway.tenant_before(&upstream);
    let routes: Vec<String> = (0..10)
        .map(|number| {
            let path = format!("/extra/{number}");
            gateway.prefix_route(&tenant, &path, &[&upstream], json!(null))
        })
        .collect();
    let started = Instant::now();
    let (mut admin, mut client) = (
        crate::harness::Client::connect(gateway.admin),
        gateway.connect(),
    );
    let mut warm = 0;
    for number in 0..RELOADS {
        let path = format!("/admin/routes/{}", routes[number % routes.len()]);
        // Every part of a route changes in its turn: what it matches, where it leads, how it is watched over.
        let change = match number % 4 {
            0 => json!({ "priority": number % 1_000 }),
            1 => json!({ "upstreams": [{ "url": upstream.url(), "weight": 1 + number % 100 }] }),
            2 => {
                json!({ "resilience": { "circuitBreaker": { "enabled": true, "failureThreshold": 1 + number % 50 } } })
            }
            _ => json!({ "rateLimit": { "limit": 100_000 + number, "windowMs": 60_000 } }),
        };
        let request = Request::new("PATCH", &path)
            .header("X-Admin-Key", crate::harness::ADMIN_KEY)
            .json(&change);
        admin.call(&request).expect(200);
        if number % 100 == 0 {
            let path = format!("/extra/{}/x", number % routes.len());
            client
                .call(&Request::get(&path).key(&tenant.key))
                .expect(200);
        }
        if number == WARM {
            warm = memory::resident(gateway.id());
        }
    }
    let after = memory::resident(gateway.id());
    println!(
        "{RELOADS} reloads in {:?}; {warm} KiB after {WARM}, {after} KiB at the end",
        started.elapsed()
    );
    assert!(
        after.saturating_sub(warm) < GROWTH,
        "from {warm} to {after} KiB"
    );
}

#[test]
fn a_route_that_is_replaced_over_and_over_is_never_missing() {
    let gateway = Gateway::start(Options::new(Backend::Embedded));
    let (one, two) = (Upstream::named("one"), Upstream::named("two"));
    let tenant = gateway.tenant("acme");
    let route = gateway.prefix_route(&tenant, "/", &[&one], json!(null));
    let load = Load::start(
        gateway.public,
        3,
        &Request::get("/").key(&tenant.key),
        |response| response.status == 200 && matches!(response.text().as_str(), "one" | "two"),
    );
    for number in 0..150 {
        let upstream = if number % 2 == 0 { &two } else { &one };
        gateway.patch_route(&route, json!({ "upstreams": [{ "url": upstream.url() }] }));
        let wanted = if number % 2 == 0 { "two" } else { "one" };
        assert_eq!(
            gateway.get("/", &tenant.key).expect(200).text(),
            wanted,
            "a change holds when it is acknowledged"
        );
    }
    load.stop().assert_clean();
}

#[test]
fn a_change_that_is_refused_changes_nothing() {
    let gateway = Gateway::start(Options::new(Backend::Embedded));
    let upstream = Upstream::named("fine");
    let tenant = gateway.tenant("acme");
    let route = gateway.prefix_route(&tenant, "/", &[&upstream], json!(null));
    let load = Load::of_ok(gateway.public, 2, &Request::get("/").key(&tenant.key));
    for bad in [
        json!({ "upstreams": [] }),
        json!({ "upstreams": [{ "url": "ftp://x" }] }),
        json!({ "path": "no slash" }),
        json!({ "pathType": "regex", "path": "/(" }),
        json!({ "method": "NO SUCH" }),
        json!({ "unknown": 1 }),
    ] {
        for _ in 0..5 {
            gateway
                .admin("PATCH", &format!("/admin/routes/{route}"), bad.clone())
                .expect(400);
        }
    }
    load.wait_for(10);
    load.stop().assert_clean();
}
