//! The request line (RFC 9112 section 3).

use crate::charset;
use crate::connection::Version;
use crate::error::{FieldError, RequestError};
use crate::field::Span;
use crate::limits::Limits;

/// No registered method is half as long.
const METHOD_BYTES: usize = 32;
/// A version that has not ended after so many bytes is none.
const VERSION_BYTES: usize = 16;

#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestLine {
    pub(crate) method: Span,
    pub(crate) target: Span,
    pub(crate) version: Version,
    /// Where the next line starts.
    pub(crate) next: usize,
}

/// The longest a request line can be before [`parse`] refuses it without having seen its end.
pub(crate) fn max_len(limits: &Limits) -> usize {
    limits
        .target_bytes
        .saturating_add(METHOD_BYTES + VERSION_BYTES + 2)
}

/// Reads the request line at `at`. `None` when its CRLF is not there yet.
#[inline]
pub(crate) fn parse(
    input: &[u8],
    at: usize,
    limits: &Limits,
) -> Result<Option<RequestLine>, RequestError> {
    let rest = &input[at..];
    let (method_len, _) = charset::token(&rest[..rest.len().min(METHOD_BYTES + 1)]);
    if method_len > METHOD_BYTES {
        return Err(RequestError::InvalidMethod);
    }
    match &rest[method_len..] {
        [b' ', ..] if method_len > 0 => {}
        [] => return Ok(None),
        stop => {
            return refuse(
                stop,
                RequestError::InvalidRequestLine,
                RequestError::InvalidMethod,
            );
        }
    }

    let target_at = method_len + 1;
    let target = &rest[target_at..];
    let target_len =
        charset::target(&target[..target.len().min(limits.target_bytes.saturating_add(1))]);
    if target_len > limits.target_bytes {
        return Err(RequestError::TargetTooLong);
    }
    match &target[target_len..] {
        [b' ', ..] if target_len > 0 => {}
        [] => return Ok(None),
        stop => {
            let ended = if target_len > 0 {
                RequestError::MissingVersion
            } else {
                RequestError::InvalidRequestLine
            };
            return refuse(stop, ended, RequestError::InvalidTarget);
        }
    }

    let version_at = target_at + target_len + 1;
    let tail = &rest[version_at..];
    let (version, version_len) = if tail.starts_with(b"HTTP/1.1\r\n") {
        (Version::Http11, 8)
    } else {
        match other_version(tail)? {
            Some(found) => found,
            None => return Ok(None),
        }
    };
    // The method and target of the preface were just read, so the comparison is exact.
    if version == Version::Http2 {
        return Err(if at == 0 && rest.starts_with(b"PRI * ") {
            RequestError::Http2Preface
        } else {
            RequestError::UnsupportedVersion
        });
    }
    Ok(Some(RequestLine {
        method: Span::new(at, at + method_len),
        target: Span::new(at + target_at, at + target_at + target_len),
        version,
        next: at + version_at + version_len + 2,
    }))
}

/// Says what is wrong with a method or target that no space follows: `ended` if the line ends there,
/// `invalid` if a byte stands there that it must not have.
#[cold]
fn refuse(
    stop: &[u8],
    ended: RequestError,
    invalid: RequestError,
) -> Result<Option<RequestLine>, RequestError> {
    Err(match stop {
        [b'\r'] => return Ok(None),
        [b'\r', b'\n', ..] => ended,
        [b'\r', ..] => FieldError::BareCr.into(),
        [b'\n', ..] => FieldError::BareLf.into(),
        [b' ' | b'\t', ..] => RequestError::InvalidRequestLine,
        _ => invalid,
    })
}

/// Reads a version that is not a plain `HTTP/1.1`: which, and its length. `HTTP/2.0` is reported as
/// [`Version::Http2`] for the caller to refuse.
#[cold]
fn other_version(tail: &[u8]) -> Result<Option<(Version, usize)>, RequestError> {
    let window = &tail[..tail.len().min(VERSION_BYTES)];
    let Some(len) = window.iter().position(|&b| b == b'\r' || b == b'\n') else {
        return match window.len() {
            VERSION_BYTES => Err(refuse_version(window)),
            _ => Ok(None),
        };
    };
    match &tail[len..] {
        [b'\r', b'\n', ..] => {}
        [b'\r'] => return Ok(None),
        [b'\r', ..] => return Err(FieldError::BareCr.into()),
        _ => return Err(FieldError::BareLf.into()),
    }
    match &tail[..len] {
        b"HTTP/1.0" => Ok(Some((Version::Http10, len))),
        b"HTTP/1.1" => Ok(Some((Version::Http11, len))),
        b"HTTP/2.0" => Ok(Some((Version::Http2, len))),
        version => Err(refuse_version(version)),
    }
}

fn refuse_version(version: &[u8]) -> RequestError {
    match version {
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            RequestError::UnsupportedVersion
        }
        _ if version.contains(&b' ') || version.contains(&b'\t') => {
            RequestError::InvalidRequestLine
        }
        _ => RequestError::InvalidVersion,
    }
}
