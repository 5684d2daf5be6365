//! Writing heads.
//!
//! Everything is appended to a buffer of the caller's. What comes from outside is checked, so that no
//! value can end its line and start another; what was read by this crate can be copied unchecked.

use crate::charset::{self, is_valid_name, is_valid_value};
use crate::error::EncodeError;

/// Writes `method target HTTP/1.1`.
///
/// # Errors
///
/// When the method is no token or the target holds a byte that must be percent-encoded; nothing is
/// written then.
#[inline]
pub fn write_request_line(
    out: &mut Vec<u8>,
    method: &[u8],
    target: &[u8],
) -> Result<(), EncodeError> {
    if !is_valid_name(method) {
        return Err(EncodeError::InvalidMethod);
    }
    if target.is_empty() || charset::target(target) != target.len() {
        return Err(EncodeError::InvalidTarget);
    }
    out.reserve(method.len() + target.len() + 12);
    out.extend_from_slice(method);
    out.push(b' ');
    out.extend_from_slice(target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    Ok(())
}

/// Writes `HTTP/1.1 status reason`: always our own version, whatever the peer's (RFC 9110 section 2.5).
///
/// # Errors
///
/// When the status is not from 100 to 999 or the reason holds a control byte; nothing is written then.
#[inline]
pub fn write_status_line(out: &mut Vec<u8>, status: u16, reason: &[u8]) -> Result<(), EncodeError> {
    if !(100..=999).contains(&status) {
        return Err(EncodeError::InvalidStatus);
    }
    if charset::value(reason) != reason.len() {
        return Err(EncodeError::InvalidReason);
    }
    let digit = |n: u16| b'0' + (n % 10) as u8;
    let mut start = *b"HTTP/1.1 000 ";
    start[9..12].copy_from_slice(&[digit(status / 100), digit(status / 10), digit(status)]);
    out.reserve(start.len() + reason.len() + 2);
    out.extend_from_slice(&start);
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// Writes a field whose name or value comes from outside.
///
/// # Errors
///
/// When name or value is not valid; nothing is written then.
#[inline]
pub fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) -> Result<(), EncodeError> {
    if !is_valid_name(name) {
        return Err(EncodeError::InvalidName);
    }
    if !is_valid_value(value) {
        return Err(EncodeError::InvalidValue);
    }
    copy_field(out, name, value);
    Ok(())
}

/// Writes a field that a head of this crate held, or a constant, without checking it again.
///
/// A value from anywhere else goes through [`write_field`]: a line break in it would start a field, or
/// a message, of its author's choosing. Debug builds check.
#[inline]
pub fn copy_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    debug_assert!(is_valid_name(name), "field name not checked");
    debug_assert!(is_valid_value(value), "field value not checked");
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes `content-length`.
#[inline]
pub fn write_length(out: &mut Vec<u8>, length: u64) {
    copy_field(
        out,
        b"content-length",
        itoa::Buffer::new().format(length).as_bytes(),
    );
}

/// Writes `transfer-encoding: chunked`.
#[inline]
pub fn write_chunked(out: &mut Vec<u8>) {
    out.extend_from_slice(b"transfer-encoding: chunked\r\n");
}

/// Writes the empty line that ends a head.
#[inline]
pub fn end_head(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// The customary reason phrase of a status (IANA HTTP Status Code Registry); empty for an unregistered
/// one.
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        208 => "Already Reported",
        226 => "IM Used",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        511 => "Network Authentication Required",
        _ => "",
    }
}
