//! Requests within requests: what hides in a body stays a body, and bodies framed wrongly take nothing with them.

use std::time::Duration;

use crate::harness::Answer;
use crate::raw::{self, End, Taped};
use crate::scene::Scene;
use crate::smuggling::Trap;

const CLOSED_WITHIN: Duration = Duration::from_secs(6);

/// Long enough for the answers that come, for connections that stay open.
const ANSWERED_WITHIN: Duration = Duration::from_millis(400);

#[test]
fn chunks_framed_wrongly_are_refused_and_never_become_a_whole_request() {
    let trap = Trap::new();
    let long_extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(5000));
    let many_extensions = format!(
        "{}0\r\n\r\n",
        format!("1;{}\r\nx\r\n", "a".repeat(200)).repeat(100)
    );
    let long_trailer = format!("0\r\nX: {}\r\n\r\n", "a".repeat(20_000));
    let mut wrong = Vec::new();
    for (body, status) in [
        (
            "0_2e\r\n\r\nGET /evil HTTP/1.1\r\n$H\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("0x1\r\nZ\r\n0\r\n\r\n", 400),
        ("-0x0\r\n\r\n", 400),
        ("+0\r\n\r\n", 400),
        ("     0\r\n\r\n", 400),
        ("\r\n\r\n", 400),
        ("INVALID!!!\r\nGET /evil HTTP/1.1\r\n$H\r\n\r\n", 400),
        ("1these-bytes-never-get-validated\r\nZ\r\n0\r\n\r\n", 400),
        (
            "5\r\r;ABCD\r\n34\r\nE\r\n0\r\n\r\nGET /evil HTTP/1.1\r\n$H\r\n\r\n",
            400,
        ),
        ("41;a=b\r\rXXXX", 400),
        ("5\n\rhello\r\n0\r\n\r\n", 400),
        ("a\r\n0123456789\n0\r\n\r\n", 400),
        ("3\r\nhello\r\n0\r\n\r\n", 400),
        ("5\r\nhelloXX0\r\n\r\n", 400),
        ("5;\nhello\r\n0\r\n\r\n", 400),
        ("5;a=\"\nhello\r\n0\r\n\r\n", 400),
        ("5;\0ext\r\nhello\r\n0\r\n\r\n", 400),
        ("5\u{a0}\r\nhello\r\n0\r\n\r\n", 400),
        ("fffffffffffffff6\r\nhello\r\n0\r\n\r\n", 400),
        ("100000000000000005\r\nhello\r\n0\r\n\r\n", 400),
        ("0\r\n\n", 400),
        ("0\n\n", 400),
        ("0\r\nX: a\nGET /evil HTTP/1.1\r\n\r\n", 400),
        ("0\r\nX: a\rY: b\r\n\r\n", 400),
        ("0\r\nX : a\r\n\r\n", 400),
        ("0\r\n folded\r\n\r\n", 400),
        ("0\r\nTransfer_Encoding: chunked\r\n\r\n", 400),
        (&long_extension, 400),
        (&many_extensions, 400),
        (&long_trailer, 431),
        // One good chunk first, so that the request is on its way already.
        ("5\r\nhello\r\nzz\r\nGET /evil HTTP/1.1\r\n$H\r\n\r\n", 400),
        ("5\r\nhello\r\n0\r\nno colon\r\n\r\n", 400),
    ] {
        let payload =
            format!("POST /chunks HTTP/1.1\r\n$H\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        let (statuses, end, taped) = trap.spring(payload.as_bytes(), CLOSED_WITHIN);
        let at_most_begun = match taped.as_slice() {
            [] => true,
            [request] => !request.is_whole && request.target() == "/chunks",
            _ => false,
        };
        if statuses != [status] || end != End::Closed || !at_most_begun {
            wrong.push(format!(
                "{body:?}: {statuses:?}, not {status}; {end:?}; upstream saw {taped:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What the upstream saw: line and body.
fn seen(taped: &[Taped]) -> Vec<(&str, &str)> {
    let body = |request: &'_ Taped| {
        std::str::from_utf8(&request.body)
            .map(str::to_owned)
            .unwrap()
    };
    assert!(taped.iter().all(|request| request.is_whole), "{taped:?}");
    taped
        .iter()
        .map(|request| (request.line.as_str(), &*body(request).leak()))
        .collect()
}

#[test]
fn a_request_in_a_body_stays_a_body() {
    let trap = Trap::new();
    let inner = "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n";
    let length = inner.len();
    for (name, payload, expected) in [
        ("POST", format!("POST /1 HTTP/1.1\r\n$H\r\nContent-Length: {length}\r\n\r\n{inner}"), vec![("POST /1 HTTP/1.1", inner)]),
        ("GET", format!("GET /1 HTTP/1.1\r\n$H\r\nContent-Length: {length}\r\n\r\n{inner}"), vec![("GET /1 HTTP/1.1", inner)]),
        (
            "HEAD",
            format!("HEAD /1 HTTP/1.1\r\n$H\r\nContent-Length: {length}\r\n\r\n{inner}"),
            vec![("HEAD /1 HTTP/1.1", inner)],
        ),
        (
            "chunked",
            format!("PUT /1 HTTP/1.1\r\n$H\r\nTransfer-Encoding: chunked\r\n\r\n{length:x};ext=\"a b\"\r\n{inner}\r\n0\r\n\r\n"),
            vec![("PUT /1 HTTP/1.1", inner)],
        ),
        (
            "pipelined behind a body",
            format!("POST /1 HTTP/1.1\r\n$H\r\nContent-Length: {length}\r\n\r\n{inner}GET /2 HTTP/1.1\r\n$H\r\n\r\n"),
            vec![("POST /1 HTTP/1.1", inner), ("GET /2 HTTP/1.1", "")],
        ),
        (
            "pipelined behind chunks with trailers",
            "POST /1 HTTP/1.1\r\n$H\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nContent-Length: 50\r\nHost: evil\r\n\r\n\
             GET /2 HTTP/1.1\r\n$H\r\n\r\n"
                .to_owned(),
            vec![("POST /1 HTTP/1.1", "hi"), ("GET /2 HTTP/1.1", "")],
        ),
        (
            "pipelined behind length 0",
            "POST /1 HTTP/1.1\r\n$H\r\nContent-Length: 0\r\n\r\nGET /2 HTTP/1.1\r\n$H\r\n\r\n".to_owned(),
            vec![("POST /1 HTTP/1.1", ""), ("GET /2 HTTP/1.1", "")],
        ),
        ("a nominated length", "POST /1 HTTP/1.1\r\n$H\r\nConnection: content-length\r\nContent-Length: 5\r\n\r\nhello".to_owned(), vec![
            ("POST /1 HTTP/1.1", "hello"),
        ]),
    ] {
        let (statuses, _, taped) = trap.spring(payload.as_bytes(), ANSWERED_WITHIN);
        assert!(statuses.iter().all(|status| *status == 200), "{name}: {statuses:?}");
        assert_eq!(seen(&taped), expected, "{name}");
    }
}

#[test]
fn bytes_behind_a_last_request_are_not_a_request() {
    let trap = Trap::new();
    for payload in [
        "GET /1 HTTP/1.1\r\n$H\r\nConnection: close\r\n\r\nGET /evil HTTP/1.1\r\n$H\r\n\r\n",
        "GET /1 HTTP/1.0\r\n$H\r\n\r\nGET /evil HTTP/1.0\r\n$H\r\n\r\n",
        "POST /1 HTTP/1.0\r\n$H\r\nContent-Length: 2\r\n\r\nhiGET /evil HTTP/1.1\r\n$H\r\n\r\n",
    ] {
        let (statuses, end, taped) = trap.spring(payload.as_bytes(), CLOSED_WITHIN);
        assert_eq!(
            (statuses.as_slice(), end),
            (&[200][..], End::Closed),
            "{payload}"
        );
        assert_eq!(taped.len(), 1, "{payload}: {taped:?}");
        assert_eq!(taped[0].target(), "/1");
    }
}

#[test]
fn a_post_without_framing_has_no_body() {
    let trap = Trap::new();
    let (statuses, end, taped) = trap.spring(
        b"POST /1 HTTP/1.1\r\n$H\r\n\r\nhello world\r\n\r\n",
        CLOSED_WITHIN,
    );
    assert_eq!((statuses.as_slice(), end), (&[200, 400][..], End::Closed));
    assert_eq!(seen(&taped), [("POST /1 HTTP/1.1", "")]);
}

#[test]
fn half_a_body_never_becomes_a_whole_request() {
    let trap = Trap::new();
    for payload in [
        &b"POST /1 HTTP/1.1\r\n$H\r\nContent-Length: 50\r\n\r\nhalf"[..],
        b"POST /1 HTTP/1.1\r\n$H\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        let mut client = trap.gateway.connect();
        client.send(trap.fill(payload));
        client.finish_sending();
        let answer = client.read_to_end();
        let statuses = answer
            .map(|bytes| raw::statuses(&bytes))
            .unwrap_or_default();
        assert!(statuses.iter().all(|status| *status == 400), "{statuses:?}");
        let taped: Vec<_> = trap
            .tape
            .take()
            .iter()
            .flat_map(|bytes| raw::requests(bytes))
            .collect();
        assert!(taped.iter().all(|request| !request.is_whole), "{taped:?}");
    }
}

#[test]
fn a_refusal_behind_a_body_that_was_read_takes_nothing_of_the_next_request() {
    let scene = Scene::new(|request| match request.path() {
        "/bad" => Answer::close(),
        _ => Answer::text("fine"),
    });
    let key = &scene.tenant.key;
    // As many bytes as the body has must not be taken off what follows: the rest of that would be another request.
    let taken = "GET /good HTTP/1.1\r\nX-Pad: ";
    let next = format!(
        "{taken}GET /evil HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\nConnection: close\r\n\r\n"
    );
    let chunks = format!(
        "{:x}\r\n{}\r\n0\r\n\r\n",
        taken.len(),
        "x".repeat(taken.len())
    );
    for body in [
        format!(
            "Content-Length: {}\r\n\r\n{}",
            taken.len(),
            "x".repeat(taken.len())
        ),
        format!("Transfer-Encoding: chunked\r\n\r\n{chunks}"),
    ] {
        scene.upstream.forget();
        let bytes = format!("POST /bad HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n{body}{next}");
        let (bytes, _) = raw::exchange(scene.gateway.public, bytes.as_bytes(), CLOSED_WITHIN);
        let statuses = raw::statuses(&bytes);
        assert!(
            matches!(statuses.as_slice(), [502] | [502, 200]),
            "{statuses:?}"
        );
        let seen: Vec<_> = scene
            .upstream
            .requests()
            .into_iter()
            .map(|request| request.target)
            .collect();
        assert!(seen == ["/bad"] || seen == ["/bad", "/good"], "{seen:?}");
    }
}

#[test]
fn a_refusal_before_a_body_takes_the_body_and_nothing_else() {
    let trap = Trap::new();
    let inner = "GET /evil HTTP/1.1\r\n$H\r\n\r\n";
    let length = trap.fill(inner.as_bytes()).len();
    for refused in [
        format!(
            "POST /1 HTTP/1.1\r\nHost: a\r\nX-API-Key: wrong\r\nContent-Length: {length}\r\n\r\n{inner}"
        ),
        format!("POST /../1 HTTP/1.1\r\n$H\r\nContent-Length: {length}\r\n\r\n{inner}"),
        format!("TRACE /1 HTTP/1.1\r\n$H\r\nContent-Length: {length}\r\n\r\n{inner}"),
        format!(
            "POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{inner}\r\n0\r\n\r\n"
        ),
    ] {
        let payload = format!("{refused}GET /2 HTTP/1.1\r\n$H\r\n\r\n");
        let (statuses, _, taped) = trap.spring(payload.as_bytes(), ANSWERED_WITHIN);
        assert!(
            matches!(statuses.as_slice(), [400..=405] | [400..=405, 200]),
            "{refused}: {statuses:?}"
        );
        assert!(
            taped.iter().all(|request| request.target() == "/2"),
            "{refused}: {taped:?}"
        );
    }
}

#[test]
fn an_absolute_target_names_the_host_for_everybody() {
    let trap = Trap::new();
    let (statuses, _, taped) = trap.spring(
        b"GET http://b.example/x?y HTTP/1.1\r\n$H\r\n\r\n",
        ANSWERED_WITHIN,
    );
    assert_eq!(statuses, [200]);
    assert_eq!(taped[0].line, "GET /x?y HTTP/1.1");
    assert_eq!(
        taped[0].all("x-forwarded-host"),
        ["b.example"],
        "the field that it overrides is not passed on"
    );
}

#[test]
fn the_request_that_goes_up_is_framed_anew() {
    let trap = Trap::new();
    let payload = b"POST /1 HTTP/1.1\r\n$H\r\nContent-Length:   5  \r\nTE: trailers\r\nTrailer: X\r\nX:  a \r\n\r\nhello";
    let (statuses, _, taped) = trap.spring(payload, ANSWERED_WITHIN);
    assert_eq!(statuses, [200]);
    assert_eq!(taped[0].all("content-length"), ["5"]);
    assert_eq!(taped[0].all("x"), ["a"]);
    assert!(taped[0].all("te").is_empty());
    let payload = b"POST /1 HTTP/1.1\r\n$H\r\nTRANSFER-ENCODING:\t Chunked \r\n\r\n0005;a=b\r\nhello\r\n000\r\n\r\n";
    let (statuses, _, taped) = trap.spring(payload, ANSWERED_WITHIN);
    assert_eq!(statuses, [200]);
    assert_eq!(taped[0].all("transfer-encoding"), ["chunked"]);
    assert_eq!(taped[0].body, b"hello");
}
