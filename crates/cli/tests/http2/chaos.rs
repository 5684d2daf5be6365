//! HTTP/2 upstreams that break, refuse, lie and dawdle: what the client gets, and what is sent again.

use std::time::{Duration, Instant};

use h2::Reason;
use serde_json::{Value, json};

use crate::client::run;
use crate::frames::*;
use crate::harness::{Request, Upstream, eventually};
use crate::scene::{Scene, assert_own, one_worker};
use crate::upstream::{Exchange, Http2Upstream};

fn retries() -> Value {
    json!({ "resilience": { "retry": { "maxRetries": 2, "baseDelayMs": 1, "maxDelayMs": 5 } } })
}

#[test]
fn a_refused_stream_is_sent_again_whatever_the_method() {
    let refused = std::sync::atomic::AtomicUsize::new(0);
    let upstream = Http2Upstream::start(move |mut exchange: Exchange| {
        let is_odd = refused
            .fetch_add(1, std::sync::atomic::Ordering::SeqCst)
            .is_multiple_of(2);
        async move {
            if is_odd {
                exchange.reset(Reason::REFUSED_STREAM);
            } else {
                let text = exchange.receive().await.text();
                exchange.answer(200, &text);
            }
        }
    });
    // Without any retry: nobody has acted on it, so it is no retry.
    let scene = Scene::before_http2(&upstream);
    run(async {
        let client = scene.connect().await;
        for method in ["GET", "POST", "PATCH"] {
            for _ in 0..5 {
                let request = scene.request(&client, method, "/");
                assert_eq!(
                    client.call(request, "body").await.expect(200).text(),
                    "body"
                );
            }
        }
        assert_eq!(upstream.requests().len(), 15);
    });
}

#[test]
fn an_upstream_that_refuses_everything_is_not_asked_for_ever() {
    let upstream =
        Http2Upstream::start(async |mut exchange: Exchange| exchange.reset(Reason::REFUSED_STREAM));
    let scene = Scene::before_http2(&upstream);
    run(async {
        let client = scene.connect().await;
        let request = scene.request(&client, "POST", "/");
        assert_own("refused", &client.call(request, "body").await, 502);
    });
    assert!(upstream.connections() < 10, "{}", upstream.connections());
}

#[test]
fn a_request_that_goaway_says_was_not_seen_is_sent_again_even_a_post() {
    // Each connection answers one request and takes no second.
    let upstream = WireUpstream::each(|wire, stream, count| {
        if count == 0 {
            wire.send_headers(stream, true, OK).ok()
        } else {
            let last = stream - 2;
            let payload = [last.to_be_bytes(), NO_ERROR.to_be_bytes()].concat();
            wire.send(GOAWAY, 0, 0, &payload).ok()?;
            wire.wait(|_| false);
            None
        }
    });
    let scene = Scene::with(one_worker(), &upstream.url(), "http2", Value::Null);
    run(async {
        let client = scene.connect().await;
        for number in 0..20 {
            let request = scene.request(&client, "POST", "/");
            client
                .call(request, format!("body {number}"))
                .await
                .expect(200);
        }
        assert_eq!(upstream.connections(), 20);
    });
}

#[test]
fn a_connection_that_ends_after_the_request_was_seen_is_a_502_and_repeated_only_where_that_is_safe()
{
    for end in ["reset", "close", "goaway"] {
        let upstream = WireUpstream::each(move |wire, stream, _| match end {
            "reset" => wire
                .send(RST_STREAM, 0, stream, &INTERNAL_ERROR.to_be_bytes())
                .ok(),
            "close" => None,
            _ => {
                let payload = [stream.to_be_bytes(), INTERNAL_ERROR.to_be_bytes()].concat();
                wire.send(GOAWAY, 0, 0, &payload).ok()?;
                None
            }
        });
        let good = Http2Upstream::echo();
        let scene = Scene::with(one_worker(), &upstream.url(), "http2", Value::Null);
        let more = retries();
        let both = json!({
            "tenantId": scene.tenant.id, "method": "*", "path": "/both", "pathType": "prefix", "resilience": more["resilience"],
            "upstreams": [{ "url": upstream.url(), "protocol": "http2" }, { "url": good.url(), "protocol": "http2" }],
        });
        scene.gateway.route(both);
        run(async {
            let client = scene.connect().await;
            for method in ["GET", "POST"] {
                let answer = client.call(scene.request(&client, method, "/"), "").await;
                assert_own(end, &answer, 502);
                assert_eq!(answer.code(), "upstream_closed");
            }
            let mut failed = 0;
            for _ in 0..6 {
                client
                    .call(scene.request(&client, "GET", "/both"), "")
                    .await
                    .expect(200);
                for _ in 0..2 {
                    let request = scene.request(&client, "POST", "/both");
                    let answer = client.call(request, "").await;
                    failed += usize::from(answer.status == 502);
                }
            }
            assert!(failed > 0, "{end}: a POST that was seen is not sent again");
        });
        assert!(
            good.requests()
                .iter()
                .filter(|seen| seen.method == "GET")
                .count()
                == 6
        );
    }
}

