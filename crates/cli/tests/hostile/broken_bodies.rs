//! Responses that begin well and break: the client must see that it did not get all.

use std::time::Duration;

use serde_json::json;

use crate::harness::upstream::Step;
use crate::harness::{Answer, Response};
use crate::raw::{self, End};
use crate::scene::{Scene, assert_own, one_worker};

const LENGTH: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const CLOSE: &str = "HTTP/1.1 200 OK\r\n\r\n";

/// What a client holds when the upstream has broken off.
#[derive(Debug, PartialEq, Eq)]
enum Got {
    /// A response that ends before its framing says so.
    Cut,
    /// An error that the gateway made.
    Own(u16),
    /// Nothing: to a client this looks like a stale connection, and it may send the request again.
    Nothing,
    /// Something that looks whole.
    Whole(u16),
}

fn judge(bytes: &[u8], end: End) -> Got {
    if bytes.is_empty() {
        return Got::Nothing;
    }
    let mut input = bytes;
    match Response::read(&mut input, false) {
        Err(_) => Got::Cut,
        Ok(Some(response)) if response.headers("proxy-status").len() == 1 => {
            Got::Own(response.status)
        }
        // What ends with the connection is whole if the connection ended in order.
        Ok(Some(response)) if response.until_close && end == End::Reset => Got::Cut,
        Ok(response) => Got::Whole(response.map_or(0, |response| response.status)),
    }
}

/// A head, what follows it, and how the connection ends.
fn broken() -> Vec<(&'static str, &'static str, &'static str, Step)> {
    vec![
        ("no byte of a length", LENGTH, "", Step::Close),
        ("half a length", LENGTH, "01234", Step::Close),
        ("half a length, then a reset", LENGTH, "01234", Step::Reset),
        ("no chunk", CHUNKED, "", Step::Close),
        ("half a chunk", CHUNKED, "a\r\n01234", Step::Close),
        (
            "half a chunk, then a reset",
            CHUNKED,
            "a\r\n01234",
            Step::Reset,
        ),
        (
            "a chunk without its end",
            CHUNKED,
            "5\r\n01234",
            Step::Close,
        ),
        ("no last chunk", CHUNKED, "5\r\n01234\r\n", Step::Close),
        (
            "a last chunk without its end",
            CHUNKED,
            "5\r\n01234\r\n0\r\n",
            Step::Close,
        ),
        (
            "a chunk size that is none",
            CHUNKED,
            "5\r\n01234\r\nzz\r\n01\r\n0\r\n\r\n",
            Step::Hold,
        ),
        (
            "a negative chunk size",
            CHUNKED,
            "-5\r\n01234\r\n0\r\n\r\n",
            Step::Hold,
        ),
        (
            "an endless chunk size",
            CHUNKED,
            "5\r\n01234\r\nffffffffffffffffff\r\n",
            Step::Hold,
        ),
        (
            "a chunk longer than it says",
            CHUNKED,
            "3\r\n01234\r\n0\r\n\r\n",
            Step::Hold,
        ),
        (
            "a chunk that ends with a line feed",
            CHUNKED,
            "5\r\n01234\n0\r\n\r\n",
            Step::Hold,
        ),
        (
            "a chunk size that ends with a line feed",
            CHUNKED,
            "5\n01234\r\n0\r\n\r\n",
            Step::Hold,
        ),
        (
            "a trailer that is none",
            CHUNKED,
            "5\r\n01234\r\n0\r\nno colon\r\n\r\n",
            Step::Hold,
        ),
        ("until close, then a reset", CLOSE, "01234", Step::Reset),
    ]
}

