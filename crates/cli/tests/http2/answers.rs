//! Answers of an HTTP/2 upstream that are not valid, not whole or not wanted: none of them gets through, and none looks whole.

use std::time::Duration;

use h2::Reason;
use serde_json::Value;

use crate::client::run;
use crate::frames::*;
use crate::harness::Request;
use crate::scene::{Scene, assert_own, one_worker};

/// Answers that are not HTTP/2, or contradict themselves.
#[test]
fn an_answer_that_is_not_valid_is_a_502() {
    let long = "x".repeat(200_000);
    let blocks: Vec<(&str, Vec<u8>)> = vec![
        ("no status", block(&[("x", "y")])),
        ("a status that is none", block(&[(":status", "abc")])),
        ("status 0", block(&[(":status", "0")])),
        ("switching protocols", block(&[(":status", "101")])),
        (
            "two statuses",
            block(&[(":status", "200"), (":status", "204")]),
        ),
        (
            "a connection field",
            block(&[(":status", "200"), ("connection", "close")]),
        ),
        (
            "an encoding",
            block(&[(":status", "200"), ("transfer-encoding", "chunked")]),
        ),
        (
            "an upper-case name",
            block(&[(":status", "200"), ("X-Upper", "x")]),
        ),
        (
            "a line end",
            block(&[(":status", "200"), ("x-line", "a\r\nset-cookie: b")]),
        ),
        ("a zero", block(&[(":status", "200"), ("x-zero", "a\0b")])),
        (
            "two lengths",
            block(&[
                (":status", "200"),
                ("content-length", "1"),
                ("content-length", "2"),
            ]),
        ),
        (
            "a length that is none",
            block(&[(":status", "200"), ("content-length", "-1")]),
        ),
        (
            "a broken block",
            vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ),
    ];
    let names: Vec<&str> = blocks.iter().map(|(name, _)| *name).collect();
    let upstream = {
        let number = std::sync::atomic::AtomicUsize::new(0);
        WireUpstream::each(move |wire, stream, _| {
            let at = number.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let Some((_, block)) = blocks.get(at) else {
                // A head that is longer than anybody's: in many frames.
                let block = block(&[(":status", "200"), ("x-long", &long)]);
                let mut pieces = block.chunks(16_000).peekable();
                wire.send(HEADERS, END_STREAM, stream, pieces.next()?)
                    .ok()?;
                while let Some(piece) = pieces.next() {
                    let flags = if pieces.peek().is_none() {
                        END_HEADERS
                    } else {
                        0
                    };
                    wire.send(CONTINUATION, flags, stream, piece).ok()?;
                }
                return Some(());
            };
            wire.send_headers(stream, true, block).ok()
        })
    };
    let scene = Scene::with(one_worker(), &upstream.url(), "http2", Value::Null);
    run(async {
        let client = scene.connect().await;
        for name in names.into_iter().chain(["a head that is too long"]) {
            let request = scene.request(&client, "POST", "/");
            assert_own(name, &client.call(request, "").await, 502);
        }
        assert!(!client.has_ended());
    });
}

#[test]
fn a_body_of_another_length_than_announced_never_looks_whole() {
    let upstream = WireUpstream::each(|wire, stream, count| {
        wire.send_headers(
            stream,
            false,
            &block(&[(":status", "200"), ("content-length", "6")]),
        )
        .ok()?;
        wire.send(DATA, 0, stream, b"1234").ok()?;
        let rest: &[u8] = if count % 2 == 0 { b"" } else { b"567" };
        wire.send(DATA, END_STREAM, stream, rest).ok()
    });
    let scene = Scene::with(one_worker(), &upstream.url(), "http2", Value::Null);
    run(async {
        let client = scene.connect().await;
        for _ in 0..6 {
            let request = scene.request(&client, "GET", "/");
            match client.try_call(request, "").await {
                Ok(answer) => assert_own("a wrong length", &answer, 502),
                Err(error) => assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR)),
            }
        }
    });
}

#[test]
fn interim_responses_end_at_the_gateway_and_are_bounded() {
    let interim = block(&[(":status", "103"), ("link", "</a.css>; rel=preload")]);
    let upstream = WireUpstream::each(move |wire, stream, count| {
        for _ in 0..if count == 0 { 3 } else { 100_000 } {
            wire.send_headers(stream, false, &interim).ok()?;
        }
        wire.send_headers(stream, true, OK).ok()
    });
    let scene = Scene::with(one_worker(), &upstream.url(), "http2", Value::Null);
    run(async {
        let client = scene.connect().await;
        client.get("/", &scene.tenant.key).await.expect(200);
        assert_own(
            "endless ones",
            &client.get("/", &scene.tenant.key).await,
            502,
        );
    });
}

#[test]
fn pushes_and_pings_of_an_upstream_change_nothing() {
    let upstream = WireUpstream::each(|wire, stream, count| {
        if count == 0 {
            for number in 0..1_000_u64 {
                wire.send(PING, 0, 0, &number.to_be_bytes()).ok()?;
                wire.send(SETTINGS, 0, 0, &[]).ok()?;
            }
            return wire.send_headers(stream, true, OK).ok();
        }
        let push = [&2_u32.to_be_bytes()[..], &request("GET", "/pushed", &[])].concat();
        wire.send(PUSH_PROMISE, END_HEADERS, stream, &push).ok()?;
        wire.send_headers(stream, true, OK).ok()
    });
    let scene = Scene::with(one_worker(), &upstream.url(), "http2", Value::Null);
    run(async {
        let client = scene.connect().await;
        client.get("/", &scene.tenant.key).await.expect(200);
        // It was told not to: the connection is in error, and what cannot be repeated is lost with it.
        let post = client.call(scene.request(&client, "POST", "/"), "once");
        assert_own("a push", &post.await, 502);
        client.get("/", &scene.tenant.key).await.expect(200);
        assert_eq!(upstream.connections(), 2);
    });
}

#[test]
fn a_stream_that_is_reset_in_its_body_never_looks_whole() {
    let upstream = WireUpstream::each(|wire, stream, _| {
        wire.send_headers(stream, false, OK).ok()?;
        wire.send(DATA, 0, stream, b"half").ok()?;
        crate::harness::pause(Duration::from_millis(50));
        wire.send(RST_STREAM, 0, stream, &INTERNAL_ERROR.to_be_bytes())
            .ok()
    });
    let scene = Scene::with(one_worker(), &upstream.url(), "http2", Value::Null);
    run(async {
        let client = scene.connect().await;
        let (response, _) = client
            .open(scene.request(&client, "GET", "/"), true)
            .await
            .unwrap();
        let mut body = response.await.unwrap().into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "half");
        assert!(body.data().await.expect("it does not look whole").is_err());
        // Over HTTP/1.1 the connection ends without the last chunk.
        let mut old = scene.gateway.connect();
        assert!(
            old.try_call(&Request::get("/").key(&scene.tenant.key))
                .is_err()
        );
    });
    assert_eq!(
        upstream.connections(),
        1,
        "one stream's end is not the connection's"
    );
}
