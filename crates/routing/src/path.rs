//! One interpretation of a request target.
//!
//! Gateways are bypassed where the part that decides and the part that forwards read a path differently (for instance
//! CVE-2019-9901, CVE-2021-29492, CVE-2021-43557, CVE-2026-27587). Here a target is read once, into the canonical form
//! of RFC 3986 section 6.2.2, or refused; everything behind works on that form, forwarding included.
//!
//! The canonical path is ASCII and holds only `/`, the characters RFC 3986 allows in a segment, and upper-case percent
//! triplets of the others. Percent-encoded unreserved characters are decoded; all other triplets stay, so `%2F` is
//! never a separator. Characters that may not stand raw (`"`, `<`, `|`, `é`) are percent-encoded. Empty segments (`//`)
//! stay as they are.
//!
//! Dot segments are refused rather than resolved, and looked for as the most credulous server behind might see them:
//! after any number of percent decodings, with `/` and `\` as separators however they are written, and with `;`, `?` and
//! `#` ending a name (`/a/..;/b`, `/a%2F..%2Fb`, `/%252e%252e/`).

use crate::PathError;

/// A request path in its canonical form, and the query beside it.
///
/// Only [`canonical`] makes one, so whoever holds one need not check it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CanonicalPath<'a> {
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> CanonicalPath<'a> {
    /// The path `/` without a query.
    pub const ROOT: Self = Self {
        path: "/",
        query: None,
    };

    /// The canonical path: ASCII, starts with `/`, has no dot segment. The bytes to match, rewrite and forward.
    pub const fn path(&self) -> &'a str {
        self.path
    }

    /// What follows the first `?`, untouched; `None` where there is no `?`.
    pub const fn query(&self) -> Option<&'a str> {
        self.query
    }
}

/// Reads an origin-form request target (RFC 9112 section 3.2.1).
///
/// `scratch` is written only where the path has to change; the usual path comes back as a slice of `target`. Keep one
/// per connection and this never allocates once it has grown.
///
/// # Errors
/// A [`PathError`] for a target that has more than one reading, or none.
pub fn canonical<'a>(
    target: &'a [u8],
    scratch: &'a mut String,
) -> Result<CanonicalPath<'a>, PathError> {
    let (path_end, changes) = scan(target)?;
    let query = match target.get(path_end + 1..) {
        None => None,
        Some(query) => Some(check_query(query)?),
    };
    let path = if changes {
        normalise(&target[..path_end], scratch)?;
        scratch.as_str()
    } else {
        std::str::from_utf8(&target[..path_end]).map_err(|_| PathError::NotUtf8)?
    };
    Ok(CanonicalPath { path, query })
}

/// What a raw byte of a path asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Stands in the canonical form as it is.
    Plain,
    /// Stands as it is, unless it begins a dot segment.
    Dot,
    /// May not stand raw: the path has to be rewritten.
    Rewrite,
    /// Ends the path.
    Query,
    /// Is refused.
    Refused,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Rewrite; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        classes[byte] = match b {
            b'.' => Class::Dot,
            b'?' => Class::Query,
            b'#' | b'\\' | 0..=b' ' | 0x7f => Class::Refused,
            _ if is_unreserved(b) || is_reserved_in_segment(b) || b == b'/' => Class::Plain,
            _ => Class::Rewrite,
        };
        byte += 1;
    }
    classes
};

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// `sub-delims`, `:` and `@`: allowed raw in a segment, but not the same as their percent-encoded form.
const fn is_reserved_in_segment(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@'
    )
}

/// Where the path ends, and whether it differs from its canonical form.
fn scan(target: &[u8]) -> Result<(usize, bool), PathError> {
    if target.first() != Some(&b'/') {
        return Err(PathError::NotAbsolute);
    }
    let mut at = 1;
    while let Some(&byte) = target.get(at) {
        match CLASSES[usize::from(byte)] {
            Class::Plain => {}
            Class::Dot => {
                if target[at - 1] == b'/' && begins_dot_segment(&target[at..]) {
                    return Err(PathError::DotSegment);
                }
            }
            Class::Query => return Ok((at, false)),
            Class::Refused => return Err(refusal(byte)),
            Class::Rewrite => {
                let end = memchr::memchr(b'?', &target[at..]).map_or(target.len(), |n| at + n);
                return Ok((end, true));
            }
        }
        at += 1;
    }
    Ok((at, false))
}

/// `rest` begins with a dot behind a slash. Triplets are not looked at: they send the path through [`normalise`].
fn begins_dot_segment(rest: &[u8]) -> bool {
    let dots = if rest.get(1) == Some(&b'.') { 2 } else { 1 };
    matches!(rest.get(dots), None | Some(b'/' | b';' | b'?'))
}

fn refusal(byte: u8) -> PathError {
    match byte {
        b'#' => PathError::Fragment,
        b'\\' => PathError::Backslash,
        _ => PathError::Control,
    }
}

fn check_query(query: &[u8]) -> Result<&str, PathError> {
    for &byte in query {
        match byte {
            b'#' => return Err(PathError::Fragment),
            0..=b' ' | 0x7f => return Err(PathError::QueryControl),
            _ => {}
        }
    }
    std::str::from_utf8(query).map_err(|_| PathError::QueryNotUtf8)
}

