//! G7: trying again.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::*;

fn retry(more: Value) -> Value {
    let mut retry = json!({ "maxRetries": 2, "baseDelayMs": 1, "maxDelayMs": 5 });
    if let (Some(members), Value::Object(more)) = (retry.as_object_mut(), more) {
        members.extend(more);
    }
    json!({ "resilience": { "retry": retry } })
}

on_both! {
    fn g7_a_failed_request_is_tried_on_another_endpoint(backend) {
        let gateway = Gateway::start(backend);
        let (bad, good) = (Upstream::status(503), Upstream::named("good"));
        let tenant = gateway.tenant("acme");
        gateway.prefix_route(&tenant, "/", &[&bad, &good], retry(Value::Null));
        for _ in 0..6 {
            assert_eq!(gateway.get("/", &tenant.key).expect(200).text(), "good");
        }
        assert_eq!(good.count(), 6);
        assert!(
            (1..=6).contains(&bad.count()),
            "never twice for one request: {}",
            bad.count()
        );
    }

    /// A retry takes no turn: the sick endpoint gets its share of first attempts and not all of them.
    fn g7_first_attempts_go_on_in_turn_whatever_is_tried_again(backend) {
        let gateway = Gateway::start(backend);
        let (bad, good) = (Upstream::status(503), Upstream::named("good"));
        let tenant = gateway.tenant("acme");
        gateway.prefix_route(&tenant, "/", &[&bad, &good], retry(Value::Null));
        let mut client = gateway.connect();
        let first_at_bad: Vec<bool> = (0..10)
            .map(|_| {
                bad.forget();
                client.call(&Request::get("/").key(&tenant.key)).expect(200);
                bad.count() == 1
            })
            .collect();
        let in_turn: Vec<bool> = (0..10).map(|number| number % 2 == 0).collect();
        assert_eq!(first_at_bad, in_turn);
    }

    fn g7_each_attempt_takes_an_endpoint_that_was_not_tried(backend) {
        let gateway = Gateway::start(backend);
        let bad = [500, 502, 504].map(Upstream::status);
        let good = Upstream::named("good");
        let tenant = gateway.tenant("acme");
        let all: Vec<&Upstream> = bad.iter().chain([&good]).collect();
        gateway.prefix_route(&tenant, "/", &all, retry(json!({ "maxRetries": 3 })));
        gateway.get("/", &tenant.key).expect(200);
        assert!(bad.iter().all(|upstream| upstream.count() <= 1));
    }

    fn g7_the_same_endpoint_is_tried_again_if_there_is_no_other(backend) {
        let gateway = Gateway::start(backend);
        let flaky = Upstream::status(503);
        let tenant = gateway.tenant("acme");
        gateway.prefix_route(&tenant, "/", &[&flaky], retry(Value::Null));
        let tries = std::sync::atomic::AtomicU32::new(0);
        flaky.set(move |_| {
            let tried = tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            if tried < 2 {
                Answer::status(503)
            } else {
                Answer::text("at last")
            }
        });
        assert_eq!(gateway.get("/", &tenant.key).expect(200).text(), "at last");
        assert_eq!(flaky.count(), 3);
    }

    fn g7_when_the_retries_are_exhausted_the_last_response_is_the_answer(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::start(|_| {
            Answer::status(503)
                .header("X-Own", "yes")
                .body("its own words")
        });
        let tenant = gateway.tenant("acme");
        gateway.prefix_route(&tenant, "/", &[&upstream], retry(Value::Null));
        let response = gateway.get("/", &tenant.key).expect(503);
        assert_eq!(
            (response.header("x-own"), response.text().as_str()),
            (Some("yes"), "its own words")
        );
        assert_eq!(upstream.count(), 3);
    }

    fn g7_only_the_listed_statuses_are_retried(backend) {
        let gateway = Gateway::start(backend);
        let upstream =
            Upstream::start(|request| Answer::status(request.path()[1..].parse().unwrap()));
        let tenant = gateway.tenant("acme");
        gateway.prefix_route(&tenant, "/default", &[&upstream], retry(Value::Null));
        gateway.prefix_route(
            &tenant,
            "/custom",
            &[&upstream],
            retry(json!({ "retryableStatusCodes": [429, 500] })),
        );
        for (path, status, tries) in [
            ("/default", 500, 3),
            ("/default", 502, 3),
            ("/default", 503, 3),
            ("/default", 504, 3),
            ("/default", 501, 1),
            ("/default", 404, 1),
            ("/default", 200, 1),
            ("/custom", 429, 3),
            ("/custom", 500, 3),
            ("/custom", 503, 1),
        ] {
            upstream.forget();
            gateway
                .get(&format!("{path}/{status}"), &tenant.key)
                .expect(status);
            assert_eq!(upstream.count(), tries, "{path} {status}");
        }
    }

    fn g7_without_a_policy_or_with_a_disabled_one_nothing_is_retried(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::status(503);
        let tenant = gateway.tenant("acme");
        gateway.prefix_route(&tenant, "/none", &[&upstream], Value::Null);
        gateway.prefix_route(
            &tenant,
            "/off",
            &[&upstream],
            retry(json!({ "enabled": false })),
        );
        gateway.prefix_route(
            &tenant,
            "/zero",
            &[&upstream],
            retry(json!({ "maxRetries": 0 })),
        );
        for path in ["/none", "/off", "/zero"] {
            gateway.get(path, &tenant.key).expect(503);
        }
        assert_eq!(upstream.count(), 3);
    }

    fn g7_what_is_not_idempotent_is_sent_once(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::status(503);
        let broken = Upstream::start(|_| Answer::close());
        let tenant = gateway.tenant("acme");
        gateway.prefix_route(&tenant, "/bad", &[&upstream], retry(Value::Null));
        gateway.prefix_route(&tenant, "/broken", &[&broken], retry(Value::Null));
        for method in ["POST", "PATCH"] {
            let call = |path: &str| {
                gateway.call(&Request::new(method, path).key(&tenant.key).body("once"))
            };
            call("/bad").expect(503);
            call("/broken").expect_problem(502, "upstream_closed");
        }
        assert_eq!((upstream.count(), broken.count()), (2, 2));
    }

    fn g7_an_idempotency_key_allows_it_and_the_body_comes_again_whole(backend) {
        let gateway = Gateway::start(backend);
        let (bad, good) = (Upstream::status(503), Upstream::named("good"));
        let tenant = gateway.tenant("acme");
        gateway.prefix_route(&tenant, "/", &[&bad, &good], retry(Value::Null));
        let body = "b".repeat(10_000);
        for method in ["POST", "PATCH", "PUT", "DELETE"] {
            for _ in 0..2 {
                let request = Request::new(method, "/")
                    .key(&tenant.key)
                    .header("Idempotency-Key", "42")
                    .body(body.clone());
                gateway.call(&request).expect(200);
            }
        }
        assert_eq!(good.count(), 8);
        assert!(
            good.requests().iter().all(|request| request.text() == body),
            "a body was cut or doubled"
        );
        assert!(
            good.requests()
                .iter()
                .all(|request| request.header("idempotency-key") == Some("42"))
        );
    }

    fn g7_a_chunked_body_comes_again_whole_and_a_large_one_is_sent_once(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::status(503);
        let tenant = gateway.tenant("acme");
        gateway.prefix_route(&tenant, "/", &[&upstream], retry(Value::Null));
        let chunked = Request::new("PUT", "/small")
            .key(&tenant.key)
            .header("Transfer-Encoding", "chunked")
            .body("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
        gateway.call(&chunked).expect(503);
        assert_eq!(
            upstream
                .requests()
                .iter()
                .map(Received::text)
                .collect::<Vec<_>>(),
            ["abcde", "abcde", "abcde"]
        );
        upstream.forget();
        // What is too long to be kept streams through, and cannot be sent again.
        gateway
            .call(
                &Request::new("PUT", "/large")
                    .key(&tenant.key)
                    .body(vec![b'x'; 1 << 20]),
            )
            .expect(503);
        assert_eq!(upstream.count(), 1);
    }

    fn g7_a_closed_connection_and_a_timeout_are_retried(backend) {
        let gateway = Gateway::start(backend);
        let good = Upstream::named("good");
        let (closing, resetting, slow) = (
            Upstream::start(|_| Answer::close()),
            Upstream::start(|_| Answer::reset()),
            Upstream::start(|_| Answer::hang()),
        );
        let tenant = gateway.tenant("acme");
        for (path, bad) in [
            ("/closing", &closing),
            ("/resetting", &resetting),
            ("/slow", &slow),
        ] {
            let mut policy = retry(Value::Null);
            policy["resilience"]["timeout"] = json!({ "default": 200 });
            gateway.prefix_route(&tenant, path, &[bad, &good], policy);
            for _ in 0..2 {
                assert_eq!(
                    gateway.get(path, &tenant.key).expect(200).text(),
                    "good",
                    "{path}"
                );
            }
            assert!((1..=2).contains(&bad.count()), "{path}: {}", bad.count());
        }
    }

    /// Nothing was sent, so nothing can happen twice: this needs no policy and holds for every method.
    fn g7_an_endpoint_that_refuses_the_connection_is_passed_over(backend) {
        let gateway = Gateway::start(backend);
        let (mut gone, good) = (Upstream::named("gone"), Upstream::named("good"));
        let tenant = gateway.tenant("acme");
        gateway.prefix_route(&tenant, "/", &[&gone, &good], Value::Null);
        gone.stop();
        for _ in 0..4 {
            assert_eq!(
                gateway
                    .call(&Request::post("/", "once").key(&tenant.key))
                    .expect(200)
                    .text(),
                "good"
            );
        }
        assert_eq!(good.count(), 4);
        assert!(
            good.requests()
                .iter()
                .all(|request| request.text() == "once")
        );
    }

    fn g7_an_endpoint_whose_name_is_unknown_is_passed_over(backend) {
        let gateway = Gateway::start(backend);
        let good = Upstream::named("good");
        let tenant = gateway.tenant("acme");
        gateway.route(json!({
            "tenantId": tenant.id, "method": "*", "path": "/",
            "upstreams": [{ "url": "http://nobody.invalid:9" }, { "url": good.url() }],
        }));
        for _ in 0..2 {
            let request = Request::post("/", "once").key(&tenant.key);
            assert_eq!(gateway.call(&request).expect(200).text(), "good");
        }
        assert_eq!(good.count(), 2);
    }

    fn g7_an_upstreams_retry_after_is_waited_for(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::start(|_| Answer::status(503).header("Retry-After", "1"));
        let tenant = gateway.tenant("acme");
        gateway.prefix_route(
            &tenant,
            "/",
            &[&upstream],
            retry(json!({ "maxRetries": 1, "maxDelayMs": 5_000 })),
        );
        let started = std::time::Instant::now();
        gateway.get("/", &tenant.key).expect(503);
        assert_eq!(upstream.count(), 2);
        assert!(
            started.elapsed() >= Duration::from_secs(1),
            "{:?}",
            started.elapsed()
        );
    }

    /// When everything fails, retries stay a fraction of the requests: a sick upstream is not finished off.
    fn g7_retries_have_a_budget(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::status(503);
        let tenant = gateway.tenant("acme");
        gateway.prefix_route(
            &tenant,
            "/",
            &[&upstream],
            retry(json!({ "maxRetries": 10, "baseDelayMs": 0, "maxDelayMs": 0 })),
        );
        let mut client = gateway.connect();
        let requests = 400;
        for _ in 0..requests {
            client.call(&Request::get("/").key(&tenant.key)).expect(503);
        }
        let retries = upstream.count() - requests;
        // A fifth of the requests, and ten a second over the ten seconds that count.
        assert!(
            (1..=requests / 5 + 110).contains(&retries),
            "{retries} retries for {requests} requests"
        );
    }
}
