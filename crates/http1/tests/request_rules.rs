//! Request heads, rule by rule (RFC 9112 sections 2, 3, 5, 6 and 9).

mod support;

use bastide_http1::{
    Known, Limits, Method, RequestBody, RequestHead, TargetForm, Upgrade, Version,
};
use support::{check, request, request_code};

#[test]
fn a_typical_request() {
    let input =
        b"PATCH /a/b?c=d HTTP/1.1\r\nHost: example.com:8080\r\nX-Empty:\r\nX-Blank: \t \r\n\
        x-many: 1\r\nX-Many:\t2 \r\ncontent-length: 3\r\n\r\nabc";
    let (head, consumed) = request(input).unwrap();
    assert_eq!(&input[consumed..], b"abc");
    assert_eq!(
        (head.method(), head.method_kind()),
        (&b"PATCH"[..], Method::Patch)
    );
    assert_eq!(head.target(), b"/a/b?c=d");
    assert_eq!(head.path_and_query(), b"/a/b?c=d");
    assert_eq!(head.target_form(), TargetForm::Origin);
    assert_eq!(head.version(), Version::Http11);
    assert_eq!(
        head.host_and_port(),
        Some((&b"example.com"[..], Some(8080)))
    );
    assert_eq!(head.body(), RequestBody::Length(3));
    assert!(head.keep_alive() && !head.expects_continue());
    assert_eq!(head.upgrade(), Upgrade::None);
    assert_eq!(head.find(Known::ContentLength), Some(&b"3"[..]));
    assert_eq!(head.find(Known::Authorization), None);
    assert_eq!(head.find(Known::Other), None);
    assert_eq!(head.find_name(b"X-MANY"), Some(&b"1"[..]));
    assert_eq!(head.find_name(b"HOST"), head.host());
    assert_eq!(head.find_name(b"x-blank"), Some(&b""[..]));
    assert_eq!(head.find_name(b"absent"), None);
    let names: Vec<_> = head.fields().iter().map(|field| head.name(field)).collect();
    assert_eq!(names[3], b"x-many");
    assert_eq!(names[4], b"X-Many");
    assert_eq!(head.value(&head.fields()[4]), b"2");
    assert!(head.fields().iter().all(|field| !field.hop));
    assert!(!format!("{head:?}").contains("example"));
}

