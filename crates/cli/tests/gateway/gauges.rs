//! G13: what `/metrics` shows of the state at the moment of the scrape: breakers, health, connections, what is in flight.

use serde_json::{Value, json};

use crate::harness::*;
use crate::metrics::{assert_counted, total};

on_both! {
    fn g13_requests_in_flight_are_shown(backend) {
        let gateway = Gateway::start(backend);
        let gate = Gate::default();
        let upstream = {
            let gate = gate.clone();
            Upstream::start(move |_| Answer::text("late").behind(&gate))
        };
        let tenant = gateway.tenant("acme");
        let route = gateway.prefix_route(&tenant, "/", &[&upstream], Value::Null);
        let mut clients: Vec<Client> = (0..3).map(|_| gateway.connect()).collect();
        for client in &mut clients {
            client.send(Request::get("/").key(&tenant.key).bytes());
        }
        let there = [("route", route.as_str())];
        assert_counted(&gateway, "gateway_http_requests_in_flight", &[], 3.0);
        assert_counted(&gateway, "gateway_upstream_requests_in_flight", &there, 3.0);
        gate.open();
        for client in &mut clients {
            client.read(false).expect(200);
        }
        assert_counted(&gateway, "gateway_http_requests_in_flight", &[], 0.0);
        assert_counted(&gateway, "gateway_upstream_requests_in_flight", &there, 0.0);
    }

    fn g13_open_connections_are_shown(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let tenant = gateway.tenant_before(&upstream);
        let mut clients: Vec<Client> = (0..3).map(|_| gateway.connect()).collect();
        for client in &mut clients {
            client.call(&Request::get("/").key(&tenant.key)).expect(200);
        }
        let name = "gateway_connections";
        assert_counted(&gateway, name, &[("side", "client")], 3.0);
        let idle = upstream.connections() as f64;
        assert_counted(&gateway, name, &[("side", "upstream_idle")], idle);
        clients.pop();
        assert_counted(&gateway, name, &[("side", "client")], 2.0);
        clients.clear();
        assert_counted(&gateway, name, &[("side", "client")], 0.0);
    }

    /// 0, 1 and 2 are closed, open and half-open; and each change is in the log.
    fn g13_the_state_of_a_breaker_is_shown(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::status(500);
        let tenant = gateway.tenant("acme");
        let breaker = json!({ "failureThreshold": 1, "successThreshold": 1, "timeout": 1_000 });
        let with_breaker = json!({ "resilience": { "circuitBreaker": breaker } });
        let route = gateway.prefix_route(&tenant, "/", &[&upstream], with_breaker);
        let url = upstream.url();
        let here = [("route", route.as_str()), ("upstream", url.as_str())];
        let is = |state| assert_counted(&gateway, "gateway_circuit_breaker_state", &here, state);
        is(0.0);
        let help = "# HELP gateway_circuit_breaker_state 0 closed, 1 open, 2 half-open";
        assert!(gateway.metrics().contains(help));
        gateway.get("/", &tenant.key).expect(500);
        is(1.0);
        is(2.0);
        upstream.set(|_| Answer::text("well again"));
        gateway.get("/", &tenant.key).expect(200);
        is(0.0);
        eventually("both changes are in the log", || {
            let log = gateway.stdout();
            let mut lines = log.lines().filter(|line| line.contains(&route));
            lines.any(|line| line.contains("state=Open"))
                && lines.any(|line| line.contains("state=Closed"))
        });
        // Without a breaker there is nothing to show.
        gateway.patch_route(&route, json!({ "resilience": null }));
        let shown = total(&gateway.metrics(), "gateway_circuit_breaker_state", &here);
        assert_eq!(shown, None);
    }

    fn g13_the_health_of_upstreams_is_shown(backend) {
        let gateway = Gateway::start(backend);
        let (checked, other) = (Upstream::named("checked"), Upstream::named("other"));
        let tenant = gateway.tenant("acme");
        let checks = json!({ "intervalMs": 100, "healthyThreshold": 1, "unhealthyThreshold": 1 });
        let with_checks = json!({ "resilience": { "healthCheck": checks } });
        let route = gateway.prefix_route(&tenant, "/checked", &[&checked], with_checks);
        let unchecked = gateway.prefix_route(&tenant, "/other", &[&other], Value::Null);
        let name = "gateway_upstream_healthy";
        let url = checked.url();
        let here = [("route", route.as_str()), ("upstream", url.as_str())];
        assert_counted(&gateway, name, &here, 1.0);
        checked.set(|_| Answer::status(500));
        assert_counted(&gateway, name, &here, 0.0);
        checked.set(|_| Answer::text("well again"));
        assert_counted(&gateway, name, &here, 1.0);
        assert_eq!(total(&gateway.metrics(), name, &[("route", &unchecked)]), None);
    }
}