/// Writes the canonical form of `path` to `out`.
fn normalise(path: &[u8], out: &mut String) -> Result<(), PathError> {
    out.clear();
    let mut decoded = DecodedText::default();
    let mut at = 0;
    while let Some(&raw) = path.get(at) {
        let encoded = raw == b'%';
        let byte = if encoded {
            let byte = triplet(&path[at + 1..]).ok_or(PathError::BadPercent)?;
            at += 3;
            byte
        } else {
            at += 1;
            raw
        };
        decoded.push(byte)?;
        if byte == b'\\' {
            return Err(PathError::Backslash);
        }
        if !encoded && CLASSES[usize::from(byte)] == Class::Refused {
            return Err(refusal(byte));
        }
        let stands_raw =
            is_unreserved(byte) || (!encoded && (byte == b'/' || is_reserved_in_segment(byte)));
        if stands_raw {
            out.push(char::from(byte));
        } else {
            push_triplet(out, byte);
        }
    }
    decoded.finish()?;
    if has_dot_segment(out.as_bytes()) {
        return Err(PathError::DotSegment);
    }
    Ok(())
}

fn triplet(digits: &[u8]) -> Option<u8> {
    let high = char::from(*digits.first()?).to_digit(16)?;
    let low = char::from(*digits.get(1)?).to_digit(16)?;
    Some((high * 16 + low) as u8)
}

fn push_triplet(out: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(char::from(DIGITS[usize::from(byte >> 4)]));
    out.push(char::from(DIGITS[usize::from(byte & 15)]));
}

/// Checks decoded bytes, one by one, for UTF-8 without control characters.
#[derive(Default)]
struct DecodedText {
    pending: [u8; 4],
    len: usize,
}

impl DecodedText {
    fn push(&mut self, byte: u8) -> Result<(), PathError> {
        if byte < 0x80 {
            self.finish()?;
            return if byte.is_ascii_control() {
                Err(PathError::Control)
            } else {
                Ok(())
            };
        }
        if self.len == self.pending.len() {
            return Err(PathError::NotUtf8);
        }
        self.pending[self.len] = byte;
        self.len += 1;
        match std::str::from_utf8(&self.pending[..self.len]) {
            Ok(text) => {
                self.len = 0;
                // Characters U+0080 to U+009F are controls too.
                if text.contains(char::is_control) {
                    return Err(PathError::Control);
                }
                Ok(())
            }
            Err(error) if error.error_len().is_none() => Ok(()),
            Err(_) => Err(PathError::NotUtf8),
        }
    }

    fn finish(&self) -> Result<(), PathError> {
        if self.len == 0 {
            Ok(())
        } else {
            Err(PathError::NotUtf8)
        }
    }
}

/// Whether any reader of `path`, decoding as often as it likes, may find a dot segment in it.
///
/// Works on canonical text, where hexadecimal digits and dots stand raw: what is left to see through is `%` written
/// as `%25`, any number of times.
fn has_dot_segment(path: &[u8]) -> bool {
    // 1 and 2: that many dots since the segment began; 3: anything else.
    let mut seen = 0_u8;
    let mut at = 0;
    while at < path.len() {
        let (byte, len) = decode_deep(&path[at..]);
        at += len;
        seen = match byte {
            b'/' | b'\\' | b';' | b'?' | b'#' if matches!(seen, 1 | 2) => return true,
            b'/' | b'\\' => 0,
            b'.' => (seen + 1).min(3),
            _ => 3,
        };
    }
    matches!(seen, 1 | 2)
}

/// The character at the start of `text` after decoding until nothing changes, and how many bytes it takes up.
fn decode_deep(text: &[u8]) -> (u8, usize) {
    if text[0] != b'%' {
        return (text[0], 1);
    }
    let mut at = 1;
    while text[at..].starts_with(b"25") && triplet(&text[at + 2..]).is_some() {
        at += 2;
    }
    match triplet(&text[at..]) {
        Some(byte) => (byte, at + 2),
        None => (b'%', 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_readings_agree_on_what_needs_no_change() {
        for path in [
            "/",
            "/a",
            "/a/b.c/.well-known/..x/...",
            "//a//",
            "/a;b=c,d/@:!$&'()*+",
            "/~u-v_w",
        ] {
            let mut out = String::new();
            assert_eq!(scan(path.as_bytes()), Ok((path.len(), false)), "{path}");
            assert_eq!(normalise(path.as_bytes(), &mut out), Ok(()), "{path}");
            assert_eq!(out, path);
        }
    }

    #[test]
    fn a_path_that_needs_no_change_is_a_slice_of_the_target() {
        let target = b"/api/users/42?q=%zz&x=/../";
        let mut scratch = String::new();
        let found = canonical(target, &mut scratch).unwrap();
        assert_eq!(found.path().as_ptr(), target.as_ptr());
        assert_eq!(
            (found.path(), found.query()),
            ("/api/users/42", Some("q=%zz&x=/../"))
        );
        assert_eq!(scratch.capacity(), 0);
    }

    #[test]
    fn decoding_stops_only_when_nothing_changes() {
        assert_eq!(decode_deep(b"%2525252e/"), (b'.', 9));
        assert_eq!(decode_deep(b"%25252/"), (b'%', 5));
        assert_eq!(decode_deep(b"%25zz"), (b'%', 3));
        assert_eq!(decode_deep(b"%25"), (b'%', 3));
    }
}
