//! G3: rate limits and what is said about them.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::harness::*;

/// A tenant with this limit before an upstream.
pub(crate) fn limited(gateway: &Gateway, upstream: &Upstream, limit: Value) -> TenantKey {
    let tenant = gateway.tenant_with(json!({ "name": "acme", "rateLimit": limit }));
    gateway.prefix_route(&tenant, "/", &[upstream], Value::Null);
    tenant
}

fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// When each admitted request was sent and answered.
pub(crate) fn press(
    client: &mut Client,
    request: &Request,
    time: Duration,
) -> Vec<(Instant, Instant)> {
    let start = Instant::now();
    let mut admitted = Vec::new();
    while start.elapsed() < time {
        let sent = Instant::now();
        match client.call(request).status {
            200 => admitted.push((sent, Instant::now())),
            429 => pause(Duration::from_millis(1)),
            other => panic!("{other}"),
        }
    }
    admitted
}

on_both! {
    fn g3_every_authenticated_response_says_what_is_left(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let tenant = gateway.tenant_with(
            json!({ "name": "acme", "rateLimit": { "limit": 5, "windowMs": 60_000 } }),
        );
        gateway.prefix_route(&tenant, "/ok", &[&upstream], json!({ "method": "GET" }));
        let mut gone = Upstream::named("gone");
        gateway.prefix_route(&tenant, "/gone", &[&gone], Value::Null);
        gone.stop();
        let call =
            |method: &str, path: &str| gateway.call(&Request::new(method, path).key(&tenant.key));
        let answers = [
            call("GET", "/ok").expect(200),
            call("GET", "/unknown").expect(404),
            call("DELETE", "/ok").expect(405),
            call("GET", "/gone").expect(502),
            call("HEAD", "/ok").expect(200),
            call("GET", "/ok").expect(429),
        ];
        for (answer, left) in answers.iter().zip([4, 3, 2, 1, 0, 0]) {
            assert_eq!(answer.number("x-ratelimit-limit"), 5);
            assert_eq!(answer.number("x-ratelimit-remaining"), left, "{answer:?}");
            let reset = answer.number("x-ratelimit-reset");
            assert!(
                (unix_now()..=unix_now() + 65).contains(&reset),
                "{reset} is no time within the window"
            );
            assert_eq!(
                answer.header("ratelimit-policy"),
                Some("\"default\";q=5;w=60")
            );
            let fields = answer.header("ratelimit").unwrap();
            assert!(
                fields.starts_with(&format!("\"default\";r={left};t=")),
                "{fields}"
            );
        }
    }

    fn g3_an_upstreams_own_rate_headers_do_not_stand_beside_ours(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::start(|_| {
            Answer::text("a")
                .header("X-RateLimit-Limit", "1")
                .header("x-ratelimit-remaining", "0")
        });
        let tenant = limited(
            &gateway,
            &upstream,
            json!({ "limit": 9, "windowMs": 60_000 }),
        );
        let response = gateway.get("/", &tenant.key).expect(200);
        assert_eq!(
            (
                response.number("x-ratelimit-limit"),
                response.number("x-ratelimit-remaining")
            ),
            (9, 8)
        );
    }

    fn g3_429_comes_before_404_and_reaches_no_upstream(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let tenant = gateway.tenant_with(
            json!({ "name": "acme", "rateLimit": { "limit": 3, "windowMs": 60_000 } }),
        );
        gateway.prefix_route(&tenant, "/ok", &[&upstream], Value::Null);
        // A request that finds no route has been asked all the same.
        gateway.get("/unknown", &tenant.key).expect(404);
        gateway.get("/unknown", &tenant.key).expect(404);
        gateway.get("/ok", &tenant.key).expect(200);
        for path in ["/ok", "/unknown"] {
            let refused = gateway
                .get(path, &tenant.key)
                .expect_problem(429, "rate_limited");
            // Up to one part of the window more, as a part is freed whole.
            assert!(
                (1..=65).contains(&refused.number("retry-after")),
                "{refused:?}"
            );
        }
        assert_eq!(upstream.count(), 1);
        // Who is not known is told so first.
        gateway.call(&Request::get("/ok")).expect(401);
        gateway.get("/ok", "nobodys-key-at-all").expect(403);
    }

    fn g3_retry_after_is_honest(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let tenant = limited(
            &gateway,
            &upstream,
            json!({ "limit": 2, "windowMs": 1_200 }),
        );
        gateway.get("/", &tenant.key).expect(200);
        gateway.get("/", &tenant.key).expect(200);
        let refused = gateway.get("/", &tenant.key).expect(429);
        let wait = refused.number("retry-after");
        assert!((1..=3).contains(&wait), "{wait}");
        pause(Duration::from_secs(wait));
        gateway.get("/", &tenant.key).expect(200);
    }

    fn g3_the_tiers_have_their_limits(backend) {
        let gateway = Gateway::start(backend);
        for (tier, limit) in [("free", 60), ("pro", 1_000), ("enterprise", 10_000)] {
            let tenant = gateway.tenant_with(json!({ "name": tier, "tier": tier }));
            let response = gateway.get("/", &tenant.key).expect(404);
            assert_eq!(response.number("x-ratelimit-limit"), limit);
            assert_eq!(
                response.header("ratelimit-policy").unwrap(),
                format!("\"default\";q={limit};w=60")
            );
        }
        let refused = gateway.admin(
            "POST",
            "/admin/tenants",
            json!({ "name": "x", "tier": "gold" }),
        );
        assert_eq!(
            refused.expect_problem(400, "validation_failed").json()["errors"][0]["field"],
            "tier"
        );
    }

    fn g3_tiers_are_configurable_while_the_gateway_runs(backend) {
        let gateway = Gateway::start(backend);
        let tenant = gateway.tenant_with(json!({ "name": "acme" }));
        let tiers = json!({ "tiers": { "free": { "limit": 7, "windowMs": 60_000 }, "gold": { "requestsPerSecond": 50, "burstSize": 80 } } });
        gateway.admin("PUT", "/admin/config", tiers).expect(200);
        assert_eq!(
            gateway
                .get("/", &tenant.key)
                .expect(404)
                .number("x-ratelimit-limit"),
            7
        );
        gateway.patch_tenant(&tenant.id, json!({ "tier": "gold" }));
        let limit = gateway
            .get("/", &tenant.key)
            .expect(404)
            .number("x-ratelimit-limit");
        assert!([50, 80].contains(&limit), "{limit}");
    }

    /// Never more than the limit in any window, wherever the window begins.
    fn g3_the_window_slides(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let (limit, window) = (10, Duration::from_millis(500));
        let tenant = limited(
            &gateway,
            &upstream,
            json!({ "limit": limit, "windowMs": 500 }),
        );
        let admitted = press(
            &mut gateway.connect(),
            &Request::get("/").key(&tenant.key),
            Duration::from_millis(2_200),
        );
        for (at, &(sent, _)) in admitted.iter().enumerate() {
            if let Some(&(_, answered)) = admitted.get(at + limit) {
                assert!(
                    answered - sent >= window,
                    "{} requests within {:?}",
                    limit + 1,
                    answered - sent
                );
            }
        }
        assert!(
            admitted.len() >= 2 * limit,
            "only {} were admitted in more than four windows",
            admitted.len()
        );
    }

    fn g3_the_burst_is_apart_from_the_rate(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let (rate, burst) = (5, 20);
        let tenant = limited(
            &gateway,
            &upstream,
            json!({ "requestsPerSecond": rate, "burstSize": burst }),
        );
        let time = Duration::from_secs(2);
        let started = Instant::now();
        let admitted = press(
            &mut gateway.connect(),
            &Request::get("/").key(&tenant.key),
            time,
        );
        let most = burst + (f64::from(rate) * started.elapsed().as_secs_f64()) as i32 + 1;
        let count = i32::try_from(admitted.len()).unwrap();
        assert!(count <= most, "{count} admitted, at most {most} may be");
        assert!(count >= burst, "{count} admitted, {burst} may come at once");
        assert_eq!(upstream.count(), admitted.len());
    }

    fn g3_without_a_burst_the_rate_alone_is_the_limit(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let tenant = limited(&gateway, &upstream, json!({ "requestsPerSecond": 3 }));
        let mut client = gateway.connect();
        let request = Request::get("/").key(&tenant.key);
        let first = client.call(&request).expect(200);
        assert_eq!(first.header("ratelimit-policy"), Some("\"default\";q=3;w=1"));
        assert_eq!(
            (first.number("x-ratelimit-limit"), first.number("x-ratelimit-remaining")),
            (3, 2)
        );
        let seconds = 2;
        let admitted = press(&mut client, &request, Duration::from_secs(seconds)).len();
        assert!((2..=3 * (seconds as usize + 1)).contains(&admitted), "{admitted} were admitted");
    }

    /// One who presses takes nothing from another.
    fn g3_each_tenant_is_counted_by_itself(backend) {
        let gateway = Gateway::start(backend);
        let limit = json!({ "limit": 2, "windowMs": 60_000 });
        let [a, b] = ["a", "b"].map(|name| gateway.tenant_with(json!({ "name": name, "rateLimit": limit })));
        for _ in 0..2 {
            gateway.get("/", &a.key).expect(404);
        }
        gateway.get("/", &a.key).expect(429);
        let answer = gateway.get("/", &b.key).expect(404);
        assert_eq!(answer.number("x-ratelimit-remaining"), 1);
        gateway.get("/", &a.key).expect(429);
    }

    fn g3_a_route_has_a_limit_of_its_own_for_each_tenant(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let (a, b) = (gateway.tenant("a"), gateway.tenant("b"));
        let limit = json!({ "limit": 2, "windowMs": 60_000 });
        let shared = json!({ "method": "GET", "path": "/dear", "rateLimit": limit, "upstreams": [{ "url": upstream.url() }] });
        let id = gateway.route(shared);
        gateway.prefix_route(&a, "/cheap", &[&upstream], Value::Null);
        for left in [1, 0] {
            let response = gateway.get("/dear", &a.key).expect(200);
            assert_eq!(
                (
                    response.number("x-ratelimit-limit"),
                    response.number("x-ratelimit-remaining")
                ),
                (2, left)
            );
        }
        gateway
            .get("/dear", &a.key)
            .expect_problem(429, "rate_limited");
        gateway.get("/cheap", &a.key).expect(200);
        gateway.get("/dear", &b.key).expect(200);
        gateway.patch_route(&id, json!({ "rateLimit": null }));
        gateway.get("/dear", &a.key).expect(200);
    }

    /// Limits are taken together: what the route refuses is not charged to the tenant.
    fn g3_what_the_route_refuses_is_not_charged_to_the_tenant(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let tenant = gateway.tenant_with(
            json!({ "name": "acme", "rateLimit": { "limit": 6, "windowMs": 60_000 } }),
        );
        gateway.prefix_route(
            &tenant,
            "/dear",
            &[&upstream],
            json!({ "rateLimit": { "limit": 1, "windowMs": 60_000 } }),
        );
        gateway.prefix_route(&tenant, "/cheap", &[&upstream], Value::Null);
        gateway.get("/dear", &tenant.key).expect(200);
        for _ in 0..10 {
            gateway.get("/dear", &tenant.key).expect(429);
        }
        let left = gateway
            .get("/cheap", &tenant.key)
            .expect(200)
            .number("x-ratelimit-remaining");
        assert_eq!(left, 4);
    }

    /// A change of something else does not give back what was used.
    fn g3_a_reload_forgets_no_count(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let tenant = limited(
            &gateway,
            &upstream,
            json!({ "limit": 2, "windowMs": 60_000 }),
        );
        gateway.get("/", &tenant.key).expect(200);
        gateway.get("/", &tenant.key).expect(200);
        gateway.tenant("another");
        gateway.patch_tenant(&tenant.id, json!({ "name": "renamed" }));
        gateway.get("/", &tenant.key).expect(429);
    }
}
