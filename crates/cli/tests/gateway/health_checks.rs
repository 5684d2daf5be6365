//! G8: active health checks.

use serde_json::{Value, json};

use crate::harness::*;

/// Checks every 100 ms: two failures to be out, two successes to be in again.
fn checks(more: Value) -> Value {
    let mut checks = json!({ "endpoint": "/health", "intervalMs": 100, "timeoutMs": 300, "healthyThreshold": 2, "unhealthyThreshold": 2 });
    if let (Some(members), Value::Object(more)) = (checks.as_object_mut(), more) {
        members.extend(more);
    }
    json!({ "resilience": { "healthCheck": checks } })
}

/// Well or not by what its `/health` says, while everything else is served all the same.
fn upstream(name: &'static str, health: u16) -> Upstream {
    let upstream = Upstream::named(name);
    set_health(&upstream, name, health);
    upstream
}

fn set_health(upstream: &Upstream, name: &'static str, health: u16) {
    upstream.set(move |request| {
        if request.path() == "/health" {
            Answer::status(health)
        } else {
            Answer::text(name)
        }
    });
}

/// Who answers six requests in a row.
fn serving(gateway: &Gateway, key: &str) -> Vec<String> {
    let mut names: Vec<String> = (0..6).map(|_| gateway.get("/x", key).text()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

on_both! {
    fn g8_an_unhealthy_endpoint_is_skipped_until_it_recovers(backend) {
        let gateway = Gateway::start(backend);
        let (a, b) = (upstream("a", 200), upstream("b", 500));
        let tenant = gateway.tenant("acme");
        gateway.prefix_route(&tenant, "/", &[&a, &b], checks(Value::Null));
        eventually("b is found unhealthy", || {
            serving(&gateway, &tenant.key) == ["a"]
        });
        let before = b.count_of("/x");
        for _ in 0..10 {
            gateway.get("/x", &tenant.key).expect(200);
        }
        assert_eq!(b.count_of("/x"), before);
        set_health(&b, "b", 204);
        eventually("b is found healthy", || {
            serving(&gateway, &tenant.key) == ["a", "b"]
        });
        assert!(
            b.requests()
                .iter()
                .filter(|request| request.path() == "/health")
                .all(|probe| probe.method == "GET")
        );
    }

    fn g8_an_endpoint_that_is_slow_or_gone_is_unhealthy(backend) {
        let gateway = Gateway::start(backend);
        let good = upstream("good", 200);
        let slow = Upstream::start(|request| {
            if request.path() == "/health" {
                Answer::hang()
            } else {
                Answer::text("slow")
            }
        });
        let (a, b) = (gateway.tenant("a"), gateway.tenant("b"));
        gateway.prefix_route(
            &a,
            "/",
            &[&good, &slow],
            checks(json!({ "timeoutMs": 100 })),
        );
        let mut gone = upstream("gone", 200);
        gateway.prefix_route(&b, "/", &[&good, &gone], checks(Value::Null));
        gone.stop();
        eventually("the slow one is left out", || {
            serving(&gateway, &a.key) == ["good"]
        });
        eventually("the one that is gone is left out", || {
            serving(&gateway, &b.key) == ["good"]
        });
        gone.resume();
        eventually("the one that is back is taken in", || {
            serving(&gateway, &b.key) == ["gone", "good"]
        });
    }

    fn g8_with_every_endpoint_unhealthy_it_is_503_or_the_fallback(backend) {
        let gateway = Gateway::start(backend);
        let (a, b) = (upstream("a", 500), upstream("b", 404));
        let tenant = gateway.tenant("acme");
        let id = gateway.prefix_route(&tenant, "/", &[&a, &b], checks(Value::Null));
        eventually("both are found unhealthy", || {
            gateway.get("/x", &tenant.key).status == 503
        });
        let before = (a.count_of("/x"), b.count_of("/x"));
        gateway
            .get("/x", &tenant.key)
            .expect_problem(503, "no_healthy_endpoint");
        gateway.patch_route(&id, json!({ "resilience": { "fallback": { "statusCode": 200, "contentType": "text/plain", "body": "later" } } }));
        eventually("the fallback stands in", || {
            gateway.get("/x", &tenant.key).text() == "later"
        });
        assert!(
            a.count_of("/x") + b.count_of("/x") <= before.0 + before.1 + 4,
            "unhealthy endpoints are left alone"
        );
    }

    /// Until something is known about it, an endpoint counts as healthy.
    fn g8_a_new_endpoint_is_healthy_until_it_is_known_better(backend) {
        let gateway = Gateway::start(backend);
        let a = upstream("a", 500);
        let tenant = gateway.tenant("acme");
        gateway.prefix_route(&tenant, "/", &[&a], checks(json!({ "intervalMs": 60_000 })));
        gateway.get("/x", &tenant.key).expect(200);
    }

    fn g8_nothing_is_probed_where_checks_are_off(backend) {
        let gateway = Gateway::start(backend);
        let (off, none, on) = (
            upstream("off", 500),
            upstream("none", 500),
            upstream("on", 200),
        );
        let tenant = gateway.tenant("acme");
        gateway.prefix_route(
            &tenant,
            "/off",
            &[&off],
            checks(json!({ "enabled": false })),
        );
        gateway.prefix_route(&tenant, "/none", &[&none], Value::Null);
        gateway.prefix_route(&tenant, "/on", &[&on], checks(Value::Null));
        // The probes of the one are the clock for the others.
        eventually("probes are sent", || on.count_of("/health") >= 5);
        assert_eq!((off.count(), none.count()), (0, 0));
        assert_eq!(gateway.get("/off/x", &tenant.key).expect(200).text(), "off");
        assert_eq!(
            gateway.get("/none/x", &tenant.key).expect(200).text(),
            "none"
        );
    }

    fn g8_checks_follow_changes_and_stop_with_their_route(backend) {
        let gateway = Gateway::start(backend);
        let (a, clock) = (upstream("a", 200), upstream("clock", 200));
        let tenant = gateway.tenant("acme");
        let id = gateway.prefix_route(&tenant, "/a", &[&a], checks(Value::Null));
        gateway.prefix_route(&tenant, "/clock", &[&clock], checks(Value::Null));
        eventually("probes are sent", || a.count_of("/health") >= 3);
        gateway.patch_route(
            &id,
            json!({ "resilience": { "healthCheck": { "endpoint": "/alive" } } }),
        );
        eventually("probes go to the new endpoint", || {
            a.count_of("/alive") >= 3
        });

        let rest = |stopped: &dyn Fn() -> usize| {
            // One probe may be on its way.
            let ticks = clock.count_of("/health");
            eventually("time passes", || clock.count_of("/health") >= ticks + 2);
            let before = stopped();
            let ticks = clock.count_of("/health");
            eventually("time passes", || clock.count_of("/health") >= ticks + 5);
            assert_eq!(stopped(), before, "probes went on");
        };
        rest(&|| a.count_of("/health"));
        gateway
            .admin("DELETE", &format!("/admin/routes/{id}"), Value::Null)
            .expect(204);
        rest(&|| a.count());
    }

    /// What was found is forgotten with the checks: every upstream is asked again.
    fn g8_checks_that_are_switched_off_leave_nobody_out(backend) {
        let gateway = Gateway::start(backend);
        let (a, b) = (upstream("a", 500), upstream("b", 500));
        let tenant = gateway.tenant("acme");
        let id = gateway.prefix_route(&tenant, "/", &[&a, &b], checks(Value::Null));
        eventually("both are found unhealthy", || {
            gateway.get("/x", &tenant.key).status == 503
        });
        gateway.patch_route(&id, checks(json!({ "enabled": false })));
        assert_eq!(serving(&gateway, &tenant.key), ["a", "b"]);
        gateway.patch_route(&id, checks(json!({ "enabled": true })));
        eventually("both are found unhealthy again", || {
            gateway.get("/x", &tenant.key).status == 503
        });
    }

    fn g8_a_changed_upstream_is_probed_in_place_of_the_old_one(backend) {
        let gateway = Gateway::start(backend);
        let (old, new) = (upstream("old", 500), upstream("new", 200));
        let tenant = gateway.tenant("acme");
        let id = gateway.prefix_route(&tenant, "/", &[&old], checks(Value::Null));
        eventually("the old one is unhealthy", || {
            gateway.get("/x", &tenant.key).status == 503
        });
        gateway.patch_route(&id, json!({ "upstreams": [{ "url": new.url() }] }));
        assert_eq!(gateway.get("/x", &tenant.key).expect(200).text(), "new");
        eventually("the new one is probed", || new.count_of("/health") >= 2);
    }
}

/// What one node found out the others hear of.
#[test]
fn g8_the_state_is_shared_between_nodes() {
    let first = Gateway::start(Backend::Servers);
    let second = Gateway::start(first.options().another_node());
    let (a, b) = (upstream("a", 200), upstream("b", 500));
    let tenant = first.tenant("acme");
    first.prefix_route(&tenant, "/", &[&a, &b], checks(Value::Null));
    eventually("the first node leaves b out", || {
        serving(&first, &tenant.key) == ["a"]
    });
    eventually("the second node leaves b out", || {
        serving(&second, &tenant.key) == ["a"]
    });
}

/// The second node has no verdict of its own: its first probe is still under way. What it knows it knows from the first one,
/// which does not believe the upstream's certificate.
#[test]
fn g8_a_node_that_has_not_probed_yet_believes_another_one() {
    let stores = std::sync::Arc::new(Stores::of(Backend::Servers));
    let authority = Authority::new();
    let first = Gateway::start(Options::over(std::sync::Arc::clone(&stores)));
    let trusting = first.options().another_node();
    let file = authority.write(&trusting.folder());
    let second = Gateway::start(trusting.arg("--upstream-ca", &file));

    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::start(move |request| match request.path() {
        "/health" => Answer::text("well").behind(&held),
        _ => Answer::text("a"),
    });
    let relay = Relay::from_tls(upstream.address(), &authority.issue("localhost"));
    let tenant = first.tenant("acme");
    first.route(json!({
        "tenantId": tenant.id, "method": "*", "path": "/", "pathType": "prefix",
        "upstreams": [{ "url": format!("https://localhost:{}", relay.address().port()) }],
        "resilience": { "healthCheck": {
            "enabled": true, "endpoint": "/health", "intervalMs": 500, "timeoutMs": 30_000,
            "healthyThreshold": 1, "unhealthyThreshold": 4
        } },
    }));
    eventually("the second node's first probe is under way", || {
        upstream.in_flight() == 1
    });
    assert_eq!(
        second.get("/", &tenant.key).expect(200).text(),
        "a",
        "unknown counts as healthy"
    );
    let is_out = |node: &Gateway| {
        let response = node.get("/", &tenant.key);
        response.status == 503 && response.code() == "no_healthy_endpoint"
    };
    eventually("the first node leaves it out", || is_out(&first));
    eventually("so does the second", || is_out(&second));
    assert_eq!(
        upstream.count_of("/health"),
        1,
        "it has nothing from a probe of its own"
    );
    gate.open();
    eventually("its own probe decides", || {
        second.get("/", &tenant.key).status == 200
    });
    assert!(is_out(&first), "each sees what it sees");
}
