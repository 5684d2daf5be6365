//! Written heads: their form, and that no value can break out of its line.

mod support;

use bastide_http1::{
    EncodeError, copy_field, end_head, is_valid_name, is_valid_value, reason_phrase, write_chunked,
    write_field, write_length, write_request_line, write_status_line,
};
use support::{request, response};

#[test]
fn heads_are_written_as_they_are_read() {
    let mut out = Vec::new();
    write_request_line(&mut out, b"POST", b"/a?b").unwrap();
    write_field(&mut out, b"host", b"example.com").unwrap();
    copy_field(&mut out, b"x-empty", b"");
    write_chunked(&mut out);
    end_head(&mut out);
    assert_eq!(
        out,
        b"POST /a?b HTTP/1.1\r\nhost: example.com\r\nx-empty: \r\ntransfer-encoding: chunked\r\n\r\n"
    );
    assert_eq!(request(&out).unwrap().1, out.len());

    out.clear();
    write_status_line(&mut out, 503, reason_phrase(503).as_bytes()).unwrap();
    write_length(&mut out, 18_446_744_073_709);
    end_head(&mut out);
    assert_eq!(
        out,
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 18446744073709\r\n\r\n"
    );
    assert_eq!(response(&out).unwrap().0.status(), 503);

    out.clear();
    write_status_line(&mut out, 299, reason_phrase(299).as_bytes()).unwrap();
    assert_eq!(out, b"HTTP/1.1 299 \r\n");
}

#[test]
fn injections_are_refused_and_nothing_is_written() {
    let mut out = Vec::new();
    let injected = b"a\r\nX: y";
    for value in [&injected[..], b"a\r", b"a\n", b"\0", b" a", b"a\t", b"\x7f"] {
        assert_eq!(
            write_field(&mut out, b"x", value),
            Err(EncodeError::InvalidValue)
        );
        assert!(!is_valid_value(value));
    }
    for name in [&b""[..], b"a b", b"a:", b"a\r\n", b"\xff", b"\0"] {
        assert_eq!(
            write_field(&mut out, name, b""),
            Err(EncodeError::InvalidName)
        );
        assert!(!is_valid_name(name));
    }
    for target in [&b""[..], b"/a b", b"/\r\nX: y", b"/#", b"/\xc3\xa9"] {
        assert_eq!(
            write_request_line(&mut out, b"GET", target),
            Err(EncodeError::InvalidTarget)
        );
    }
    for method in [&b""[..], b"GET /", b"G\r\n"] {
        assert_eq!(
            write_request_line(&mut out, method, b"/"),
            Err(EncodeError::InvalidMethod)
        );
    }
    assert_eq!(
        write_status_line(&mut out, 200, injected),
        Err(EncodeError::InvalidReason)
    );
    for status in [0, 99, 1000, u16::MAX] {
        assert_eq!(
            write_status_line(&mut out, status, b""),
            Err(EncodeError::InvalidStatus)
        );
    }
    assert!(out.is_empty());
}
