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
    let mut has_upper = false;
    let mut was_dot = true;
    let end = raw.iter().position(|byte| {
        let class = CLASS[usize::from(*byte)];
        let is_end = class == Class::Other || (class == Class::Dot && was_dot);
        has_upper |= class == Class::Upper;
        was_dot = class == Class::Dot;
        is_end
    });
    let (name, rest) = raw.split_at(end.unwrap_or(raw.len()));
    let name = match (name, rest) {
        ([], [b'[', ..]) => return bracketed(raw, scratch),
        ([], [] | [b':', ..]) => name,
        ([shorter @ .., b'.'], [] | [b':', ..]) => shorter,
        (_, [] | [b':', ..]) => name,
        _ => return Err(PathError::BadHost),
    };
    if name.len() > MAX_LEN || !is_port_or_nothing(rest) {
        return Err(PathError::BadHost);
    }
    let name = std::str::from_utf8(name).map_err(|_| PathError::BadHost)?;
    Ok(if has_upper {
        lower(name, scratch)
    } else {
        name
    })
}

fn lower<'a>(name: &str, scratch: &'a mut String) -> &'a str {
    scratch.clear();
    scratch.push_str(name);
    scratch.make_ascii_lowercase();
    scratch
}

/// What a byte of a host name is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Lower,
    Upper,
    Dot,
    Other,
}

static CLASS: [Class; 256] = {
    let mut table = [Class::Other; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => Class::Lower,
            b'A'..=b'Z' => Class::Upper,
            b'.' => Class::Dot,
            _ => Class::Other,
        };
        byte += 1;
    }
    table
};

/// An IPv6 address in brackets, with its brackets.
#[cold]
fn bracketed<'a>(raw: &[u8], scratch: &'a mut String) -> Result<&'a str, PathError> {
    let text = std::str::from_utf8(raw).map_err(|_| PathError::BadHost)?;
    let end = text.find(']').ok_or(PathError::BadHost)? + 1;
    let (name, port) = text.split_at(end);
    if is_valid(name) && is_port_or_nothing(port.as_bytes()) {
        Ok(lower(name, scratch))
    } else {
        Err(PathError::BadHost)
    }
}

/// Whether it is nothing, or a port as it stands behind a host: it may be left out (RFC 3986 section 3.2.3) or begin
/// with zeros.
fn is_port_or_nothing(rest: &[u8]) -> bool {
    let Some((_, digits)) = rest.split_first() else {
        return true;
    };
    let number = digits.iter().try_fold(0_u32, |number, digit| {
        let number = number * 10 + u32::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
        u16::try_from(number).is_ok().then_some(number)
    });
    rest[0] == b':' && number.is_some()
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

fn is_name(name: &str) -> bool {
    name.split('.').all(|label| {
        let mut bytes = label.bytes();
        !label.is_empty()
            && bytes.all(|b| matches!(CLASS[usize::from(b)], Class::Lower | Class::Upper))
    })
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
        assert_eq!(host("[::AB]").as_deref(), Ok("[::ab]"));
        assert_eq!(host("a:0080").as_deref(), Ok("a"));
        assert_eq!(host(":80").as_deref(), Ok(""));
        assert_eq!(host("127.0.0.1:3000").as_deref(), Ok("127.0.0.1"));
        assert_eq!(host("").as_deref(), Ok(""));
    }

    #[test]
    fn what_has_no_or_two_readings_is_refused() {
        for raw in [
            "a b", "a/b", "a@b", "a%2eb", ".", "a..b", ".a", "[::1", "[::1]x", "[x]", "a:b",
            "a:99999", "a:80:80", "a\u{e9}", "a,b", "[::1].", "a..", "a.:x", "a:+1", "a b:80",
            ".:80",
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
