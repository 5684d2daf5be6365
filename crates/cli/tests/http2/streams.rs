//! Bodies over HTTP/2 on their way: nothing held back, nothing that was cut looks whole, and nobody waits for another.

use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::Reason;
use serde_json::json;

use crate::client::{Http2, read, run, send};
use crate::harness::upstream::Step;
use crate::harness::wait::within;
use crate::harness::{Answer, Gate, Upstream, eventually};
use crate::scene::{Scene, assert_own, one_worker};
use crate::upstream::Http2Upstream;

/// Chunks of a body.
fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

const CHUNKED: &[u8] =
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/event-stream\r\n\r\n";

#[test]
fn a_response_that_is_cut_never_looks_whole() {
    let paths = ["/chunked", "/bad-chunk", "/reset", "/length"];
    let gates = paths.map(|_| Gate::default());
    let upstream = {
        let gates = gates.clone();
        Upstream::start(move |request| {
            let head: &[u8] = match request.path() {
                "/chunked" | "/bad-chunk" => &[CHUNKED, &chunk("half")].concat(),
                _ => b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
            };
            let at = paths
                .iter()
                .position(|path| *path == request.path())
                .unwrap();
            let end = match request.path() {
                "/bad-chunk" => Step::Send(b"zz\r\n".to_vec()),
                "/reset" => Step::Reset,
                _ => Step::Close,
            };
            Answer::script([
                Step::Send(head.to_vec()),
                Step::Wait(gates[at].clone()),
                end,
            ])
        })
    };
    let scene = Scene::before(&upstream);
    run(async {
        let client = scene.connect().await;
        for (path, gate) in paths.iter().zip(&gates) {
            let request = scene.request(&client, "GET", path);
            let (response, _) = client.open(request, true).await.unwrap();
            let mut body = response.await.expect("what came is passed on").into_body();
            assert_eq!(body.data().await.unwrap().unwrap(), "half", "{path}");
            gate.open();
            let broken = body
                .data()
                .await
                .unwrap_or_else(|| panic!("{path} looks whole"));
            let reason = broken.unwrap_err().reason();
            assert_eq!(reason, Some(Reason::INTERNAL_ERROR), "{path}");
        }
        assert!(!client.has_ended());
    });
}

#[test]
fn an_upstream_that_does_not_answer_is_a_502() {
    let upstream = Upstream::start(|request| match request.path() {
        "/close" => Answer::close(),
        "/reset" => Answer::reset(),
        "/half" => Answer::raw_and_close("HTTP/1.1 200 OK\r\nContent-"),
        _ => Answer::raw_and_close("what is this\r\n\r\n"),
    });
    let scene = Scene::before(&upstream);
    run(async {
        let client = scene.connect().await;
        for path in ["/close", "/reset", "/half", "/nonsense"] {
            assert_own(path, &client.get(path, &scene.tenant.key).await, 502);
        }
    });
}

#[test]
fn a_client_that_cancels_cancels_at_the_upstream_and_the_breaker_is_none_the_wiser() {
    let gate = Gate::default();
    let upstream = {
        let gate = gate.clone();
        Upstream::start(move |request| match request.path() {
            "/silent" => Answer::hang(),
            "/endless" => Answer::script([Step::Send([CHUNKED, &chunk("x")].concat()), Step::Hold]),
            _ => Answer::text("fine").behind(&gate),
        })
    };
    let more = json!({ "resilience": { "circuitBreaker": { "failureThreshold": 1, "successThreshold": 1, "timeout": 60_000 } } });
    let scene = Scene::with(one_worker(), &upstream.url(), "http1", more);
    run(async {
        let client = scene.connect().await;
        for path in ["/silent", "/endless"] {
            let request = scene.request(&client, "GET", path);
            let (response, mut stream) = client.open(request, true).await.unwrap();
            let waiting = tokio::spawn(response);
            eventually("it is at the upstream", || upstream.in_flight() == 1);
            stream.send_reset(Reason::CANCEL);
            drop(waiting);
            eventually("the upstream's connection is closed", || {
                upstream.in_flight() == 0
            });
        }
        // Half of an upload, too.
        let request = scene
            .request(&client, "POST", "/upload")
            .header("content-length", 10);
        let (_response, mut stream) = client.open(request, false).await.unwrap();
        send(&mut stream, Bytes::from_static(b"half"), false)
            .await
            .unwrap();
        stream.send_reset(Reason::CANCEL);
        gate.open();
        client.get("/", &scene.tenant.key).await.expect(200);
        assert!(!client.has_ended());
        assert_eq!(
            upstream.count_of("/upload"),
            0,
            "what was broken off is not whole"
        );
    });
}

