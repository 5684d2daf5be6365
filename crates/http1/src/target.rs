//! Request targets: the four forms of RFC 9112 section 3.2, and what a host may look like.

use std::net::Ipv6Addr;

use crate::charset;
use crate::error::RequestError;
use crate::field::Span;
use crate::method::Method;

/// The form a target came in (RFC 9112 section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetForm<'a> {
    /// `/path?query`
    Origin,
    /// `http://authority/path?query`, as sent to a proxy. HTTP/2 requests are of this form too.
    Absolute {
        /// `http` or `https`, as it came.
        scheme: &'a [u8],
        /// Host and optional port.
        authority: &'a [u8],
        /// Path and query; `/` or `*` where the target has none.
        path: &'a [u8],
    },
    /// `*`, for `OPTIONS` alone.
    Asterisk,
    /// `host:port`, for `CONNECT` alone.
    Authority,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Form {
    #[default]
    Origin,
    Absolute,
    Asterisk,
    Authority,
}

/// Where the parts of a target are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Parts {
    pub(crate) form: Form,
    pub(crate) scheme: Span,
    pub(crate) authority: Span,
    /// Path and query. Empty for authority-form, and for an absolute-form that needs a `/` put before
    /// its query.
    pub(crate) path: Span,
}

/// Tells the form of the target at `span`, whose bytes are already known to be valid ones.
#[inline]
pub(crate) fn parts(bytes: &[u8], span: Span, method: Method) -> Result<Parts, RequestError> {
    let target = span.of(bytes);
    if method == Method::Connect {
        return connect_parts(target, span);
    }
    match target {
        [b'/', ..] => Ok(Parts {
            form: Form::Origin,
            path: span,
            ..Parts::default()
        }),
        b"*" if method == Method::Options => Ok(Parts {
            form: Form::Asterisk,
            path: span,
            ..Parts::default()
        }),
        b"*" => Err(RequestError::TargetForm),
        _ => absolute_parts(target, span),
    }
}

fn connect_parts(target: &[u8], span: Span) -> Result<Parts, RequestError> {
    if target.starts_with(b"/") || target == b"*" || target.windows(3).any(|w| w == b"://") {
        return Err(RequestError::TargetForm);
    }
    match split_authority(target) {
        Some((_, Some(_))) => Ok(Parts {
            form: Form::Authority,
            authority: span,
            ..Parts::default()
        }),
        _ => Err(RequestError::InvalidTarget),
    }
}

#[cold]
fn absolute_parts(target: &[u8], span: Span) -> Result<Parts, RequestError> {
    let start = span.start as usize;
    let scheme = match target.iter().position(|&b| b == b':') {
        Some(colon) => &target[..colon],
        None => return Err(RequestError::InvalidTarget),
    };
    if !target[scheme.len()..].starts_with(b"://") {
        // `host:port` is the one other thing it can be.
        return Err(match split_authority(target) {
            Some((_, Some(_))) => RequestError::TargetForm,
            _ => RequestError::InvalidTarget,
        });
    }
    if !is_scheme(scheme) {
        return Err(RequestError::InvalidTarget);
    }
    let from = scheme.len() + 3;
    let authority = &target[from..];
    let end = authority
        .iter()
        .position(|&b| b == b'/' || b == b'?')
        .unwrap_or(authority.len());
    if split_authority(&authority[..end]).is_none() {
        return Err(RequestError::InvalidHost);
    }
    let path = if authority.get(end) == Some(&b'/') {
        Span::new(start + from + end, span.end as usize)
    } else {
        Span::default()
    };
    Ok(Parts {
        form: Form::Absolute,
        scheme: Span::new(start, start + scheme.len()),
        authority: Span::new(start + from, start + from + end),
        path,
    })
}

pub(crate) fn is_scheme(scheme: &[u8]) -> bool {
    scheme.eq_ignore_ascii_case(b"http") || scheme.eq_ignore_ascii_case(b"https")
}

/// Splits `host[:port]`, as in `Host`, into host and port. An IPv6 address keeps its brackets.
///
/// `None` unless the host is a name of letters, digits and `-._~`, or an IPv6 address in brackets, and
/// the port, if a colon is there, a number from 0 to 65 535. RFC 3986 section 3.2.2 would also allow
/// sub-delimiters and percent-escapes in names and an empty port; no DNS name has them and programs
/// differ in reading them. User information is refused as RFC 9110 section 4.2.4 asks.
pub fn split_authority(authority: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let host_len = if authority.first() == Some(&b'[') {
        let close = authority.iter().position(|&b| b == b']')?;
        let address = str::from_utf8(&authority[1..close]).ok()?;
        address.parse::<Ipv6Addr>().ok()?;
        close + 1
    } else {
        let len = authority
            .iter()
            .position(|&b| b == b':')
            .unwrap_or(authority.len());
        if len == 0 || !charset::is_host_name(&authority[..len]) {
            return None;
        }
        len
    };
    let (host, rest) = authority.split_at(host_len);
    let port = match rest {
        [] => None,
        [b':', digits @ ..]
            if matches!(digits.len(), 1..=5) && digits.iter().all(u8::is_ascii_digit) =>
        {
            Some(str::from_utf8(digits).ok()?.parse().ok()?)
        }
        _ => return None,
    };
    Some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities() {
        for (text, host, port) in [
            ("example.com", "example.com", None),
            ("example.com:80", "example.com", Some(80)),
            ("a_b~c-d.e", "a_b~c-d.e", None),
            ("127.0.0.1:65535", "127.0.0.1", Some(65535)),
            ("[::1]", "[::1]", None),
            ("[2001:db8::1]:8080", "[2001:db8::1]", Some(8080)),
        ] {
            let expected = Some((host.as_bytes(), port));
            assert_eq!(split_authority(text.as_bytes()), expected, "{text}");
        }
        for text in [
            "",
            ":80",
            "user@host",
            "user:pass@host",
            "host:",
            "host:80:80",
            "host:65536",
            "host:-1",
            "host:+1",
            "host:8a",
            "a b",
            "a,b",
            "a/b",
            "a%00b",
            "a\\b",
            "h\u{f6}st",
            "[",
            "[]",
            "[::1",
            "::1",
            "[::1]x",
            "[::1]:",
            "[::1%25eth0]",
            "[v1.x]",
            "[127.0.0.1]",
            "a?b",
            "a#b",
            "host:000080",
        ] {
            assert_eq!(split_authority(text.as_bytes()), None, "{text}");
        }
    }
}
