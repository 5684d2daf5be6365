//! What HTTP adds to a call.

use std::time::Duration;

use bastide_rpc::HttpOptions;
use bastide_telemetry::metrics::Exposition;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

use crate::support::{App, Reply, SERVICE_KEY, app, app_with, item, post, request};

async fn raw(app: &App, fields: &[(&str, &str)], body: &'static str) -> Reply {
    let mut request = Request::post("/rpc/users/find");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    app.send(request.body(Full::new(Bytes::from(body))).unwrap())
        .await
}

#[tokio::test]
async fn s14_a_method_is_called_by_its_name() {
    let app = app();
    let token = app
        .token("ada", |claims| claims.tenant("acme").tier("pro"))
        .await;
    for name in [
        "users@1.2.0/find",
        "users@1.2/find",
        "users@1/find",
        "users/find",
    ] {
        let reply = app
            .rpc(name, Some(&token), json!({"id": 7, "tags": ["a"]}))
            .await;
        assert_eq!(reply.status, 200);
        assert_eq!(
            reply.json,
            json!({"id": 7, "tags": ["a"], "verbose": null, "tenant": "acme"})
        );
        assert_eq!(reply.field("content-type"), "application/json");
        assert_eq!(reply.field("cache-control"), "no-store");
    }
    for name in [
        "users@2/find",
        "users@1.2.1/find",
        "users/nope",
        "nope/find",
        "users",
        "users/find/",
        "",
    ] {
        let reply = app.rpc(name, Some(&token), json!({})).await;
        assert_eq!(
            reply.verdict(),
            (404, "method_not_found".to_owned()),
            "{name}"
        );
    }
    let reply = app.get("/rpc/users/find", Some(&token)).await;
    assert_eq!((reply.status, reply.field("allow")), (405, "POST, OPTIONS"));
}

#[tokio::test]
async fn s14_a_method_is_called_by_its_path() {
    let app = app();
    let token = app
        .token("ada", |claims| claims.tenant("acme").tier("pro"))
        .await;
    let reply = app
        .get("/users/7?tags=a&tags=b%20c&verbose=true", Some(&token))
        .await;
    assert_eq!(
        reply.json,
        json!({"id": 7, "tags": ["a", "b c"], "verbose": true, "tenant": "acme"})
    );
    let reply = app
        .send(request("HEAD", "/users/7", Some(&token), Bytes::new()))
        .await;
    assert_eq!((reply.status, &reply.json), (200, &Value::Null));
    assert!(reply.field("content-length").parse::<usize>().unwrap() > 0);

    let wrong = |reply: Reply| {
        (
            reply.json["errors"][0]["field"].clone(),
            reply.json["errors"][0]["message"].clone(),
        )
    };
    let reply = app.get("/users/seven", Some(&token)).await;
    assert_eq!(reply.verdict(), (400, "validation_failed".to_owned()));
    assert_eq!(
        wrong(reply),
        (
            json!("id"),
            json!("expected a whole number; found \"seven\"")
        )
    );
    let reply = app.get("/users/7?verbose=maybe", Some(&token)).await;
    assert_eq!(
        wrong(reply),
        (
            json!("verbose"),
            json!("expected `true` or `false`; found \"maybe\"")
        )
    );
    let reply = app
        .get("/users/7?verbose=true&verbose=false", Some(&token))
        .await;
    assert_eq!(
        wrong(reply),
        (json!("verbose"), json!("stands twice in the query"))
    );
    let reply = app.get("/users/7?nope=1", Some(&token)).await;
    assert_eq!(wrong(reply).0, json!("nope"));
    // The path decided which user: the query cannot name another.
    let reply = app.get("/users/7?id=8", Some(&token)).await;
    assert_eq!(reply.json["id"], 7);
    let reply = app.get("/users/%ff", Some(&token)).await;
    assert_eq!(reply.verdict(), (400, "malformed_path".to_owned()));

    let reply = app
        .send(request("PATCH", "/users/7", Some(&token), Bytes::new()))
        .await;
    assert_eq!(
        (reply.status, reply.field("allow")),
        (405, "GET, DELETE, HEAD, OPTIONS")
    );
    let reply = app.get("/nothing", Some(&token)).await;
    assert_eq!(reply.verdict(), (404, "not_found".to_owned()));
}

