//! Heads built from the parts of HTTP/2 requests (RFC 9113 section 8.3.1).

use bastide_http1::{
    Known, Limits, Method, RequestBody, RequestError, RequestHead, TargetForm, Upgrade, Version,
};

type Fields<'a> = &'a [(&'a str, &'a str)];

fn bytes(fields: Fields<'_>) -> impl Iterator<Item = (&[u8], &[u8])> {
    fields
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
}

fn build(
    (method, authority, path): (&str, Option<&str>, &str),
    fields: Fields<'_>,
    has_body: bool,
) -> Result<RequestHead, RequestError> {
    RequestHead::from_parts(
        method.as_bytes(),
        b"https",
        authority.map(str::as_bytes),
        path.as_bytes(),
        bytes(fields),
        has_body,
        &Limits::default(),
    )
}

fn code<T>(result: Result<T, RequestError>) -> &'static str {
    result.map_or_else(RequestError::code, |_| "accepted")
}

const GET: (&str, Option<&str>, &str) = ("GET", Some("a:443"), "/p?q");

#[test]
fn a_request_looks_like_any_other() {
    let fields = [
        ("accept", " */* "),
        ("te", "trailers"),
        ("x_tenant_id", "t"),
    ];
    let head = build(GET, &fields, false).unwrap();
    assert_eq!(
        (head.method(), head.method_kind()),
        (&b"GET"[..], Method::Get)
    );
    assert_eq!(
        (head.target(), head.path_and_query()),
        (&b"/p?q"[..], &b"/p?q"[..])
    );
    assert_eq!((head.version(), head.keep_alive()), (Version::Http2, true));
    assert_eq!(
        (head.body(), head.upgrade()),
        (RequestBody::None, Upgrade::None)
    );
    assert_eq!(head.host(), Some(&b"a:443"[..]));
    assert_eq!(head.find(Known::Host), Some(&b"a:443"[..]));
    assert_eq!(head.find(Known::Accept), Some(&b"*/*"[..]));
    let form = TargetForm::Absolute {
        scheme: b"https",
        authority: b"a:443",
        path: b"/p?q",
    };
    assert_eq!(head.target_form(), form);
    let kept: Vec<_> = head
        .fields()
        .iter()
        .filter(|f| !f.hop)
        .map(|f| head.name(f))
        .collect();
    assert_eq!(kept, [&b"host"[..], b"accept"]);
}

#[test]
fn the_host_comes_from_either_place_and_never_from_two() {
    let host = |authority, fields| {
        build(("GET", authority, "/"), fields, false)
            .map(|head| String::from_utf8(head.host().unwrap().to_vec()).unwrap())
    };
    assert_eq!(host(None, &[("host", "b")]).as_deref(), Ok("b"));
    assert_eq!(host(Some("a"), &[("host", "A")]).as_deref(), Ok("a"));
    assert_eq!(
        host(Some("a"), &[("host", "b")]),
        Err(RequestError::HostConflict)
    );
    assert_eq!(
        host(None, &[("host", "b"), ("host", "b")]),
        Err(RequestError::RepeatedHost)
    );
    assert_eq!(host(None, &[]), Err(RequestError::MissingHost));
    assert_eq!(host(Some("u@a"), &[]), Err(RequestError::InvalidHost));
    assert_eq!(
        host(None, &[("host", "a/b")]),
        Err(RequestError::InvalidHost)
    );
}

#[test]
fn bodies_follow_the_stream() {
    let of = |fields, has_body| build(GET, fields, has_body).map(|head| head.body());
    assert_eq!(of(&[], true), Ok(RequestBody::Chunked));
    assert_eq!(
        of(&[("content-length", "5")], true),
        Ok(RequestBody::Length(5))
    );
    assert_eq!(
        of(&[("content-length", "0")], false),
        Ok(RequestBody::Length(0))
    );
    for (fields, expected) in [
        (&[("content-length", "5")][..], "missing_body"),
        (&[("content-length", "+5")], "invalid_content_length"),
        (
            &[("content-length", "5"), ("content-length", "5")],
            "repeated_content_length",
        ),
        (&[("content_length", "5")], "framing_alias"),
    ] {
        assert_eq!(code(build(GET, fields, false)), expected, "{fields:?}");
    }
    let head = build(GET, &[("expect", "100-continue")], true).unwrap();
    assert!(head.expects_continue());
    assert_eq!(
        code(build(GET, &[("expect", "x")], true)),
        "unknown_expectation"
    );
}

#[test]
fn what_belongs_to_a_connection_is_refused() {
    for field in [
        ("connection", "close"),
        ("keep-alive", "5"),
        ("proxy-connection", "x"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
    ] {
        assert_eq!(
            code(build(GET, &[field], true)),
            "connection_field",
            "{field:?}"
        );
    }
}

#[test]
fn parts_are_checked_like_text() {
    for (parts, fields, expected) in [
        (("G T", Some("a"), "/"), &[][..], "invalid_method"),
        (("GET", Some("a"), "/a b"), &[], "invalid_target"),
        (("GET", Some("a"), "/\r\nX: y"), &[], "invalid_target"),
        (("GET", Some("a"), "a"), &[], "invalid_target"),
        (("GET", Some("a"), ""), &[], "invalid_target"),
        (("GET", Some("a"), "*"), &[], "target_form"),
        (("OPTIONS", Some("a"), "*"), &[], "accepted"),
        (("CONNECT", Some("a:1"), ""), &[], "accepted"),
        (("CONNECT", Some("a:1"), "/chat"), &[], "accepted"),
        (GET, &[("", "x")], "empty_field_name"),
        (GET, &[("x y", "x")], "invalid_field_name"),
        (GET, &[("x", "a\r\nb: c")], "invalid_field_value"),
        (GET, &[("x", "a\0")], "invalid_field_value"),
    ] {
        assert_eq!(
            code(build(parts, fields, false)),
            expected,
            "{parts:?} {fields:?}"
        );
    }
    let many = vec![("x", "y"); 100];
    assert_eq!(code(build(GET, &many, false)), "too_many_fields");
    let long = "y".repeat(33 * 1024);
    assert_eq!(code(build(GET, &[("x", &long)], false)), "head_too_large");
    let path = format!("/{}", "a".repeat(8192));
    assert_eq!(
        code(build(("GET", Some("a"), &path), &[], false)),
        "target_too_long"
    );
}

#[test]
fn split_cookies_are_joined() {
    let fields = [
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("x", "y"),
        ("cookie", "c=3"),
    ];
    let head = build(GET, &fields, false).unwrap();
    assert_eq!(head.find(Known::Cookie), Some(&b"a=1; b=2; c=3"[..]));
    assert_eq!(head.find_name(b"x"), Some(&b"y"[..]));
    assert_eq!(head.all(Known::Cookie).count(), 1);
}

#[test]
fn a_head_is_reused_across_both_kinds() {
    let limits = Limits::default();
    let mut head = RequestHead::new();
    head.begin(b"GET", b"https", Some(b"a"), b"/1", &limits)
        .unwrap();
    head.push(b"x", b"y").unwrap();
    head.finish(false).unwrap();
    head.parse(b"GET /2 HTTP/1.1\r\nHost: b\r\n\r\n", &limits)
        .unwrap()
        .unwrap();
    assert_eq!((head.target(), head.fields().len()), (&b"/2"[..], 1));
    head.begin(b"GET", b"https", None, b"/3", &limits).unwrap();
    assert_eq!(head.finish(false), Err(RequestError::MissingHost));
}
