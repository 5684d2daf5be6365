//! What the gateway refuses, told to a gRPC client in its own terms: such a client reads no problem document, and takes any
//! body for a message.

use std::fmt::Write as _;

use bastide_http1::{Known, RequestHead};

/// What a message of it is called.
pub(crate) const CONTENT_TYPE: &str = "application/grpc";

/// Whether the request is a gRPC call.
pub(crate) fn is_call(head: &RequestHead) -> bool {
    let kind = head.find(Known::ContentType).unwrap_or_default();
    let rest = kind.strip_prefix(CONTENT_TYPE.as_bytes());
    matches!(rest, Some([] | [b'+' | b';', ..]))
}

/// The status of a call that was answered with this one of HTTP, by gRPC's own table for it.
pub(crate) fn status(http: u16) -> u8 {
    match http {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// The value of `grpc-message`: text in which everything but printable ASCII is escaped by percent.
pub(crate) fn message(code: &str, detail: &str) -> String {
    let mut message = format!("{code}: ");
    for byte in detail.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            message.push(byte.into());
        } else {
            write!(message, "%{byte:02X}").expect("writing to a string cannot fail");
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(kind: &[u8]) -> bool {
        let fields = [(&b"content-type"[..], kind)];
        let limits = bastide_http1::Limits::default();
        let head =
            RequestHead::from_parts(b"POST", b"http", Some(b"a"), b"/", fields, false, &limits);
        is_call(&head.unwrap())
    }

    #[test]
    fn a_call_is_known_by_its_content_type() {
        assert!(call(b"application/grpc"));
        assert!(call(b"application/grpc+proto"));
        assert!(call(b"application/grpc;charset=x"));
        assert!(!call(b"application/grpc-web"));
        assert!(!call(b"application/json"));
    }

    #[test]
    fn messages_are_printable_ascii() {
        assert_eq!(message("a_code", "50% \u{fc}"), "a_code: 50%25 %C3%BC");
    }
}