#[test]
fn a_client_that_takes_nothing_is_cut_off_and_the_others_on_its_connection_are_not() {
    let upstream = Upstream::start(|request| match request.path() {
        "/long" => Answer::text(&"x".repeat(4 << 20)),
        _ => Answer::text("fine"),
    });
    let impatient = one_worker().arg("--send-timeout", "1s");
    let scene = Scene::with(impatient, &upstream.url(), "http1", json!(null));
    run(async {
        let roomy = |builder: &mut h2::client::Builder| {
            builder.initial_connection_window_size(1 << 20);
        };
        let client = Http2::connect_with(scene.gateway.public, roomy).await;
        let request = scene.request(&client, "GET", "/long");
        let (response, _) = client.open(request, true).await.unwrap();
        let mut body = response.await.unwrap().into_body();
        let begun = Instant::now();
        // Its window is never given back, and meanwhile the connection works.
        let cut = loop {
            client.get("/", &scene.tenant.key).await.expect(200);
            let next = tokio::time::timeout(Duration::from_millis(50), body.data()).await;
            match next {
                Ok(Some(Ok(_))) | Err(_) => {}
                Ok(end) => break end,
            }
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "it is cut off in time"
            );
        };
        let error = cut.expect("it does not look whole").unwrap_err();
        assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
        assert!(
            begun.elapsed() >= Duration::from_millis(900),
            "{:?}",
            begun.elapsed()
        );
        eventually("the upstream is let go of", || upstream.in_flight() == 0);
        client.get("/", &scene.tenant.key).await.expect(200);
    });
}

#[test]
fn an_upload_that_stops_is_refused_after_the_idle_time() {
    let upstream = Upstream::named("fine");
    let more = json!({ "resilience": { "timeout": { "idleMs": 300 } } });
    let scene = Scene::with(one_worker(), &upstream.url(), "http1", more);
    run(async {
        let client = scene.connect().await;
        let request = scene
            .request(&client, "POST", "/")
            .header("content-length", 10);
        let (response, mut stream) = client.open(request, false).await.unwrap();
        send(&mut stream, Bytes::from_static(b"half"), false)
            .await
            .unwrap();
        assert_own("a body that stops", &read(response).await.unwrap(), 408);
        client.get("/", &scene.tenant.key).await.expect(200);
    });
}

#[test]
fn events_are_not_held_back() {
    let (first, second) = (Gate::default(), Gate::default());
    let upstream = {
        let (first, second) = (first.clone(), second.clone());
        Upstream::start(move |_| {
            Answer::script([
                Step::Send(CHUNKED.to_vec()),
                Step::Wait(first.clone()),
                Step::Send(chunk("data: 1\n\n")),
                Step::Wait(second.clone()),
                Step::Send([chunk("data: 2\n\n"), b"0\r\n\r\n".to_vec()].concat()),
            ])
        })
    };
    let scene = Scene::before(&upstream);
    run(async {
        let client = scene.connect().await;
        let request = scene.request(&client, "GET", "/");
        let (response, _) = client.open(request, true).await.unwrap();
        // Each step is only taken when the one before has arrived.
        let mut body = response.await.unwrap().into_body();
        first.open();
        assert_eq!(body.data().await.unwrap().unwrap(), "data: 1\n\n");
        second.open();
        assert_eq!(body.data().await.unwrap().unwrap(), "data: 2\n\n");
        assert!(body.data().await.is_none());
    });
}