#[tokio::test]
async fn s14_a_problem_says_what_where_and_under_which_id() {
    let app = app();
    let token = app.ada().await;
    let reply = app
        .rpc("users/find", Some(&token), json!({"id": 404}))
        .await;
    assert_eq!(reply.field("content-type"), "application/problem+json");
    let id = reply.field("x-request-id");
    assert_eq!(id.len(), 32);
    assert_eq!(
        reply.json,
        json!({
            "type": "about:blank", "title": "Not Found", "status": 404, "code": "user_not_found",
            "detail": "there is no such user", "requestId": id,
        })
    );
    let reply = app.rpc("users/find", None, json!({})).await;
    assert_eq!(reply.field("www-authenticate"), "Bearer");
    let reply = app.rpc("users/find", Some("x"), json!({})).await;
    assert_eq!(
        reply.field("www-authenticate"),
        "Bearer error=\"invalid_token\""
    );
}

#[tokio::test]
async fn s13_request_ids_and_traces_are_carried_on() {
    let app = app();
    let id = "0123456789abcdef0123456789abcdef";
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let reply = raw(&app, &[("x-request-id", id), ("traceparent", trace)], "").await;
    assert_eq!(reply.field("x-request-id"), id);
    let reply = raw(&app, &[("traceparent", trace)], "").await;
    assert_eq!(
        reply.field("x-request-id"),
        "4bf92f3577b34da6a3ce929d0e0e4736"
    );
    let reply = raw(&app, &[("x-request-id", "<script>")], "").await;
    assert_eq!(reply.field("x-request-id").len(), 32);
    assert_ne!(
        reply.field("x-request-id"),
        raw(&app, &[], "").await.field("x-request-id")
    );
}

#[tokio::test]
async fn s9_credentials_that_could_be_read_twice_are_refused() {
    let app = app();
    let token = format!("Bearer {}", app.ada().await);
    let token = token.as_str();
    for fields in [
        vec![("authorization", token), ("authorization", token)],
        vec![("authorization", token), ("x-service-key", SERVICE_KEY)],
        vec![
            ("x-service-key", SERVICE_KEY),
            ("x-service-key", SERVICE_KEY),
        ],
        vec![
            ("x-service-key", SERVICE_KEY),
            ("x-tenant-id", "acme"),
            ("x-tenant-id", "globex"),
        ],
        vec![("x-service-key", SERVICE_KEY), ("x-tenant-id", "a b")],
        vec![("authorization", "Basic YWRhOmFkYQ==")],
        vec![("authorization", "Bearer ")],
        vec![("authorization", "Bearer")],
    ] {
        let reply = raw(&app, &fields, "").await;
        assert_eq!(
            reply.verdict(),
            (401, "token_invalid".to_owned()),
            "{fields:?}"
        );
    }
    assert_eq!(app.ran.get(), 0);
}

