//! G5: which upstream a request goes to.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::*;

/// A route of `/`-prefixed `path` by `strategy` over upstreams with weights.
fn balanced(
    gateway: &Gateway,
    tenant: &TenantKey,
    path: &str,
    strategy: &str,
    upstreams: &[(&Upstream, u32)],
) -> String {
    let upstreams: Vec<Value> = upstreams
        .iter()
        .map(|(upstream, weight)| json!({ "url": upstream.url(), "weight": weight }))
        .collect();
    gateway.route(json!({
        "tenantId": tenant.id, "method": "*", "path": path, "pathType": "prefix",
        "loadBalancing": strategy, "upstreams": upstreams,
    }))
}

/// Who answered `count` requests, one after the other over one connection.
fn answered_by(gateway: &Gateway, key: &str, path: &str, count: usize) -> Vec<String> {
    let mut client = gateway.connect();
    (0..count)
        .map(|_| client.call(&Request::get(path).key(key)).expect(200).text())
        .collect()
}

fn tally(names: &[String]) -> BTreeMap<&str, usize> {
    let mut tally = BTreeMap::new();
    for name in names {
        *tally.entry(name.as_str()).or_default() += 1;
    }
    tally
}

on_both! {
    fn g5_round_robin_takes_each_in_its_turn(backend) {
        let gateway = Gateway::start(backend);
        let [a, b, c] = &["a", "b", "c"].map(Upstream::named);
        let tenant = gateway.tenant("acme");
        balanced(
            &gateway,
            &tenant,
            "/rr",
            "round-robin",
            &[(a, 5), (b, 1), (c, 1)],
        );
        let names = answered_by(&gateway, &tenant.key, "/rr", 12);
        assert_eq!(
            tally(&names),
            BTreeMap::from([("a", 4), ("b", 4), ("c", 4)]),
            "weights do not count here"
        );
        for turn in names.windows(3) {
            assert_eq!(tally(turn).len(), 3, "{names:?}");
        }
    }

    fn g5_each_route_has_a_turn_of_its_own(backend) {
        let gateway = Gateway::start(backend);
        let [a, b] = &["a", "b"].map(Upstream::named);
        let tenant = gateway.tenant("acme");
        balanced(&gateway, &tenant, "/one", "round-robin", &[(a, 1), (b, 1)]);
        balanced(&gateway, &tenant, "/two", "round-robin", &[(a, 1), (b, 1)]);
        let (mut one, mut two) = (Vec::new(), Vec::new());
        for _ in 0..4 {
            one.extend(answered_by(&gateway, &tenant.key, "/one", 1));
            two.extend(answered_by(&gateway, &tenant.key, "/two", 1));
        }
        let even = BTreeMap::from([("a", 2), ("b", 2)]);
        assert_eq!((tally(&one), tally(&two)), (even.clone(), even));
    }

    fn g5_weighted_is_exact_over_each_round_and_interleaved(backend) {
        let gateway = Gateway::start(backend);
        let [a, b] = &["a", "b"].map(Upstream::named);
        let tenant = gateway.tenant("acme");
        balanced(&gateway, &tenant, "/w", "weighted", &[(a, 3), (b, 1)]);
        for _ in 0..3 {
            let names = answered_by(&gateway, &tenant.key, "/w", 20);
            assert_eq!(tally(&names), BTreeMap::from([("a", 15), ("b", 5)]));
            for round in names.chunks(4) {
                assert_eq!(
                    tally(round),
                    BTreeMap::from([("a", 3), ("b", 1)]),
                    "{names:?}"
                );
            }
        }
    }

    fn g5_a_weight_is_one_by_default(backend) {
        let gateway = Gateway::start(backend);
        let [a, b] = &["a", "b"].map(Upstream::named);
        let tenant = gateway.tenant("acme");
        gateway.prefix_route(
            &tenant,
            "/w",
            &[a, b],
            json!({ "loadBalancing": "weighted" }),
        );
        let names = answered_by(&gateway, &tenant.key, "/w", 10);
        assert_eq!(tally(&names), BTreeMap::from([("a", 5), ("b", 5)]));
    }

    fn g5_random_reaches_every_upstream(backend) {
        let gateway = Gateway::start(backend);
        let [a, b, c] = &["a", "b", "c"].map(Upstream::named);
        let tenant = gateway.tenant("acme");
        balanced(&gateway, &tenant, "/r", "random", &[(a, 1), (b, 1), (c, 1)]);
        let names = answered_by(&gateway, &tenant.key, "/r", 150);
        // The chance that one of three is drawn less than 20 times of 150 is below one in a million.
        assert!(
            tally(&names).values().all(|&count| count >= 20) && tally(&names).len() == 3,
            "{:?}",
            tally(&names)
        );
    }

    fn g5_least_request_goes_round_the_busy_one(backend) {
        let gateway = Gateway::start(backend);
        let gate = Gate::default();
        let held = gate.clone();
        let busy = Upstream::start(move |_| Answer::text("busy").behind(&held));
        let free = Upstream::named("free");
        let tenant = gateway.tenant("acme");
        balanced(
            &gateway,
            &tenant,
            "/l",
            "least-request",
            &[(&busy, 1), (&free, 1)],
        );
        // Two requests in flight: the second one goes to the other upstream and is answered, so one is held for sure.
        let mut waiting: Vec<Client> = Vec::new();
        for _ in 0..20 {
            let mut client = gateway.connect();
            client.send(Request::get("/l").key(&tenant.key).bytes());
            waiting.push(client);
            if bastide_testkit::until(std::time::Duration::from_millis(300), || {
                busy.in_flight() > 0
            }) {
                break;
            }
        }
        assert_eq!(busy.in_flight(), 1);
        let names = answered_by(&gateway, &tenant.key, "/l", 10);
        assert_eq!(tally(&names), BTreeMap::from([("free", 10)]));
        gate.open();
        for mut client in waiting {
            client.read(false).expect(200);
        }
    }

    fn g5_peak_ewma_prefers_the_quick_one(backend) {
        let gateway = Gateway::start(backend);
        let slow =
            Upstream::start(|_| Answer::text("slow").after(std::time::Duration::from_millis(60)));
        let quick = Upstream::named("quick");
        let tenant = gateway.tenant("acme");
        balanced(
            &gateway,
            &tenant,
            "/e",
            "peak-ewma",
            &[(&slow, 1), (&quick, 1)],
        );
        let names = answered_by(&gateway, &tenant.key, "/e", 40);
        let quick = tally(&names).get("quick").copied().unwrap_or_default();
        assert!(quick >= 30, "{quick} of 40 went to the quick one");
    }

    fn g5_one_upstream_gets_everything_by_any_strategy(backend) {
        let gateway = Gateway::start(backend);
        let a = Upstream::named("a");
        let tenant = gateway.tenant("acme");
        for strategy in [
            "round-robin",
            "weighted",
            "random",
            "least-request",
            "peak-ewma",
        ] {
            balanced(
                &gateway,
                &tenant,
                &format!("/{strategy}"),
                strategy,
                &[(&a, 2)],
            );
            assert_eq!(
                tally(&answered_by(
                    &gateway,
                    &tenant.key,
                    &format!("/{strategy}"),
                    3
                )),
                BTreeMap::from([("a", 3)])
            );
        }
    }

    fn g5_an_unknown_strategy_or_no_upstream_is_refused(backend) {
        let gateway = Gateway::start(backend);
        let tenant = gateway.tenant("acme");
        let base = json!({ "tenantId": tenant.id, "method": "GET", "path": "/a", "loadBalancing": "fastest", "upstreams": [] });
        let refused = gateway
            .admin("POST", "/admin/routes", base)
            .expect_problem(400, "validation_failed");
        let fields: Vec<String> = refused.json()["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| error["field"].as_str().unwrap().to_owned())
            .collect();
        assert!(
            fields.contains(&"loadBalancing".to_owned())
                && fields.contains(&"upstreams".to_owned()),
            "{fields:?}"
        );
    }

    fn g5_a_changed_route_begins_at_its_first_upstream(backend) {
        let gateway = Gateway::start(backend);
        let [a, b] = &["a", "b"].map(Upstream::named);
        let tenant = gateway.tenant("acme");
        let route = balanced(&gateway, &tenant, "/rr", "round-robin", &[(a, 1), (b, 1)]);
        for priority in 1..=3 {
            assert_eq!(answered_by(&gateway, &tenant.key, "/rr", 1), ["a"]);
            gateway.patch_route(&route, json!({ "priority": priority }));
        }
    }

    /// A change elsewhere does not send the turn back to its beginning.
    fn g5_a_reload_keeps_the_turn(backend) {
        let gateway = Gateway::start(backend);
        let [a, b] = &["a", "b"].map(Upstream::named);
        let tenant = gateway.tenant("acme");
        balanced(&gateway, &tenant, "/rr", "round-robin", &[(a, 1), (b, 1)]);
        let mut names = answered_by(&gateway, &tenant.key, "/rr", 1);
        for number in 0..5 {
            gateway.tenant(&format!("other-{number}"));
            names.extend(answered_by(&gateway, &tenant.key, "/rr", 1));
        }
        assert_eq!(
            tally(&names),
            BTreeMap::from([("a", 3), ("b", 3)]),
            "{names:?}"
        );
    }
}