#[test]
fn a_silent_connection_is_left_after_a_timeout() {
    let upstream = WireUpstream::start(|mut wire, number| {
        loop {
            let request = wire.wait(|frame| frame.kind == HEADERS)?;
            if number > 0 {
                wire.send_headers(request.stream, true, OK).ok()?;
            }
        }
    });
    let more = json!({ "resilience": { "timeout": { "default": 300 } } });
    let scene = Scene::with(one_worker(), &upstream.url(), "http2", more);
    run(async {
        let client = scene.connect().await;
        assert_own("silence", &client.get("/", &scene.tenant.key).await, 504);
        client.get("/", &scene.tenant.key).await.expect(200);
        client.get("/", &scene.tenant.key).await.expect(200);
        assert_eq!(upstream.connections(), 2);
    });
}

#[test]
fn whoever_does_not_speak_http2_is_no_upstream_of_it() {
    let old = Upstream::named("old");
    let mute = WireUpstream::bare(|_, _| None);
    let mut closed = Upstream::named("closed");
    closed.stop();
    for (name, url) in [
        ("HTTP/1.1", old.url()),
        ("a close", mute.url()),
        ("nobody", closed.url()),
    ] {
        let more = json!({ "resilience": { "timeout": { "connectMs": 1_000 } } });
        let scene = Scene::with(one_worker(), &url, "http2", more);
        run(async {
            let client = scene.connect().await;
            let begun = Instant::now();
            let answers = [
                client
                    .call(scene.request(&client, "POST", "/"), "body")
                    .await,
                client.get("/", &scene.tenant.key).await,
            ];
            for answer in answers {
                assert_own(name, &answer, 502);
            }
            assert!(
                begun.elapsed() < Duration::from_secs(5),
                "{name}: {:?}",
                begun.elapsed()
            );
        });
    }
    // All that it saw was the preface, which is no request of HTTP/1.1.
    assert!(old.requests().iter().all(|seen| seen.method == "PRI"));
}

#[test]
fn an_upstream_that_says_nothing_at_all_is_a_504() {
    let upstream = WireUpstream::bare(|mut wire, _| {
        // The preface and whatever else comes, read as frames of any shape.
        while wire.read().is_some() {}
        None
    });
    let more = json!({ "resilience": { "timeout": { "connectMs": 300 } } });
    let scene = Scene::with(one_worker(), &upstream.url(), "http2", more);
    run(async {
        let client = scene.connect().await;
        let answer = client.get("/", &scene.tenant.key).await;
        assert_own("silence", &answer, 504);
    });
}

#[test]
fn breakers_and_retries_count_as_over_http1() {
    let bad = Http2Upstream::start(async |mut exchange: Exchange| {
        exchange.receive().await;
        exchange.answer(503, "unwell");
    });
    let good = Http2Upstream::echo();
    let breaker = json!({ "resilience": { "circuitBreaker": { "failureThreshold": 3, "successThreshold": 1, "timeout": 60_000 } } });
    let scene = Scene::with(one_worker(), &bad.url(), "http2", breaker);
    let mut both = json!({
        "tenantId": scene.tenant.id, "method": "*", "path": "/both", "pathType": "prefix",
        "upstreams": [{ "url": bad.url(), "protocol": "http2" }, { "url": good.url(), "protocol": "http2" }],
    });
    both["resilience"] = retries()["resilience"].clone();
    scene.gateway.route(both);
    run(async {
        let client = scene.connect().await;
        for _ in 0..6 {
            client.get("/both", &scene.tenant.key).await.expect(200);
        }
        for _ in 0..3 {
            client.get("/", &scene.tenant.key).await.expect(503);
        }
        let before = bad.requests().len();
        let open = client.get("/", &scene.tenant.key).await;
        assert_eq!(open.expect(503).code(), "circuit_open");
        assert_eq!(bad.requests().len(), before);
    });
}

#[test]
fn health_checks_go_over_http2() {
    let upstream = Http2Upstream::start(async |mut exchange: Exchange| {
        let request = exchange.receive().await;
        let is_check = request.path() == "/health";
        exchange.answer(if is_check { 500 } else { 200 }, "");
    });
    let more = json!({ "resilience": { "healthCheck": { "endpoint": "/health", "intervalMs": 100, "timeoutMs": 300, "healthyThreshold": 1, "unhealthyThreshold": 2 } } });
    let scene = Scene::with(one_worker(), &upstream.url(), "http2", more);
    run(async {
        let client = scene.connect().await;
        let mut status = 200;
        eventually("it is found unhealthy", || {
            let request = Request::get("/").key(&scene.tenant.key);
            status = scene.gateway.call(&request).status;
            status == 503
        });
        let answer = client.get("/", &scene.tenant.key).await.expect(503);
        assert_eq!(answer.code(), "no_healthy_endpoint");
        let checks = upstream
            .requests()
            .iter()
            .filter(|seen| seen.path() == "/health")
            .count();
        assert!(checks >= 2, "{checks}");
    });
}
