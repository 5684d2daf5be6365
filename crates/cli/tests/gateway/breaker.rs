//! G6: the circuit breaker.

use std::io::BufRead as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::redis_client::ask;
use crate::harness::wait::within;
use crate::harness::*;

fn breaker(failures: u32, successes: u32, timeout_ms: u64) -> Value {
    json!({ "resilience": { "circuitBreaker": { "failureThreshold": failures, "successThreshold": successes, "timeout": timeout_ms } } })
}

/// Calls over one connection, so that what one request taught is known to the next.
fn calls(gateway: &Gateway, key: &str) -> impl FnMut(&str) -> Response {
    let (address, key) = (gateway.public, key.to_owned());
    let mut open = None;
    move |path| {
        let mut client = open.take().unwrap_or_else(|| Client::connect(address));
        let response = client.call(&Request::get(path).key(&key));
        if response.header("connection") != Some("close") {
            open = Some(client);
        }
        response
    }
}

/// Longer than any test: a breaker that opened stays open.
const LONG: u64 = 60_000;

on_both! {
    fn g6_opens_after_the_threshold_and_an_open_endpoint_gets_no_request(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::status(500);
        let tenant = gateway.tenant("acme");
        let mut get = calls(&gateway, &tenant.key);
        gateway.prefix_route(&tenant, "/", &[&upstream], breaker(3, 1, LONG));
        for _ in 0..3 {
            get("/").expect(500);
        }
        for _ in 0..5 {
            let refused = get("/").expect_problem(503, "circuit_open");
            assert!(
                (1..=60).contains(&refused.number("retry-after")),
                "{refused:?}"
            );
        }
        assert_eq!(upstream.count(), 3);
    }

    fn g6_a_route_without_a_breaker_or_with_a_disabled_one_always_asks(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::status(500);
        let tenant = gateway.tenant("acme");
        let mut get = calls(&gateway, &tenant.key);
        gateway.prefix_route(&tenant, "/none", &[&upstream], Value::Null);
        let disabled = json!({ "resilience": { "circuitBreaker": { "enabled": false, "failureThreshold": 1 } } });
        gateway.prefix_route(&tenant, "/off", &[&upstream], disabled);
        for path in ["/none", "/off"] {
            for _ in 0..10 {
                get(path).expect(500);
            }
        }
        assert_eq!(upstream.count(), 20);
    }

    /// Only failures in a row count: a success starts the count anew, and a 4xx is neither.
    fn g6_a_success_starts_the_count_anew_and_a_4xx_is_neutral(backend) {
        let gateway = Gateway::start(backend);
        let upstream =
            Upstream::start(|request| Answer::status(request.path()[1..].parse().unwrap()));
        let tenant = gateway.tenant("acme");
        let mut get = calls(&gateway, &tenant.key);
        gateway.prefix_route(&tenant, "/", &[&upstream], breaker(3, 1, LONG));
        for status in [500, 500, 200, 500, 500, 204, 500, 404, 302, 429, 500] {
            get(&format!("/{status}")).expect(status);
        }
        // Two failures since the last success; one more opens it.
        get("/503").expect(503);
        get("/200").expect_problem(503, "circuit_open");
    }

    fn g6_an_upstream_that_cannot_be_reached_or_is_too_slow_counts_as_failing(backend) {
        let gateway = Gateway::start(backend);
        let mut gone = Upstream::named("gone");
        let slow = Upstream::start(|_| Answer::hang());
        let tenant = gateway.tenant("acme");
        let mut get = calls(&gateway, &tenant.key);
        gateway.prefix_route(&tenant, "/gone", &[&gone], breaker(2, 1, LONG));
        let mut timed = breaker(2, 1, LONG);
        timed["resilience"]["timeout"] = json!({ "default": 100 });
        gateway.prefix_route(&tenant, "/slow", &[&slow], timed);
        gone.stop();
        for (path, status) in [("/gone", 502), ("/slow", 504)] {
            get(path).expect(status);
            get(path).expect(status);
            get(path).expect_problem(503, "circuit_open");
        }
        assert_eq!(slow.count(), 2);
    }

    fn g6_closes_after_enough_successful_probes(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::status(500);
        let tenant = gateway.tenant("acme");
        let mut get = calls(&gateway, &tenant.key);
        gateway.prefix_route(&tenant, "/", &[&upstream], breaker(2, 2, 400));
        get("/").expect(500);
        get("/").expect(500);
        get("/").expect_problem(503, "circuit_open");
        upstream.set(|_| Answer::text("well again"));
        eventually("a probe gets through", || get("/").status == 200);
        assert_eq!(upstream.count(), 3, "refused requests are no probes");
        get("/").expect(200);
        // Closed: one failure does not open it, as it would in half-open.
        upstream.set(|request| Answer::status(if request.path() == "/bad" { 500 } else { 200 }));
        get("/bad").expect(500);
        get("/").expect(200);
    }

    fn g6_a_failed_probe_opens_it_again(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::status(500);
        let tenant = gateway.tenant("acme");
        let mut get = calls(&gateway, &tenant.key);
        gateway.prefix_route(&tenant, "/", &[&upstream], breaker(2, 2, 300));
        get("/").expect(500);
        get("/").expect(500);
        for round in 1..=3 {
            get("/").expect_problem(503, "circuit_open");
            eventually("a probe gets through", || get("/").status == 500);
            assert_eq!(upstream.count(), 2 + round);
        }
    }

    /// As many as have to succeed, and not one more, however many ask at the same time.
    fn g6_half_open_lets_exactly_k_probes_through(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::status(500);
        let tenant = gateway.tenant("acme");
        // Long beside the rest of the test, as an unanswered probe gives its place away after this time.
        gateway.prefix_route(&tenant, "/", &[&upstream], breaker(1, 2, 3_000));
        gateway.get("/", &tenant.key).expect(500);
        let gate = Gate::default();
        let held = gate.clone();
        upstream.set(move |_| Answer::text("probe").behind(&held));
        let request = Request::get("/").key(&tenant.key);
        let mut probes = Vec::new();
        eventually("the first answer is out", || upstream.in_flight() == 0);
        eventually("both probes are at the upstream", || {
            let mut client = gateway.connect();
            client.send(request.bytes());
            client.set_patience(Duration::from_millis(10));
            let mut is_refused = false;
            eventually("it is refused or at the upstream", || {
                is_refused = client.stream.fill_buf().is_ok();
                is_refused || upstream.in_flight() > probes.len()
            });
            client.set_patience(Duration::from_secs(10));
            if is_refused {
                client.read(false).expect_problem(503, "circuit_open");
            } else {
                probes.push(client);
            }
            probes.len() == 2
        });
        assert_eq!(upstream.in_flight(), 2);
        for _ in 0..5 {
            gateway.call(&request).expect_problem(503, "circuit_open");
        }
        gate.open();
        for mut probe in probes {
            probe.read(false).expect(200);
        }
        gateway.call(&request).expect(200);
    }

    fn g6_an_open_endpoint_is_skipped_and_503_only_when_all_are_open(backend) {
        let gateway = Gateway::start(backend);
        let (bad, good) = (Upstream::status(500), Upstream::named("good"));
        let tenant = gateway.tenant("acme");
        let mut get = calls(&gateway, &tenant.key);
        gateway.prefix_route(&tenant, "/", &[&bad, &good], breaker(2, 1, LONG));
        let failed = (0..20).filter(|_| get("/").status == 500).count();
        assert_eq!((failed, bad.count()), (2, 2));
        assert_eq!(good.count(), 18);
        good.set(|_| Answer::status(500));
        get("/").expect(500);
        get("/").expect(500);
        get("/").expect_problem(503, "circuit_open");
        assert_eq!(bad.count(), 2);
    }

    fn g6_each_route_has_a_breaker_of_its_own(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::start(|request| {
            Answer::status(if request.path() == "/bad" { 500 } else { 200 })
        });
        let tenant = gateway.tenant("acme");
        let mut get = calls(&gateway, &tenant.key);
        gateway.prefix_route(&tenant, "/one", &[&upstream], breaker(1, 1, LONG));
        gateway.prefix_route(&tenant, "/two", &[&upstream], breaker(1, 1, LONG));
        get("/one/bad").expect(500);
        get("/one/ok").expect_problem(503, "circuit_open");
        get("/two/ok").expect(200);
    }

    /// What is off counts nothing, and what is switched on begins anew: so an operator can close it by hand.
    fn g6_switched_off_it_counts_nothing_and_switched_on_it_begins_anew(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::status(500);
        let tenant = gateway.tenant("acme");
        let mut get = calls(&gateway, &tenant.key);
        let mut off = breaker(2, 1, LONG);
        off["resilience"]["circuitBreaker"]["enabled"] = json!(false);
        let id = gateway.prefix_route(&tenant, "/", &[&upstream], off.clone());
        for _ in 0..5 {
            get("/").expect(500);
        }
        for _ in 0..2 {
            gateway.patch_route(&id, json!({ "resilience": { "circuitBreaker": { "enabled": true } } }));
            get("/").expect(500);
            get("/").expect(500);
            get("/").expect_problem(503, "circuit_open");
            gateway.patch_route(&id, off.clone());
            get("/").expect(500);
        }
    }

    fn g6_a_change_elsewhere_does_not_close_an_open_breaker(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::status(500);
        let tenant = gateway.tenant("acme");
        let mut get = calls(&gateway, &tenant.key);
        let id = gateway.prefix_route(&tenant, "/", &[&upstream], breaker(1, 1, LONG));
        get("/").expect(500);
        gateway.tenant("another");
        gateway.patch_route(&id, json!({ "priority": 3 }));
        get("/").expect_problem(503, "circuit_open");
        assert_eq!(upstream.count(), 1);
    }
}