#[tokio::test]
async fn s9_a_service_acts_for_the_tenant_it_names() {
    let app = app();
    let fields = [
        ("x-service-key", SERVICE_KEY),
        ("x-tenant-id", "globex"),
        ("content-type", "application/json"),
    ];
    let reply = raw(&app, &fields, r#"{"id":7}"#).await;
    assert_eq!(
        (reply.status, &reply.json["tenant"]),
        (200, &json!("globex"))
    );
    let reply = raw(&app, &fields[..1], "").await;
    assert_eq!(reply.verdict(), (403, "tenant_required".to_owned()));
    let reply = raw(
        &app,
        &[("x-service-key", "wrong"), ("x-tenant-id", "globex")],
        "",
    )
    .await;
    assert_eq!(reply.verdict(), (401, "service_key_invalid".to_owned()));
    // Beside a token the field means nothing.
    let token = format!("Bearer {}", app.ada().await);
    let fields = [
        ("authorization", token.as_str()),
        ("x-tenant-id", "globex"),
        ("content-type", "application/json"),
    ];
    let reply = raw(&app, &fields, r#"{"id":7}"#).await;
    assert_eq!(reply.json["tenant"], "acme");
}

#[tokio::test]
async fn s10_at_a_public_entry_a_bad_token_is_no_token() {
    let app = app();
    assert_eq!(app.get("/users-health", None).await.json, Value::Null);
    assert_eq!(app.get("/users-health", Some("expired")).await.status, 200);
    let token = app.ada().await;
    assert_eq!(
        app.get("/users-health", Some(&token)).await.json,
        json!("ada")
    );
    let token = app.token("root", |claims| claims).await;
    assert_eq!(app.get("/whoami", Some(&token)).await.json, json!("root"));
}

#[tokio::test]
async fn s11_limits_are_told_and_counted_for_each_caller() {
    let app = app();
    let ada = app.ada().await;
    for left in (0..5).rev() {
        let reply = app.rpc("users/find", Some(&ada), json!({"id": 1})).await;
        assert_eq!(reply.status, 200);
        assert_eq!(
            (
                reply.field("x-ratelimit-limit"),
                reply.field("x-ratelimit-remaining")
            ),
            ("5", &*left.to_string())
        );
        assert!(
            reply
                .field("ratelimit")
                .starts_with(&format!("\"default\";r={left};t=")),
            "{reply:?}"
        );
        assert_eq!(reply.field("ratelimit-policy"), "\"default\";q=5;w=60");
    }
    let reply = app.rpc("users/find", Some(&ada), json!({"id": 1})).await;
    assert_eq!(reply.verdict(), (429, "rate_limited".to_owned()));
    let wait: u64 = reply.field("retry-after").parse().unwrap();
    // The windows slide in steps, and what is told is never too early.
    assert!((1..=62).contains(&wait), "{wait}");
    // Another user, a user of the same name elsewhere, and a better plan have counts of their own.
    let bob = app.token("bob", |claims| claims.tenant("acme")).await;
    assert_eq!(
        app.rpc("users/find", Some(&bob), json!({"id": 1}))
            .await
            .status,
        200
    );
    let pro = app
        .token("carl", |claims| claims.tenant("acme").tier("pro"))
        .await;
    let reply = app.rpc("users/find", Some(&pro), json!({"id": 1})).await;
    assert_eq!(reply.field("x-ratelimit-limit"), "1000");
}

#[tokio::test]
async fn s15_bodies_are_limited_and_must_be_json() {
    let app = app_with(HttpOptions {
        max_body: 64,
        ..HttpOptions::default()
    });
    let token = app
        .token("ada", |claims| claims.tenant("acme").tier("pro"))
        .await;
    let long = json!({"id": 7, "tags": ["x".repeat(64)]});
    let reply = app.rpc("users/find", Some(&token), long).await;
    assert_eq!(reply.verdict(), (413, "body_too_large".to_owned()));
    let bearer = format!("Bearer {token}");
    for (kind, verdict) in [
        ("application/json", (200, "")),
        ("application/JSON; charset=utf-8", (200, "")),
        ("application/problem+json", (200, "")),
        ("text/plain", (415, "unsupported_media_type")),
        (
            "application/x-www-form-urlencoded",
            (415, "unsupported_media_type"),
        ),
        ("", (415, "unsupported_media_type")),
    ] {
        let fields = [("authorization", bearer.as_str()), ("content-type", kind)];
        let (status, code) = raw(&app, &fields, r#"{"id":7}"#).await.verdict();
        assert_eq!((status, code.as_str()), verdict, "{kind}");
    }
    let fields = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    assert_eq!(
        raw(&app, &fields, "{").await.verdict(),
        (400, "malformed_body".to_owned())
    );
}

/// A body of which nothing ever arrives.
struct Never;

impl http_body::Body for Never {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn s15_a_body_is_read_only_of_who_is_let_in() {
    let app = app();
    let request = |token: &str| {
        let token = format!("Bearer {token}");
        let request = Request::post("/rpc/users/find").header("authorization", token);
        request
            .header("content-type", "application/json")
            .body(Never)
            .unwrap()
    };
    let begun = tokio::time::Instant::now();
    let refused = app.entry.answer(request("x"), None).await;
    assert_eq!(
        (refused.status(), begun.elapsed()),
        (http::StatusCode::UNAUTHORIZED, Duration::ZERO)
    );
    let late = app.entry.answer(request(&app.ada().await), None).await;
    assert_eq!(
        (late.status().as_u16(), begun.elapsed().as_secs()),
        (408, 10)
    );
}

#[tokio::test]
async fn s14_a_method_that_panics_fails_alone() {
    let app = app();
    let token = app.ada().await;
    let reply = app
        .rpc("users/find", Some(&token), json!({"id": 500}))
        .await;
    assert_eq!(reply.verdict(), (500, "internal".to_owned()));
    assert_eq!(
        app.rpc("users/find", Some(&token), json!({"id": 1}))
            .await
            .status,
        200
    );
}

#[tokio::test(start_paused = true)]
async fn s14_a_caller_may_ask_for_less_time_and_not_for_more() {
    let app = app();
    let token = app.ada().await;
    for (asked, seconds) in [
        ("100", 0),
        ("3000", 3),
        ("3600000", 10),
        ("soon", 10),
        ("-1", 10),
    ] {
        let mut request = post("/rpc/users/slow", Some(&token), &json!({}));
        request
            .headers_mut()
            .insert("x-request-timeout-ms", asked.parse().unwrap());
        let begun = tokio::time::Instant::now();
        let reply = app.send(request).await;
        assert_eq!(reply.verdict(), (504, "deadline_passed".to_owned()));
        assert_eq!(begun.elapsed().as_secs(), seconds, "{asked}");
    }
    tokio::time::advance(Duration::from_hours(2)).await;
    assert_eq!(app.ran.get(), 0, "what nobody waits for is not carried on");
}

#[tokio::test]
async fn s14_a_batch_answers_each_call_by_itself_and_in_order() {
    let app = app();
    let token = app
        .token("ada", |claims| claims.tenant("acme").tier("pro"))
        .await;
    let batch = json!([
        {"id": "first", "method": "users/find", "input": {"id": 1}},
        {"id": 2, "method": "users/find", "input": {"id": 404}},
        {"method": "users/remove", "input": {"id": 3}},
        {"method": "users/nope"},
        {"method": "users/health"},
    ]);
    let reply = app.send(post("/rpc", Some(&token), &batch)).await;
    assert_eq!(reply.status, 200);
    let answers = reply.json.as_array().unwrap();
    assert_eq!(answers.len(), 5);
    assert_eq!(answers[0]["id"], "first");
    assert_eq!(answers[0]["output"]["id"], 1);
    assert_eq!(
        (&answers[1]["id"], &answers[1]["status"]),
        (&json!(2), &json!(404))
    );
    assert_eq!(answers[1]["problem"]["code"], "user_not_found");
    assert_eq!(
        answers[1]["problem"]["requestId"],
        reply.field("x-request-id")
    );
    assert_eq!(answers[2]["problem"]["code"], "role_required");
    assert_eq!(answers[3]["problem"]["code"], "method_not_found");
    assert_eq!(
        (&answers[4]["status"], &answers[4]["output"]),
        (&json!(200), &json!("ada"))
    );
}

#[tokio::test]
async fn s14_a_batch_has_bounds() {
    let app = app_with(HttpOptions {
        max_batch: 3,
        ..HttpOptions::default()
    });
    let token = app.ada().await;
    let call = || item("users/whoami", &json!({}));
    for (batch, verdict) in [
        (json!([call(), call(), call()]), (200, "")),
        (json!([call(), call(), call(), call()]), (400, "batch_size")),
        (json!([]), (400, "batch_size")),
        (json!({}), (400, "validation_failed")),
        (json!([{"input": {}}]), (400, "validation_failed")),
        (
            json!([{"method": "users/whoami", "context": {}}]),
            (400, "validation_failed"),
        ),
    ] {
        let (status, code) = app.send(post("/rpc", Some(&token), &batch)).await.verdict();
        assert_eq!((status, code.as_str()), verdict, "{batch}");
    }
}

#[tokio::test(start_paused = true)]
async fn s14_the_calls_of_a_batch_share_one_deadline() {
    let app = app_with(HttpOptions {
        batch_concurrency: 2,
        ..HttpOptions::default()
    });
    let token = app.ada().await;
    let calls: Vec<_> = (0..9).map(|_| item("users/slow", &json!({}))).collect();
    let begun = tokio::time::Instant::now();
    let reply = app.send(post("/rpc", Some(&token), &json!(calls))).await;
    assert_eq!(begun.elapsed().as_secs(), 10);
    assert!(
        reply
            .json
            .as_array()
            .unwrap()
            .iter()
            .all(|answer| answer["status"] == 504)
    );
}

#[tokio::test]
async fn s13_every_method_is_counted_and_timed_without_being_asked() {
    let app = app();
    let token = app.ada().await;
    app.rpc("users/find", Some(&token), json!({"id": 7})).await;
    app.get("/users/404", Some(&token)).await;
    app.rpc("users/find", None, json!({"id": 7})).await;
    let text = app.metrics.render(Exposition::Prometheus);
    for line in [
        r#"rpc_requests_total{service="users",version="1.2.0",method="find",status="200"} 1"#,
        r#"rpc_requests_total{service="users",version="1.2.0",method="find",status="404"} 1"#,
        r#"rpc_requests_total{service="users",version="1.2.0",method="find",status="401"} 1"#,
        r#"rpc_request_duration_seconds_count{service="users",version="1.2.0",method="find"} 3"#,
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}