#[rustfmt::skip]
#[test]
fn refused_request_lines() {
    check(
        &[
            ("9112-2.2 one empty line may come first", b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "accepted"),
            ("9112-2.2 two empty lines", b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "leading_empty_lines"),
            ("9112-2.2 bare LF first", b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "bare_lf"),
            ("9112-2.2 bare CR first", b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", "bare_cr"),
            ("9112-2.2 bare LF ends the request line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", "bare_lf"),
            ("9112-2.2 bare CR ends the request line", b"GET / HTTP/1.1\rHost: a\r\n\r\n", "bare_cr"),
            ("9112-2.2 bare CR in the target", b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", "bare_cr"),
            ("9112-2.2 bare LF in the target", b"GET /\nHTTP/1.1\r\n\r\n", "bare_lf"),
            ("9112-2.2 bare CR in the method", b"GE\rT / HTTP/1.1\r\n\r\n", "bare_cr"),
            ("9112-2.2 blank before the first field", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", "folded_field"),
            ("9112-3 leading space", b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", "invalid_request_line"),
            ("9112-3 two spaces after the method", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "invalid_request_line"),
            ("9112-3 two spaces after the target", b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", "invalid_request_line"),
            ("9112-3 tab after the method", b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", "invalid_request_line"),
            ("9112-3 tab after the target", b"GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", "invalid_request_line"),
            ("9112-3 vertical tab after the target", b"GET /\x0bHTTP/1.1\r\nHost: a\r\n\r\n", "invalid_target"),
            ("9112-3 space after the version", b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "invalid_request_line"),
            ("9112-3 word after the version", b"GET / HTTP/1.1 x\r\nHost: a\r\n\r\n", "invalid_request_line"),
            ("9112-3 only a method", b"GET\r\nHost: a\r\n\r\n", "invalid_request_line"),
            ("9112-3 only blanks", b"   \r\n\r\n", "invalid_request_line"),
            ("9112-3.1 method is a token", b"G=\":<>(e),[T];?\" / HTTP/1.1\r\n\r\n", "invalid_method"),
            ("9112-3.1 method with NUL", b"GE\0T / HTTP/1.1\r\n\r\n", "invalid_method"),
            ("9112-3.1 method with a colon", b"GET: / HTTP/1.1\r\n\r\n", "invalid_method"),
            ("9112-3.1 method of 33 bytes", b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\n\r\n", "invalid_method"),
            ("9112-3.1 lower case is another method", b"get / HTTP/1.1\r\nHost: a\r\n\r\n", "accepted"),
            ("9112-3.2 empty target", b"GET HTTP/1.1\r\nHost: a\r\n\r\n", "missing_version"),
            ("9112-3.2 no slash", b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", "invalid_target"),
            ("9112-3.2 query alone", b"GET ?a HTTP/1.1\r\nHost: a\r\n\r\n", "invalid_target"),
            ("9112-3.2 space in the target", b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "invalid_request_line"),
            ("9112-3.2 fragment", b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", "invalid_target"),
            ("9112-3.2 NUL in the target", b"GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n", "invalid_target"),
            ("9112-3.2 control in the target", b"GET /a\x1fb HTTP/1.1\r\nHost: a\r\n\r\n", "invalid_target"),
            ("9112-3.2 DEL in the target", b"GET /a\x7fb HTTP/1.1\r\nHost: a\r\n\r\n", "invalid_target"),
            ("9112-3.2 UTF-8 in the target", b"GET /caf\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", "invalid_target"),
            ("9112-3.2 high byte in the query", b"GET /?\xff HTTP/1.1\r\nHost: a\r\n\r\n", "invalid_target"),
            ("9112-3.2 backslash in the path", b"GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n", "invalid_target"),
            ("9112-3.2.2 foreign scheme", b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "invalid_target"),
            ("9112-3.2.2 no authority", b"GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", "invalid_host"),
            ("9112-3.2.2 one slash", b"GET http:/a HTTP/1.1\r\nHost: a\r\n\r\n", "invalid_target"),
            ("9110-4.2.4 user information", b"GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n", "invalid_host"),
            ("9112-3.2.2 bad port", b"GET http://a:x/ HTTP/1.1\r\nHost: a\r\n\r\n", "invalid_host"),
            ("9112-3.2.3 authority-form for GET", b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "target_form"),
            ("9112-3.2.3 origin-form for CONNECT", b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", "target_form"),
            ("9112-3.2.3 absolute-form for CONNECT", b"CONNECT http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "target_form"),
            ("9112-3.2.3 CONNECT without port", b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", "invalid_target"),
            ("9112-3.2.4 asterisk for GET", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", "target_form"),
            ("9112-3.2.4 asterisk for CONNECT", b"CONNECT * HTTP/1.1\r\nHost: a\r\n\r\n", "target_form"),
            ("9112-3.2.4 more than an asterisk", b"OPTIONS *a HTTP/1.1\r\nHost: a\r\n\r\n", "invalid_target"),
            ("9112-2.3 HTTP/0.9", b"GET /\r\n\r\n", "missing_version"),
            ("9112-2.3 HTTP/0.9 by name", b"GET / HTTP/0.9\r\n\r\n", "unsupported_version"),
            ("9112-2.3 HTTP/1.2", b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", "unsupported_version"),
            ("9112-2.3 HTTP/2.0", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "unsupported_version"),
            ("9112-2.3 HTTP/9.9", b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", "unsupported_version"),
            ("9112-2.3 HTTP/2", b"GET / HTTP/2\r\nHost: a\r\n\r\n", "invalid_version"),
            ("9112-2.3 HTTP/1.32", b"GET / HTTP/1.32\r\n\r\n", "invalid_version"),
            ("9112-2.3 HTTP/01.1", b"GET / HTTP/01.1\r\n\r\n", "invalid_version"),
            ("9112-2.3 HTTP/1,1", b"GET / HTTP/1,1\r\n\r\n", "invalid_version"),
            ("9112-2.3 HTTP/ 1.1", b"GET / HTTP/ 1.1\r\n\r\n", "invalid_request_line"),
            ("9112-2.3 overflowing version", b"GET / HTTP/4294967295.255\r\n\r\n", "invalid_version"),
            ("9112-2.3 lower case", b"GET / http/1.1\r\nHost: a\r\n\r\n", "invalid_version"),
            ("9112-2.3 other protocol", b"GET / ICY/1.1\r\nHost: a\r\n\r\n", "invalid_version"),
            ("9112-2.3 CR in the version", b"GET / HTTP/\r\r1.1\r\n\r\n", "bare_cr"),
            ("9113-3.4 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http2_preface"),
            ("9113-3.4 preface after an empty line", b"\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "unsupported_version"),
            ("9113-3.4 PRI in HTTP/1.1", b"PRI * HTTP/1.1\r\nHost: a\r\n\r\n", "target_form"),
            ("TLS to a plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "invalid_method"),
            ("nothing yet", b"", "incomplete"),
            ("no end yet", b"GET / HTTP/1.1\r\nHost: a\r\nX-Test: value", "incomplete"),
            ("an empty line alone", b"\r\n", "incomplete"),
        ],
        request_code,
    );
}

#[rustfmt::skip]
#[test]
fn refused_fields() {
    check(
        &[
            ("9112-5.1 space before the colon", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", "space_before_colon"),
            ("9112-5.1 tab before the colon", b"GET / HTTP/1.1\r\nHost\t: a\r\n\r\n", "space_before_colon"),
            ("9112-5.1 space in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX Y: a\r\n\r\n", "space_before_colon"),
            ("9112-5.2 folded line", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", "folded_field"),
            ("9112-5.2 folded by tab", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n", "folded_field"),
            ("9112-5.2 folded empty line", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n \r\n\r\n", "folded_field"),
            ("9112-2.2 bare LF in a field", b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", "bare_lf"),
            ("9112-2.2 bare LF ends the head", b"GET / HTTP/1.1\r\nHost: a\r\n\n", "bare_lf"),
            ("9112-2.2 bare CR in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", "bare_cr"),
            ("9112-2.2 bare CR before CRLF", b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", "bare_cr"),
            ("9112-2.2 CR and another byte end the head", b"GET / HTTP/1.1\r\nHost: a\r\n\rZ", "bare_cr"),
            ("9112-2.2 bare CR in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX\rY: b\r\n\r\n", "bare_cr"),
            ("9112-2.2 bare LF in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX\nY: b\r\n\r\n", "bare_lf"),
            ("9110-5.1 empty name", b"GET / HTTP/1.1\r\n: a\r\nHost: a\r\n\r\n", "empty_field_name"),
            ("9110-5.1 empty name and value", b"GET / HTTP/1.1\r\n:\r\nHost: a\r\n\r\n", "empty_field_name"),
            ("9112-5 no colon", b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-\r\nEncoding: chunked\r\n\r\n", "missing_colon"),
            ("9112-5 space for a colon", b"GET / HTTP/1.1\r\nContent-Length 10\r\n\r\n", "space_before_colon"),
            ("9110-5.6.2 NUL in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n", "invalid_field_name"),
            ("9110-5.6.2 high byte in a name", b"GET / HTTP/1.1\r\nHost: a\r\n\xefoo: b\r\n\r\n", "invalid_field_name"),
            ("9110-5.6.2 NEL after a name", b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length\x85: 10\r\n\r\n", "invalid_field_name"),
            ("9110-5.6.2 bracket in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX[0]: b\r\n\r\n", "invalid_field_name"),
            ("9110-5.6.2 at sign in a name", b"GET / HTTP/1.1\r\nHost: a\r\n@: b\r\n\r\n", "invalid_field_name"),
            ("9110-5.5 NUL in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", "invalid_field_value"),
            ("9110-5.5 vertical tab in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x0bb\r\n\r\n", "invalid_field_value"),
            ("9110-5.5 bell in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: \x07\r\n\r\n", "invalid_field_value"),
            ("9110-5.5 DEL in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", "invalid_field_value"),
            ("9110-5.5 obs-text in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: \x80\xff\r\n\r\n", "accepted"),
            ("9112-3.2 no host", b"GET / HTTP/1.1\r\nX: a\r\n\r\n", "missing_host"),
            ("9112-3.2 no host beside an absolute target", b"GET http://a/ HTTP/1.1\r\n\r\n", "missing_host"),
            ("9112-3.2 no host in HTTP/1.0", b"GET / HTTP/1.0\r\n\r\n", "accepted"),
            ("9112-3.2 two hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "repeated_host"),
            ("9112-3.2 two equal hosts", b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", "repeated_host"),
            ("9112-3.2 two hosts in HTTP/1.0", b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", "repeated_host"),
            ("9112-3.2 empty host", b"GET / HTTP/1.1\r\nHost:\r\n\r\n", "invalid_host"),
            ("9112-3.2 host list", b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "invalid_host"),
            ("9112-3.2 host with a path", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "invalid_host"),
            ("9112-3.2 host with user information", b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "invalid_host"),
            ("9112-3.2 host with high bytes", b"GET / HTTP/1.1\r\nHost: \xffa\xff\r\n\r\n", "invalid_host"),
            ("9112-3.2 host with two ports", b"GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n", "invalid_host"),
            ("9112-3.2 bad host beside an absolute target", b"GET http://a/ HTTP/1.1\r\nHost: @\r\n\r\n", "invalid_host"),
            ("9110-10.1.1 unknown expectation", b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\nContent-Length: 1\r\n\r\n", "unknown_expectation"),
            ("9110-10.1.1 expectation list", b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, x\r\nContent-Length: 1\r\n\r\n", "unknown_expectation"),
            ("9110-10.1.1 ignored in HTTP/1.0", b"POST / HTTP/1.0\r\nExpect: x\r\nContent-Length: 1\r\n\r\n", "accepted"),
        ],
        request_code,
    );
}

#[test]
fn statuses_of_refusals() {
    let status = |input: &[u8]| request(input).unwrap_err().status();
    assert_eq!(status(b"GET / HTTP/1.1\nHost: a\r\n\r\n"), 400);
    assert_eq!(status(b"GET / HTTP/3.0\r\n\r\n"), 505);
    assert_eq!(status(b"PRI * HTTP/2.0\r\n\r\n"), 505);
    assert_eq!(
        status(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n"),
        417
    );
    assert_eq!(
        status(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
        501
    );
    assert_eq!(
        status(format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(8192)).as_bytes()),
        414
    );
    assert_eq!(
        status(format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(32 * 1024)).as_bytes()),
        431
    );
    assert_eq!(
        status(format!("GET / HTTP/1.1\r\n{}", "X: a\r\n".repeat(101)).as_bytes()),
        431
    );
}

#[test]
fn the_longest_that_is_allowed() {
    let limits = Limits::default();
    let target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(8191));
    assert!(request(target.as_bytes()).is_ok());
    let fields = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: a\r\n".repeat(99));
    assert_eq!(request(fields.as_bytes()).unwrap().0.fields().len(), 100);
    let frame = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
    let exact = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "a".repeat(limits.head_bytes - frame)
    );
    assert_eq!(request(exact.as_bytes()).unwrap().1, limits.head_bytes);
    let over = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "a".repeat(limits.head_bytes - frame + 1)
    );
    assert_eq!(request_code(over.as_bytes()), "head_too_large");
}

#[test]
fn target_forms() {
    let of = |line: &str| {
        request(format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes())
            .unwrap()
            .0
    };
    let absolute = |path| TargetForm::Absolute {
        scheme: b"HTTP",
        authority: b"a:8080",
        path,
    };
    let head = of("GET HTTP://a:8080/p?q");
    assert_eq!(head.target_form(), absolute(b"/p?q"));
    assert_eq!(head.host(), Some(&b"a:8080"[..]));
    // One host for everybody: the authority stands in the field, too (section 3.2.2).
    assert_eq!(head.find(Known::Host), Some(&b"a:8080"[..]));
    assert_eq!(of("GET HTTP://a:8080").target_form(), absolute(b"/"));
    assert_eq!(of("GET HTTP://a:8080?q=1").path_and_query(), b"/?q=1");
    assert_eq!(of("OPTIONS HTTP://a:8080").path_and_query(), b"*");
    assert_eq!(of("GET http://[::1]:80/").host(), Some(&b"[::1]:80"[..]));
    assert_eq!(of("OPTIONS *").target_form(), TargetForm::Asterisk);
    assert_eq!(of("OPTIONS *").path_and_query(), b"*");
    let head = of("CONNECT a:443");
    assert_eq!(head.target_form(), TargetForm::Authority);
    assert_eq!(
        (head.host(), head.path_and_query()),
        (Some(&b"a:443"[..]), &b""[..])
    );
    // What looks like another form is a path here; the canonicaliser judges it.
    for path in [
        "//a/b",
        "/http://a",
        "/*",
        "/..",
        "/%00",
        "/a|b{c}^",
        "/?a\\b`c{|}",
    ] {
        assert_eq!(of(&format!("GET {path}")).path_and_query(), path.as_bytes());
    }
}

#[test]
fn persistence_follows_version_and_connection() {
    for (version, connection, expected) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: CLOSE\r\n", false),
        ("1.1", "Connection: keep-alive\r\n", true),
        ("1.1", "Connection: keep-alive, close\r\n", false),
        (
            "1.1",
            "Connection: keep-alive\r\nX: y\r\nConnection: ,close ,\r\n",
            false,
        ),
        ("1.1", "Connection: closed\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: keep-alive\r\n", true),
        ("1.0", "Connection: close, keep-alive\r\n", false),
    ] {
        let input = format!("GET / HTTP/{version}\r\nHost: a\r\n{connection}\r\n");
        let (head, _) = request(input.as_bytes()).unwrap();
        assert_eq!(head.keep_alive(), expected, "{version} {connection:?}");
    }
}

#[test]
fn hop_by_hop_fields_are_marked() {
    let input = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Mine, host, x-forwarded-for, authorization\r\n\
        Keep-Alive: 5\r\nTE: trailers\r\nUpgrade: x\r\nProxy-Connection: x\r\nProxy-Authorization: x\r\n\
        x-MINE: 1\r\nX-Mine2: 2\r\nX-Forwarded-For: 1.1.1.1\r\nAuthorization: x\r\nX_Tenant_Id: t\r\nmy_own: 1\r\n\r\n";
    let (head, _) = request(input).unwrap();
    let kept: Vec<_> = head
        .fields()
        .iter()
        .filter(|field| !field.hop)
        .map(|field| str::from_utf8(head.name(field)).unwrap())
        .collect();
    assert_eq!(
        kept,
        [
            "Host",
            "X-Mine2",
            "X-Forwarded-For",
            "Authorization",
            "my_own"
        ]
    );
}

#[test]
fn connection_cannot_nominate_without_end() {
    let nominate = |n: usize| {
        let names: Vec<_> = (0..n).map(|i| format!("x-{i}")).collect();
        let input = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: {}\r\n\r\n",
            names.join(",")
        );
        request_code(input.as_bytes())
    };
    assert_eq!(nominate(32), "accepted");
    assert_eq!(nominate(33), "too_many_connection_options");
}

#[test]
fn upgrades_need_http11_and_connection() {
    for (version, fields, expected) in [
        (
            "1.1",
            "Connection: Upgrade\r\nUpgrade: WebSocket\r\n",
            Upgrade::WebSocket,
        ),
        (
            "1.1",
            "Connection: keep-alive, upgrade\r\nUpgrade: websocket\r\n",
            Upgrade::WebSocket,
        ),
        (
            "1.1",
            "Connection: upgrade\r\nUpgrade: h2c\r\n",
            Upgrade::Other,
        ),
        (
            "1.1",
            "Connection: upgrade\r\nUpgrade: websocket, h2c\r\n",
            Upgrade::Other,
        ),
        (
            "1.1",
            "Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
            Upgrade::Other,
        ),
        ("1.1", "Upgrade: websocket\r\n", Upgrade::None),
        ("1.1", "Connection: upgrade\r\n", Upgrade::None),
        (
            "1.0",
            "Connection: upgrade\r\nUpgrade: websocket\r\n",
            Upgrade::None,
        ),
    ] {
        let input = format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n");
        assert_eq!(
            request(input.as_bytes()).unwrap().0.upgrade(),
            expected,
            "{fields:?}"
        );
    }
}

#[test]
fn expectations_need_a_body_and_http11() {
    for (line, fields, expected) in [
        (
            "POST / HTTP/1.1",
            "Expect: 100-Continue\r\nContent-Length: 1\r\n",
            true,
        ),
        (
            "POST / HTTP/1.1",
            "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n",
            true,
        ),
        (
            "POST / HTTP/1.1",
            "Expect: 100-continue\r\nContent-Length: 0\r\n",
            false,
        ),
        ("POST / HTTP/1.1", "Expect: 100-continue\r\n", false),
        (
            "POST / HTTP/1.0",
            "Expect: 100-continue\r\nContent-Length: 1\r\n",
            false,
        ),
    ] {
        let input = format!("{line}\r\nHost: a\r\n{fields}\r\n");
        assert_eq!(
            request(input.as_bytes()).unwrap().0.expects_continue(),
            expected,
            "{fields:?}"
        );
    }
}

#[test]
fn a_head_is_reused_for_the_next_pipelined_request() {
    let input = b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: b\r\n\r\n";
    let limits = Limits::default();
    let mut head = RequestHead::new();
    let first = head.parse(input, &limits).unwrap().unwrap();
    assert_eq!(
        (head.target(), head.body()),
        (&b"/1"[..], RequestBody::Length(0))
    );
    let second = head.parse(&input[first..], &limits).unwrap().unwrap();
    assert_eq!(first + second, input.len());
    assert_eq!((head.target(), head.host()), (&b"/2"[..], Some(&b"b"[..])));
    assert_eq!((head.body(), head.keep_alive()), (RequestBody::None, true));
}

#[test]
fn an_endless_request_line_is_refused_before_the_head_is_full() {
    let limits = Limits::default();
    let long = [b"GET /", &[b'a'; 16 * 1024][..]].concat();
    let mut head = RequestHead::new();
    let refused_at = (0..long.len())
        .find(|&len| head.parse(&long[..len], &limits).is_err())
        .expect("a refusal");
    assert!(refused_at < limits.target_bytes + 100, "{refused_at}");
}

#[test]
fn what_was_checked_is_what_is_kept() {
    let limits = Limits::default();
    let mut head = RequestHead::new();
    let start = b"GET /good HTTP/1.1\r\nHost: a\r\n";
    assert_eq!(head.parse(start, &limits), Ok(None));
    // The caller breaks its promise and changes bytes that were read already.
    let changed = b"GET /evil HTTP/1.1\r\nHost: \0\r\n\r\n";
    assert_eq!(head.parse(changed, &limits), Ok(Some(changed.len())));
    assert_eq!(
        (head.target(), head.host()),
        (&b"/good"[..], Some(&b"a"[..]))
    );
}

#[test]
fn an_incomplete_head_is_given_up_by_clearing() {
    let limits = Limits::default();
    let mut head = RequestHead::new();
    assert_eq!(
        head.parse(b"GET /1 HTTP/1.1\r\nHost: a\r\nX", &limits),
        Ok(None)
    );
    head.clear();
    let next = b"GET /2 HTTP/1.1\r\nHost: b\r\n\r\n";
    assert_eq!(head.parse(next, &limits), Ok(Some(next.len())));
    assert_eq!((head.target(), head.fields().len()), (&b"/2"[..], 1));
}
