//! Upstreams that never bring a response to its head, bring it strangely, or too late.

use std::time::Duration;

use serde_json::json;

use crate::harness::upstream::Step;
use crate::harness::wait::within;
use crate::harness::{Answer, Request, Upstream};
use crate::raw::{self, End};
use crate::scene::{Scene, assert_own, one_worker};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Sends each answer once. The client must get `status` from the gateway itself, and the next request another connection.
#[track_caller]
fn assert_refused(status: u16, cases: &[(&'static str, Answer)]) {
    let scene = Scene::new(|_| Answer::text("fine"));
    for (name, answer) in cases {
        let answer = answer.clone();
        scene.upstream.forget();
        // What is good closes its connection, so that what is bad never meets one that could pass for stale.
        let good = Answer::text("fine").header("Connection", "close");
        scene.upstream.set(move |request| {
            if request.path() == "/bad" {
                answer.clone()
            } else {
                good.clone()
            }
        });
        let response = scene.get("/bad");
        assert_own(name, &response, status);
        assert_eq!(
            scene.upstream.count(),
            1,
            "{name}: nothing asked for a retry"
        );
        let bad = scene.upstream.last().connection;
        assert_eq!(scene.get("/good").expect(200).text(), "fine", "{name}");
        assert_ne!(
            scene.upstream.last().connection,
            bad,
            "{name}: the connection was used again"
        );
    }
}

fn head(fields: &str) -> Answer {
    Answer::raw(format!("HTTP/1.1 200 OK\r\n{fields}\r\nok"))
}

#[test]
fn no_head_at_all_is_a_502() {
    assert_refused(
        502,
        &[
            ("closed at once", Answer::close()),
            ("reset at once", Answer::reset()),
            ("half a status line", Answer::raw_and_close("HTTP/1.1 20")),
            (
                "half a field",
                Answer::raw_and_close("HTTP/1.1 200 OK\r\nContent-Le"),
            ),
            (
                "no empty line",
                Answer::raw_and_close("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"),
            ),
            (
                "half a head, then a reset",
                Answer::script([Step::Send(b"HTTP/1.1 200 OK\r\n".to_vec()), Step::Reset]),
            ),
            (
                "an interim response alone",
                Answer::raw_and_close("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
            ),
        ],
    );
}

#[test]
fn what_is_no_http_is_a_502() {
    assert_refused(
        502,
        &[
            ("another protocol", Answer::raw("SSH-2.0-OpenSSH_9.9\r\n")),
            ("HTTP/0.9", Answer::raw_and_close("<html>hello</html>\r\n")),
            (
                "HTTP/2 by number",
                Answer::raw("HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
            ),
            ("no status", Answer::raw("HTTP/1.1 OK\r\n\r\n")),
            ("status 99", Answer::raw("HTTP/1.1 099 OK\r\n\r\n")),
            ("four digits", Answer::raw("HTTP/1.1 2000 OK\r\n\r\n")),
            (
                "bare line feeds",
                Answer::raw("HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
            ),
            (
                "a bare carriage return",
                head("X: a\rSet-Cookie: b\r\nContent-Length: 2\r\n"),
            ),
            (
                "a folded field",
                head("X: a\r\n b\r\nContent-Length: 2\r\n"),
            ),
            ("a space before the colon", head("Content-Length : 2\r\n")),
            ("a NUL in a value", head("X: a\0b\r\nContent-Length: 2\r\n")),
            ("no colon", head("Content-Length 2\r\n")),
            ("too many fields", head(&"X: a\r\n".repeat(200))),
            (
                "an endless head",
                Answer::raw(format!("HTTP/1.1 200 OK\r\nX: {}", "a".repeat(80 * 1024))),
            ),
        ],
    );
}

#[test]
fn two_framings_are_a_502() {
    assert_refused(
        502,
        &[
            (
                "TE and CL",
                Answer::raw(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
                ),
            ),
            (
                "CL and TE",
                Answer::raw(
                    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
                ),
            ),
            (
                "two lengths",
                head("Content-Length: 2\r\nContent-Length: 40\r\n"),
            ),
            ("a list of lengths", head("Content-Length: 2, 40\r\n")),
            ("a negative length", head("Content-Length: -2\r\n")),
            ("a signed length", head("Content-Length: +2\r\n")),
            ("a length in hex", head("Content-Length: 0x2\r\n")),
            (
                "an endless length",
                head("Content-Length: 99999999999999999999999999\r\n"),
            ),
            (
                "chunked twice",
                head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
            ),
            (
                "not chunked last",
                head("Transfer-Encoding: chunked, identity\r\n"),
            ),
            (
                "another coding",
                head("Transfer-Encoding: gzip, chunked\r\n"),
            ),
            (
                "chunks in HTTP/1.0",
                Answer::raw("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            ),
            ("an alias of the length", head("Content_Length: 2\r\n")),
        ],
    );
}

#[test]
fn interim_responses_that_cannot_be_are_a_502() {
    assert_refused(
        502,
        &[
            (
                "an interim response with a body",
                Answer::raw(format!(
                    "HTTP/1.1 103 x\r\nContent-Length: 3\r\n\r\nabc{OK}"
                )),
            ),
            (
                "a switch that nobody asked for",
                Answer::raw(
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
                ),
            ),
            (
                "a switch to nothing",
                Answer::raw("HTTP/1.1 101 Switching Protocols\r\n\r\n"),
            ),
        ],
    );
}

#[test]
fn a_hundred_interim_responses_are_taken_and_more_are_no_answer() {
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let scene = Scene::new(|_| Answer::text("fine"));
    scene
        .upstream
        .set(move |_| Answer::raw(interim.repeat(100) + OK));
    scene.get("/").expect(200);
    scene
        .upstream
        .set(move |_| Answer::raw(interim.repeat(101) + OK));
    let refused = scene.get("/");
    assert_own("one too many", &refused, 502);
    assert_eq!(refused.code(), "upstream_malformed");
    assert_eq!(
        refused.header("proxy-status"),
        Some("bastide; error=http_protocol_error"),
        "it has closed nothing"
    );
}

#[test]
fn interim_responses_do_not_hide_the_final_one() {
    let scene = Scene::new(|_| Answer::text("fine"));
    for interim in [
        "HTTP/1.1 100 Continue\r\n\r\n".to_owned(),
        "HTTP/1.1 102 Processing\r\n\r\n".to_owned(),
        "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n".to_owned(),
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(10),
        "HTTP/1.1 199 Odd\r\nX: y\r\n\r\n".to_owned(),
    ] {
        let steps = [
            Step::Send(interim.clone().into_bytes()),
            Step::Pause(Duration::from_millis(20)),
            Step::Send(OK.into()),
        ];
        scene.upstream.set(move |_| Answer::script(steps.clone()));
        let response = scene.get("/");
        assert_eq!(
            (response.status, response.text().as_str()),
            (200, "ok"),
            "{interim:?}"
        );
        let response = scene.post("/", "body");
        assert_eq!(
            (response.status, response.text().as_str()),
            (200, "ok"),
            "{interim:?}"
        );
    }
    assert_eq!(
        scene.upstream.connections(),
        1,
        "interim responses are no reason to let a connection go"
    );
}

#[test]
fn a_refused_connection_is_a_502() {
    let mut scene = Scene::new(|_| Answer::text("fine"));
    scene.upstream.stop();
    assert_own("nobody listens", &scene.get("/"), 502);
    scene.upstream.resume();
    scene.get("/").expect(200);
}

#[test]
fn an_upstream_that_says_nothing_in_time_is_a_504() {
    let timeout = json!({ "resilience": { "timeout": { "default": 300 } } });
    let scene = Scene::with(one_worker(), timeout, |_| Answer::hang());
    assert_own("silence", &scene.get("/"), 504);
    let drip: Vec<Step> = OK
        .bytes()
        .flat_map(|byte| {
            [
                Step::Send(vec![byte]),
                Step::Pause(Duration::from_millis(50)),
            ]
        })
        .collect();
    scene.upstream.set(move |_| Answer::script(drip.clone()));
    assert_own("a dripping head", &scene.get("/"), 504);
    let interim = Step::Send(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec());
    let drip: Vec<Step> = (0..10)
        .flat_map(|_| [interim.clone(), Step::Pause(Duration::from_millis(100))])
        .collect();
    scene.upstream.set(move |_| Answer::script(drip.clone()));
    assert_own("dripping interim responses", &scene.get("/"), 504);
    scene.upstream.set(|_| Answer::text("fine"));
    assert_eq!(scene.get("/").expect(200).text(), "fine");
    within(
        Duration::from_secs(5),
        "what timed out is closed towards the upstream",
        || scene.upstream.in_flight() == 0,
    );
}

#[test]
fn a_head_in_single_bytes_is_a_head() {
    let scene = Scene::new(|_| {
        let bytes = OK.bytes().map(|byte| Step::Send(vec![byte]));
        Answer::script(
            bytes
                .flat_map(|send| [send, Step::Pause(Duration::from_millis(1))])
                .collect::<Vec<_>>(),
        )
    });
    for _ in 0..3 {
        assert_eq!(scene.get("/").expect(200).text(), "ok");
    }
}

#[test]
fn an_early_answer_to_a_large_upload_arrives() {
    let scene = Scene::new(|_| {
        Answer::status(413)
            .header("Connection", "close")
            .body("too large")
    });
    scene.upstream.answer_early();
    for _ in 0..5 {
        let mut client = scene.gateway.connect();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\nContent-Length: 67108864\r\n\r\n",
            scene.tenant.key
        );
        client.send(head);
        // The gateway stops reading when the upstream does.
        for _ in 0..64 {
            if client.try_send(&vec![b'x'; 64 * 1024]).is_err() {
                break;
            }
        }
        let response = client.read(false);
        assert_eq!(
            (response.status, response.text().as_str()),
            (413, "too large")
        );
        assert_eq!(
            response.header("connection"),
            Some("close"),
            "the rest of the body is not a request"
        );
    }
}

#[test]
fn an_old_client_gets_a_length_or_the_end() {
    let scene = Scene::new(|_| Answer::text("fine"));
    let request = format!("GET / HTTP/1.0\r\nX-API-Key: {}\r\n\r\n", scene.tenant.key);
    for (answer, framing) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "content-length: 2\r\n",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Trailer: a\r\n\r\n",
            "connection: close\r\n",
        ),
    ] {
        scene.upstream.set(move |_| Answer::raw(answer));
        let (bytes, end) = raw::exchange(scene.gateway.public, request.as_bytes(), raw::PATIENCE);
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        assert!(
            text.contains(framing) && text.ends_with("\r\n\r\nok"),
            "{text}"
        );
        assert!(!text.contains("transfer-encoding"), "{text}");
        assert_eq!(end, End::Closed);
    }
}

#[test]
fn an_upstream_that_comes_back_is_used_again() {
    let gateway = crate::harness::Gateway::start(one_worker());
    let mut upstream = Upstream::named("here");
    let tenant = gateway.tenant_before(&upstream);
    let request = Request::get("/").key(&tenant.key);
    for _ in 0..5 {
        gateway.call(&request).expect(200);
        upstream.stop();
        assert_own("down", &gateway.call(&request), 502);
        upstream.resume();
    }
    gateway.call(&request).expect(200);
}