#[test]
fn an_answer_may_come_before_the_upload_is_whole() {
    let upstream = Upstream::status(413);
    upstream.answer_early();
    let scene = Scene::before(&upstream);
    run(async {
        let client = scene.connect().await;
        let request = scene
            .request(&client, "POST", "/")
            .header("content-length", 100 << 20);
        let (response, mut stream) = client.open(request, false).await.unwrap();
        send(&mut stream, vec![0; 1000].into(), false)
            .await
            .unwrap();
        read(response).await.expect("it is whole").expect(413);
        // What is left of the upload is not wanted, which is no fault of the request's (RFC 9113 section 8.1).
        let reason = std::future::poll_fn(|cx| stream.poll_reset(cx))
            .await
            .unwrap();
        assert_eq!(reason, Reason::NO_ERROR);
        let request = client
            .request("POST", "/")
            .header("content-length", 100 << 20);
        let (response, mut stream) = client.open(request, false).await.unwrap();
        assert_own("no key", &read(response).await.unwrap(), 401);
        let reason = std::future::poll_fn(|cx| stream.poll_reset(cx))
            .await
            .unwrap();
        assert_eq!(reason, Reason::NO_ERROR);
        assert!(!client.has_ended());
    });
}

/// An honest client whose uploads are refused: that they were under way already is not held against it.
#[test]
fn uploads_that_are_refused_by_the_hundred_do_not_cost_the_connection() {
    let upstream = Http2Upstream::echo();
    let scene = Scene::before_http2(&upstream);
    run(async {
        let client = scene.connect().await;
        for _ in 0..10 {
            let calls: Vec<_> = (0..90)
                .map(|_| {
                    let client = client.clone();
                    tokio::spawn(async move {
                        let request = client.request("POST", "/");
                        client.try_call(request, vec![b'x'; 60_000]).await
                    })
                })
                .collect();
            for call in calls {
                let answer = call.await.unwrap().expect("each is answered");
                assert_own("no key", &answer, 401);
            }
        }
        assert!(!client.has_ended());
    });
}

/// Sixteen of them would use up a window of a mebibyte, if it were all that a connection has.
#[test]
fn uploads_that_nobody_takes_do_not_stop_the_others_on_their_connection() {
    let upstream = Http2Upstream::start(async |mut exchange: crate::upstream::Exchange| {
        if exchange.target() == "/stuck" {
            // Reads nothing until it is cancelled.
            std::future::poll_fn(|cx| exchange.respond.poll_reset(cx))
                .await
                .ok();
        } else {
            let request = exchange.receive().await;
            exchange.answer(200, &request.body.len().to_string());
        }
    });
    let scene = Scene::before_http2(&upstream);
    run(async {
        let client = scene.connect().await;
        let mut stuck = Vec::new();
        for _ in 0..40 {
            let request = scene.request(&client, "POST", "/stuck");
            let (response, mut stream) = client.open(request, false).await.unwrap();
            stuck.push(response);
            tokio::spawn(async move { send(&mut stream, vec![0; 1 << 20].into(), true).await });
        }
        eventually("they are there", || upstream.in_flight() == 40);
        let other = Http2::connect(scene.gateway.public).await;
        for client in [&other, &client] {
            let request = scene.request(client, "GET", "/");
            client.call(request, "").await.expect(200);
        }
        drop(stuck);
    });
}

#[test]
fn a_stream_of_its_own_for_each_does_not_keep_the_gateway_from_noticing_who_left() {
    let upstream = Upstream::start(|_| Answer::hang());
    let scene = Scene::before(&upstream);
    run(async {
        let client = scene.connect().await;
        let mut waiting = Vec::new();
        for _ in 0..50 {
            let request = scene.request(&client, "GET", "/");
            waiting.push(client.open(request, true).await.unwrap());
        }
        eventually("all are at the upstream", || upstream.in_flight() == 50);
        // The whole connection goes, with everything on it.
        drop(waiting);
        drop(client);
        within(Duration::from_secs(5), "no request is left", || {
            upstream.in_flight() == 0
        });
    });
}
