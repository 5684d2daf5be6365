//! Response heads, rule by rule (RFC 9112 sections 4, 6 and 9).

mod support;

use bastide_http1::{Known, Limits, Method, ResponseBody, ResponseHead, Upgrade, Version};
use support::{check, response, response_code, response_to};

#[test]
fn a_typical_response() {
    let input =
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n\
        Keep-Alive: timeout=5, max=10\r\n\r\nabc";
    let (head, consumed) = response(input).unwrap();
    assert_eq!(&input[consumed..], b"abc");
    assert_eq!((head.status(), head.reason()), (404, &b"Not Found"[..]));
    assert_eq!(
        (head.version(), head.body()),
        (Version::Http11, ResponseBody::Length(3))
    );
    assert!(head.keep_alive() && !head.is_informational());
    assert_eq!(head.keep_alive_timeout(), Some(5));
    let cookies: Vec<_> = head.all(Known::SetCookie).collect();
    assert_eq!(cookies, [b"a=1", b"b=2"]);
    assert!(head.is_repeated(Known::SetCookie));
}

#[rustfmt::skip]
#[test]
fn status_lines() {
    check(
        &[
            ("9112-4 reason", b"HTTP/1.1 200 OK\r\n\r\n", "accepted"),
            ("9112-4 empty reason", b"HTTP/1.1 200 \r\n\r\n", "accepted"),
            ("9112-4 no space before an empty reason", b"HTTP/1.1 200\r\n\r\n", "accepted"),
            ("9112-4 obs-text in the reason", b"HTTP/1.1 200 \xe9\t!\r\n\r\n", "accepted"),
            ("9112-4 HTTP/1.0", b"HTTP/1.0 200 OK\r\n\r\n", "accepted"),
            ("9112-4 unassigned status", b"HTTP/1.1 999 Denied\r\n\r\n", "accepted"),
            ("9112-4 status below 100", b"HTTP/1.1 099 OK\r\n\r\n", "invalid_status"),
            ("9112-4 four digits", b"HTTP/1.1 2000 OK\r\n\r\n", "invalid_status_line"),
            ("9112-4 two digits", b"HTTP/1.1 20 OK\r\n\r\n", "invalid_status"),
            ("9112-4 signed", b"HTTP/1.1 +20 OK\r\n\r\n", "invalid_status"),
            ("9112-4 two spaces", b"HTTP/1.1  200 OK\r\n\r\n", "invalid_status"),
            ("9112-4 tab", b"HTTP/1.1\t200 OK\r\n\r\n", "invalid_status_line"),
            ("9112-4 tab before the reason", b"HTTP/1.1 200\tOK\r\n\r\n", "invalid_status_line"),
            ("9112-4 NUL in the reason", b"HTTP/1.1 200 O\0K\r\n\r\n", "invalid_status_line"),
            ("9112-2.2 bare LF", b"HTTP/1.1 200 OK\n\r\n", "bare_lf"),
            ("9112-2.2 bare LF after the status", b"HTTP/1.1 200\n\r\n", "bare_lf"),
            ("9112-2.2 bare CR", b"HTTP/1.1 200 OK\rX\r\n\r\n", "bare_cr"),
            ("9112-2.2 bare CR after the status", b"HTTP/1.1 200\rX\r\n\r\n", "bare_cr"),
            ("9112-2.3 lower case", b"http/1.1 200 OK\r\n\r\n", "invalid_status_line"),
            ("9112-2.3 HTTP/2", b"HTTP/2 200 OK\r\n\r\n", "unsupported_version"),
            ("9112-2.3 HTTP/1.2", b"HTTP/1.2 200 OK\r\n\r\n", "unsupported_version"),
            ("9112-2.3 HTTP/0.9", b"<html>hello</html>", "invalid_status_line"),
            ("ICY", b"ICY 200 OK\r\n\r\n", "invalid_status_line"),
            ("empty line first", b"\r\nHTTP/1.1 200 OK\r\n\r\n", "invalid_status_line"),
            ("short line", b"HTTP/1.1\r\n", "invalid_status_line"),
            ("not yet", b"HTTP/1.1 2", "incomplete"),
            ("9112-5.2 folded line", b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", "folded_field"),
            ("9112-5.1 space before the colon", b"HTTP/1.1 200 OK\r\nX : a\r\n\r\n", "space_before_colon"),
            ("9110-5.5 NUL in a value", b"HTTP/1.1 200 OK\r\nX: a\0\r\n\r\n", "invalid_field_value"),
        ],
        response_code,
    );
}

#[rustfmt::skip]
#[test]
fn framing_rules() {
    check(
        &[
            ("9112-6.1 both framings", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "length_and_transfer_encoding"),
            ("9112-6.1 both framings, other order", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", "length_and_transfer_encoding"),
            ("9112-6.1 coding in HTTP/1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "transfer_encoding_in_http10"),
            ("9112-6.1 repeated coding", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "repeated_transfer_encoding"),
            ("9112-6.3 coding not final", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", "invalid_transfer_encoding"),
            ("9112-6.3 unknown coding", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "unsupported_transfer_coding"),
            ("9112-6.3 identity", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", "invalid_transfer_encoding"),
            ("9112-6.3 differing lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "repeated_content_length"),
            ("9110-8.6 equal lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", "accepted"),
            ("9110-8.6 equal lengths, one malformed", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 05\r\n\r\n", "invalid_content_length"),
            ("9110-8.6 length list", b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", "invalid_content_length"),
            ("9110-8.6 signed length", b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n", "invalid_content_length"),
            ("9110-8.6 empty length", b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", "invalid_content_length"),
            ("9110-8.6 length in an informational response", b"HTTP/1.1 103 x\r\nContent-Length: 5\r\n\r\n", "unexpected_body"),
            ("9112-6.1 coding in a switch of protocols", b"HTTP/1.1 101 x\r\nTransfer-Encoding: chunked\r\n\r\n", "unexpected_body"),
            ("alias", b"HTTP/1.1 200 OK\r\nContent_Length: 5\r\n\r\n", "framing_alias"),
        ],
        response_code,
    );
}

#[test]
fn equal_lengths_are_forwarded_once() {
    let (head, _) =
        response(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n").unwrap();
    assert_eq!(head.body(), ResponseBody::Length(5));
    let hops: Vec<_> = head.fields().iter().map(|field| field.hop).collect();
    assert_eq!(hops, [false, true]);
}

#[test]
fn the_body_depends_on_method_and_status() {
    use ResponseBody::{Chunked, Length, None, UntilClose};
    const LENGTH: &str = "Content-Length: 5\r\n";
    const CHUNKS: &str = "Transfer-Encoding: chunked\r\n";
    // Section 6.3 in its order; the last column is whether the connection can be used again.
    for (rule, method, start, fields, body, keep_alive) in [
        (1, Method::Head, "1.1 200", LENGTH, None, true),
        (1, Method::Head, "1.1 200", CHUNKS, None, true),
        (1, Method::Head, "1.1 200", "", None, true),
        (1, Method::Get, "1.1 304", LENGTH, None, true),
        (1, Method::Get, "1.1 204", "", None, true),
        (
            1,
            Method::Get,
            "1.1 204",
            "Content-Length: 0\r\n",
            None,
            true,
        ),
        // A server that announces a body here may send one: nothing after it can be trusted.
        (1, Method::Get, "1.1 204", LENGTH, None, false),
        (1, Method::Get, "1.1 204", CHUNKS, None, false),
        (1, Method::Get, "1.1 100", "", None, true),
        (2, Method::Connect, "1.1 200", "", None, false),
        (2, Method::Connect, "1.1 200", LENGTH, None, false),
        (2, Method::Connect, "1.1 407", LENGTH, Length(5), true),
        (2, Method::Get, "1.1 101", "", None, false),
        (4, Method::Get, "1.1 200", CHUNKS, Chunked, true),
        (6, Method::Get, "1.1 200", LENGTH, Length(5), true),
        (
            6,
            Method::Post,
            "1.1 500",
            "Content-Length: 0\r\n",
            Length(0),
            true,
        ),
        (8, Method::Get, "1.1 200", "", UntilClose, false),
        (
            8,
            Method::Get,
            "1.0 200",
            "Connection: keep-alive\r\n",
            UntilClose,
            false,
        ),
        (6, Method::Get, "1.0 200", LENGTH, Length(5), false),
    ] {
        let input = format!("HTTP/{start} x\r\n{fields}\r\n");
        let (head, _) = response_to(method, input.as_bytes()).unwrap();
        let found = (head.body(), head.keep_alive());
        assert_eq!(
            found,
            (body, keep_alive),
            "rule {rule}: {method:?} {start} {fields:?}"
        );
    }
}

#[test]
fn a_length_without_body_is_still_told() {
    let input = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    let (head, _) = response_to(Method::Head, input).unwrap();
    assert_eq!(
        (head.content_length(), head.body()),
        (Some(5), ResponseBody::None)
    );
    assert!(!head.fields()[0].hop, "the client must see it");
    let input = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n";
    let (head, _) = response(input).unwrap();
    assert_eq!(head.content_length(), None);
    assert!(head.fields()[0].hop, "RFC 9110 section 8.6 forbids it");
}

#[test]
fn informational_responses_come_before_the_final_one() {
    let input = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let limits = Limits::default();
    let mut head = ResponseHead::new();
    let mut at = 0;
    let mut statuses = Vec::new();
    while statuses.len() < 3 {
        at += head
            .parse(&input[at..], &limits, Method::Post)
            .unwrap()
            .unwrap();
        statuses.push((head.status(), head.is_informational()));
    }
    assert_eq!(statuses, [(100, true), (103, true), (200, false)]);
    assert_eq!((at, head.fields().len()), (input.len(), 1));
}

#[test]
fn a_switch_of_protocols_is_final() {
    let input = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05hello";
    let (head, consumed) = response(input).unwrap();
    assert_eq!(&input[consumed..consumed + 2], b"\x81\x05");
    assert!(!head.is_informational() && !head.keep_alive());
    assert_eq!(
        (head.upgrade(), head.body()),
        (Upgrade::WebSocket, ResponseBody::None)
    );
}

#[test]
fn limits_hold_for_responses() {
    let large = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(32 * 1024));
    assert_eq!(response_code(large.as_bytes()), "head_too_large");
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: a\r\n".repeat(101));
    assert_eq!(response_code(many.as_bytes()), "too_many_fields");
}