/// What one node found out the others hear of.
#[test]
fn g6_the_state_is_shared_between_nodes() {
    let first = Gateway::start(Backend::Servers);
    let second = Gateway::start(first.options().another_node());
    let upstream = Upstream::status(500);
    let tenant = first.tenant("acme");
    let mut get = calls(&first, &tenant.key);
    first.prefix_route(&tenant, "/", &[&upstream], breaker(3, 1, LONG));
    for _ in 0..3 {
        get("/").expect(500);
    }
    get("/").expect_problem(503, "circuit_open");
    upstream.set(|_| Answer::text("well"));
    within(
        Duration::from_secs(2),
        "the other node's breaker is open",
        || second.get("/", &tenant.key).status == 503,
    );
}

/// What cannot be read in the shared store is passed over, and what comes after it is heard.
#[test]
fn g6_a_damaged_word_of_another_node_changes_nothing() {
    let first = Gateway::start(Backend::Servers);
    let second = Gateway::start(first.options().another_node());
    let upstream = Upstream::status(500);
    let tenant = first.tenant("acme");
    let route = first.prefix_route(&tenant, "/sick", &[&upstream], breaker(1, 1, LONG));
    let well = Upstream::named("well");
    first.prefix_route(&tenant, "/later", &[&well], Value::Null);
    eventually("the other node knows both routes", || {
        second.get("/later", &tenant.key).status == 200
    });
    let port = first.stores().redis().port();
    let say = |word: &str| ask(port, &["PUBLISH", "gateway:upstreams", word]);
    eventually("both nodes listen", || say("") == ":2");
    let known = json!({ "node": route, "route": route, "url": upstream.url(), "change": { "open": "soon" } });
    for word in ["no JSON", "{}", "[1]", &known.to_string()] {
        assert_eq!(say(word), ":2");
    }
    // The breaker is closed until this opens it.
    first.get("/sick", &tenant.key).expect(500);
    upstream.set(|_| Answer::text("well"));
    within(
        Duration::from_secs(2),
        "the word of the first node is heard",
        || second.get("/sick", &tenant.key).status == 503,
    );
}