fn assert_never_whole(version: &str) {
    let scene = Scene::new(|_| Answer::text("fine"));
    let request = format!(
        "GET /bad HTTP/{version}\r\nHost: a\r\nX-API-Key: {}\r\nConnection: close\r\n\r\n",
        scene.tenant.key
    );
    let mut wrong = Vec::new();
    for (name, head, body, end) in broken() {
        for apart in [true, false] {
            let mut steps = vec![Step::Send([head, body].concat().into_bytes())];
            if apart {
                let pause = Step::Pause(Duration::from_millis(30));
                steps = vec![
                    Step::Send(head.into()),
                    pause.clone(),
                    Step::Send(body.into()),
                    pause,
                ];
            }
            steps.push(end.clone());
            scene.upstream.forget();
            scene.upstream.set(move |request| match request.path() {
                "/bad" => Answer::script(steps.clone()),
                _ => Answer::text("fine"),
            });
            let (bytes, ended) =
                raw::exchange(scene.gateway.public, request.as_bytes(), raw::PATIENCE);
            let got = judge(&bytes, ended);
            if !matches!(got, Got::Cut | Got::Own(502)) || ended == End::Open {
                wrong.push(format!(
                    "{name}, apart: {apart}: {got:?}, {ended:?}: {:?}",
                    String::from_utf8_lossy(&bytes)
                ));
            }
            let bad = scene.upstream.last().connection;
            assert_eq!(scene.get("/good").expect(200).text(), "fine", "{name}");
            assert_ne!(
                scene.upstream.last().connection,
                bad,
                "{name}: the connection was used again"
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_response_that_breaks_off_never_looks_whole() {
    assert_never_whole("1.1");
}

#[test]
fn a_response_that_breaks_off_never_looks_whole_to_an_old_client() {
    assert_never_whole("1.0");
}

#[test]
fn a_response_that_stalls_is_cut_after_its_idle_time() {
    let times = json!({ "resilience": { "timeout": { "idleMs": 400 } } });
    let scene = Scene::with(one_worker(), times, |_| {
        Answer::script([
            Step::Send([LENGTH, "01234"].concat().into_bytes()),
            Step::Hold,
        ])
    });
    let request = scene.request("GET", "/").bytes();
    let (bytes, end) = raw::exchange(scene.gateway.public, &request, raw::PATIENCE);
    assert_eq!(
        judge(&bytes, end),
        Got::Cut,
        "{:?}",
        String::from_utf8_lossy(&bytes)
    );
    assert_ne!(end, End::Open);
}

#[test]
fn a_response_that_drips_on_is_not_cut() {
    let times = json!({ "resilience": { "timeout": { "idleMs": 2000 } } });
    let scene = Scene::with(one_worker(), times, |_| {
        let mut steps = vec![Step::Send(
            b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n".to_vec(),
        )];
        for _ in 0..30 {
            steps.extend([
                Step::Pause(Duration::from_millis(100)),
                Step::Send(b"x".to_vec()),
            ]);
        }
        Answer::script(steps)
    });
    assert_eq!(scene.get("/").expect(200).text(), "x".repeat(30));
}

#[test]
fn a_total_time_cuts_a_body_and_refuses_a_head() {
    let times = json!({ "resilience": { "timeout": { "totalMs": 500 } } });
    let scene = Scene::with(one_worker(), times, |_| Answer::hang());
    assert_own("no head", &scene.get("/"), 504);
    scene.upstream.set(|_| {
        let mut steps = vec![Step::Send(
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n".to_vec(),
        )];
        for _ in 0..100 {
            steps.extend([
                Step::Send(b"x".to_vec()),
                Step::Pause(Duration::from_millis(50)),
            ]);
        }
        Answer::script(steps)
    });
    let (bytes, end) = raw::exchange(
        scene.gateway.public,
        &scene.request("GET", "/").bytes(),
        raw::PATIENCE,
    );
    assert_eq!(
        judge(&bytes, end),
        Got::Cut,
        "{:?}",
        String::from_utf8_lossy(&bytes)
    );
}

#[test]
fn a_body_that_ends_with_the_connection_is_passed_on_in_chunks() {
    let scene = Scene::new(|_| Answer::raw_and_close(format!("{CLOSE}01234")));
    let mut client = scene.gateway.connect();
    for _ in 0..5 {
        let response = client.call(&scene.request("GET", "/"));
        assert_eq!((response.status, response.text().as_str()), (200, "01234"));
        assert_eq!(response.header("transfer-encoding"), Some("chunked"));
    }
}

#[test]
fn trailers_pass_and_those_that_would_change_the_message_do_not() {
    let trailers = "X-Checksum: abc\r\nServer-Timing: db;dur=1\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\
        Host: evil\r\nAuthorization: evil\r\nSet-Cookie: evil\r\nConnection: close\r\n";
    let scene = Scene::new(move |_| {
        Answer::raw(format!(
            "HTTP/1.1 200 OK\r\nTrailer: X-Checksum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n{trailers}\r\n"
        ))
    });
    let mut client = scene.gateway.connect();
    for _ in 0..3 {
        let response = client.call(&scene.request("GET", "/"));
        assert_eq!(response.text(), "hello");
        let mut names: Vec<_> = response
            .trailers
            .iter()
            .map(|(name, _)| name.to_lowercase())
            .collect();
        names.sort();
        assert_eq!(
            names,
            ["server-timing", "x-checksum"],
            "{:?}",
            response.trailers
        );
    }
    assert_eq!(scene.upstream.connections(), 1);
}
