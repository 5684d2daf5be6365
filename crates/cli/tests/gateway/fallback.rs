//! G10: what a route answers when its upstreams cannot.

use serde_json::{Value, json};

use crate::harness::*;

fn fallback(fallback: Value, more: Value) -> Value {
    let mut resilience = json!({ "fallback": fallback });
    if let (Some(members), Value::Object(more)) = (resilience.as_object_mut(), more) {
        members.extend(more);
    }
    json!({ "resilience": resilience })
}

/// An upstream that refuses every connection.
fn gone() -> Upstream {
    let mut upstream = Upstream::named("gone");
    upstream.stop();
    upstream
}

on_both! {
    fn g10_the_default_fallback_is_503_and_json(backend) {
        let gateway = Gateway::start(backend);
        let tenant = gateway.tenant("acme");
        gateway.prefix_route(&tenant, "/", &[&gone()], fallback(json!({}), Value::Null));
        let response = gateway.get("/", &tenant.key).expect(503);
        assert_eq!(response.header("content-type"), Some("application/json"));
        assert_eq!(
            response.json(),
            json!({ "error": "Service Unavailable", "message": "The upstream service is temporarily unavailable" })
        );
    }

    fn g10_json_html_and_text_with_any_status(backend) {
        let gateway = Gateway::start(backend);
        let tenant = gateway.tenant("acme");
        for (path, status, kind, body) in [
            ("/json", 200, "application/json", r#"{"items":[]}"#),
            ("/html", 503, "text/html; charset=utf-8", "<h1>später</h1>"),
            ("/text", 502, "text/plain", "later"),
            ("/none", 204, "text/plain", ""),
        ] {
            let given = json!({ "statusCode": status, "contentType": kind, "body": body });
            gateway.prefix_route(&tenant, path, &[&gone()], fallback(given, Value::Null));
            let response = gateway.get(path, &tenant.key).expect(status);
            assert_eq!(response.text(), body);
            if !body.is_empty() {
                assert_eq!(response.header("content-type"), Some(kind));
            }
            assert!(response.header("x-request-id").is_some());
            assert!(
                response.header("proxy-status").is_some(),
                "that the gateway answered is said: {response:?}"
            );
            assert!(response.header("x-ratelimit-limit").is_some());
        }
        let head = gateway
            .call(&Request::new("HEAD", "/json").key(&tenant.key))
            .expect(200);
        assert!(head.body.is_empty());
    }

    fn g10_it_stands_in_for_every_way_to_get_no_answer(backend) {
        let gateway = Gateway::start(backend);
        let tenant = gateway.tenant("acme");
        let given = || json!({ "statusCode": 200, "body": "\"instead\"" });
        let (slow, closing, garbage) = (
            Upstream::start(|_| Answer::hang()),
            Upstream::start(|_| Answer::close()),
            Upstream::start(|_| Answer::raw_and_close("no HTTP\r\n\r\n")),
        );
        gateway.prefix_route(&tenant, "/gone", &[&gone()], fallback(given(), Value::Null));
        gateway.prefix_route(
            &tenant,
            "/slow",
            &[&slow],
            fallback(given(), json!({ "timeout": { "default": 100 } })),
        );
        gateway.prefix_route(
            &tenant,
            "/closing",
            &[&closing],
            fallback(given(), Value::Null),
        );
        gateway.prefix_route(
            &tenant,
            "/garbage",
            &[&garbage],
            fallback(given(), Value::Null),
        );
        for path in ["/gone", "/slow", "/closing", "/garbage"] {
            assert_eq!(
                gateway.get(path, &tenant.key).expect(200).text(),
                "\"instead\"",
                "{path}"
            );
        }
    }

    fn g10_it_stands_in_for_an_open_breaker(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::status(500);
        let tenant = gateway.tenant("acme");
        let breaker = json!({ "circuitBreaker": { "failureThreshold": 1, "timeout": 60_000 } });
        gateway.prefix_route(
            &tenant,
            "/",
            &[&upstream],
            fallback(json!({ "statusCode": 200, "body": "1" }), breaker),
        );
        gateway.get("/", &tenant.key).expect(500);
        assert_eq!(gateway.get("/", &tenant.key).expect(200).text(), "1");
        assert_eq!(upstream.count(), 1);
    }

    fn g10_it_stands_in_when_the_retries_are_exhausted(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::status(503);
        let tenant = gateway.tenant("acme");
        let retry = json!({ "retry": { "maxRetries": 1, "baseDelayMs": 0 } });
        gateway.prefix_route(
            &tenant,
            "/",
            &[&upstream],
            fallback(json!({ "statusCode": 200, "body": "1" }), retry),
        );
        assert_eq!(gateway.get("/", &tenant.key).expect(200).text(), "1");
        assert_eq!(upstream.count(), 2);
    }

    /// What the upstream says is the answer; what the caller did wrong is no outage.
    fn g10_it_does_not_stand_in_for_answers_or_refusals(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::start(|_| Answer::status(503).body("its own"));
        let tenant = gateway.tenant("acme");
        let id = gateway.prefix_route(
            &tenant,
            "/",
            &[&upstream],
            fallback(json!({ "statusCode": 200 }), Value::Null),
        );
        assert_eq!(gateway.get("/", &tenant.key).expect(503).text(), "its own");
        gateway.call(&Request::get("/")).expect(401);
        gateway.patch_route(&id, json!({ "upstreams": [{ "url": gone().url() }], "resilience": { "fallback": { "enabled": false } } }));
        gateway
            .get("/", &tenant.key)
            .expect_problem(502, "upstream_unreachable");
    }

    fn g10_the_last_good_response_stands_in_where_the_route_asks_for_it(backend) {
        let gateway = Gateway::start(backend);
        let mut upstream =
            Upstream::start(|request| Answer::text(request.path()).header("X-Kind", "good"));
        let tenant = gateway.tenant("acme");
        let given = json!({ "cached": true, "statusCode": 503, "contentType": "text/plain", "body": "static" });
        gateway.prefix_route(&tenant, "/", &[&upstream], fallback(given, Value::Null));
        // The second answer on a connection is begun when all that belongs to the first is done.
        let mut client = gateway.connect();
        for path in ["/a", "/b"] {
            client
                .call(&Request::get(path).key(&tenant.key))
                .expect(200);
        }
        upstream.stop();
        let cached = gateway.get("/a", &tenant.key).expect(200);
        assert_eq!(
            (cached.text().as_str(), cached.header("x-kind")),
            ("/a", Some("good"))
        );
        assert_eq!(
            gateway.get("/never-seen", &tenant.key).expect(503).text(),
            "static"
        );
    }
}
