//! One interpretation of the host of a request, and the hosts that routes may name.

use crate::{ConfigError, PathError};

/// The longest host name (RFC 1035 section 2.3.4), which bounds the work of a lookup.
const MAX_LEN: usize = 255;

/// Reads a `Host` value or `:authority`: the port and one trailing dot are dropped, letters are lowered.
///
/// `scratch` is written only where letters have to be lowered. An empty value (allowed by RFC 9112 section 3.2) gives an
/// empty host, which only routes without a host match. IPv6 addresses keep their brackets.
///
/// # Errors
/// [`PathError::BadHost`] for anything but letters, digits, `-`, `_` and `.`, or an IPv6 address in brackets.
pub fn canonical_host<'a>(raw: &'a [u8], scratch: &'a mut String) -> Result<&'a str, PathError> {
    let name = without_port(raw)?;
    let name = match name.strip_suffix(b".") {
        Some(b"") => return Err(PathError::BadHost),
        Some(shorter) => shorter,
        None => name,
    };
    let name = std::str::from_utf8(name).map_err(|_| PathError::BadHost)?;
    if !is_valid(name) {
        return Err(PathError::BadHost);
    }
    if !name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Ok(name);
    }
    scratch.clear();
    scratch.push_str(name);
    scratch.make_ascii_lowercase();
    Ok(scratch.as_str())
}

fn without_port(host: &[u8]) -> Result<&[u8], PathError> {
    let find = |wanted: u8| host.iter().position(|byte| *byte == wanted);
    let name_end = if host.starts_with(b"[") {
        find(b']').ok_or(PathError::BadHost)? + 1
    } else {
        find(b':').unwrap_or(host.len())
    };
    let (name, port) = host.split_at(name_end);
    match port {
        [] => Ok(name),
        [b':', digits @ ..] if is_port(digits) => Ok(name),
        _ => Err(PathError::BadHost),
    }
}

/// Whether it is a port as it stands behind a host: it may be left out (RFC 3986 section 3.2.3) or begin with zeros.
fn is_port(digits: &[u8]) -> bool {
    let number = digits.iter().try_fold(0_u32, |number, digit| {
        let number = number * 10 + u32::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
        u16::try_from(number).is_ok().then_some(number)
    });
    number.is_some()
}

fn is_valid(name: &str) -> bool {
    if name.is_empty() {
        return true;
    }
    if let Some(address) = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    name.len() <= MAX_LEN && is_name(name)
}

/// Whether it consists of labels with dots between them. One pass, for this is looked at with every request.
fn is_name(name: &str) -> bool {
    let mut was_dot = true;
    for byte in name.bytes() {
        let is_dot = byte == b'.';
        let is_letter = byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if !is_letter && (!is_dot || was_dot) {
            return false;
        }
        was_dot = is_dot;
    }
    !was_dot
}

/// The hosts a route answers for: one name, or every name below one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// This name alone, lower-case.
    Exact(Box<str>),
    /// Every name that ends in `.` and this one, at any depth, but not the name itself: `*.example.com` holds
    /// `a.example.com` and `a.b.example.com`, not `example.com`.
    Below(Box<str>),
}

impl HostPattern {
    /// Reads `name` or `*.name`. Letters are lowered; a port is refused, since routes do not differ by it.
    ///
    /// # Errors
    /// [`ConfigError::Host`].
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let error = || ConfigError::Host {
            host: text.to_owned(),
        };
        let lower = text.to_ascii_lowercase();
        if let Some(suffix) = lower.strip_prefix("*.") {
            return if suffix.len() <= MAX_LEN && is_name(suffix) {
                Ok(Self::Below(suffix.into()))
            } else {
                Err(error())
            };
        }
        if lower.is_empty() || !is_valid(&lower) {
            return Err(error());
        }
        Ok(Self::Exact(lower.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(raw: &str) -> Result<String, PathError> {
        canonical_host(raw.as_bytes(), &mut String::new()).map(str::to_owned)
    }

    #[test]
    fn one_name_has_one_form() {
        for raw in [
            "api.example.com",
            "API.Example.com:8080",
            "api.example.com.",
            "api.example.com.:443",
            "api.example.com:",
        ] {
            assert_eq!(host(raw).as_deref(), Ok("api.example.com"), "{raw}");
        }
        assert_eq!(host("[::1]:80").as_deref(), Ok("[::1]"));
        assert_eq!(host("127.0.0.1:3000").as_deref(), Ok("127.0.0.1"));
        assert_eq!(host("").as_deref(), Ok(""));
    }

    #[test]
    fn what_has_no_or_two_readings_is_refused() {
        for raw in [
            "a b", "a/b", "a@b", "a%2eb", ".", "a..b", ".a", "[::1", "[::1]x", "[x]", "a:b",
            "a:99999", "a:80:80", "a\u{e9}", "a,b",
        ] {
            assert_eq!(host(raw), Err(PathError::BadHost), "{raw}");
        }
        assert_eq!(
            canonical_host(b"\xff", &mut String::new()),
            Err(PathError::BadHost)
        );
    }

    #[test]
    fn patterns_are_a_name_or_all_names_below_one() {
        assert_eq!(
            HostPattern::parse("API.example.com"),
            Ok(HostPattern::Exact("api.example.com".into()))
        );
        assert_eq!(
            HostPattern::parse("*.Example.com"),
            Ok(HostPattern::Below("example.com".into()))
        );
        for wrong in [
            "", "*", "*.", "a.*.b", "*a.b", "a:80", "http://a", "*.[::1]",
        ] {
            assert!(HostPattern::parse(wrong).is_err(), "{wrong}");
        }
    }
}
