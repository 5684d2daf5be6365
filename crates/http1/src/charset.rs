//! Which bytes may stand where, and scanners that stop at the first one that may not.
//!
//! Sources: RFC 9110 section 5.6.2 (`token`), 5.5 (`field-value`), RFC 3986 section 3 (URI parts).

/// `tchar`, RFC 9110 section 5.6.2.
const TOKEN: u8 = 1;
/// The underscore: legal in a token, but an alias of `-` for many programs behind us.
const UNDERSCORE: u8 = 2;
/// May stand in a target before the first `?`.
const PATH: u8 = 4;
/// May stand in a target after the first `?`.
const QUERY: u8 = 8;
/// May stand in a host name.
const HOST: u8 = 16;

static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let b = i as u8;
        let mut class = 0;
        if b.is_ascii_alphanumeric() {
            class |= TOKEN | PATH | QUERY | HOST;
        }
        match b {
            b'-' | b'.' | b'~' => class |= TOKEN | PATH | QUERY | HOST,
            b'_' => class |= TOKEN | PATH | QUERY | HOST | UNDERSCORE,
            // `%` starts an escape; whether two hex digits follow is the path canonicaliser's question.
            // `^`, `|`, `{`, `}` and the brackets are no URI characters in this place, but browsers and
            // curl send them, every server takes them, and no known attack needs them.
            b'!' | b'$' | b'&' | b'\'' | b'*' | b'+' | b'%' | b'^' | b'|' => {
                class |= TOKEN | PATH | QUERY;
            }
            b'(' | b')' | b',' | b'/' | b':' | b';' | b'=' | b'@' | b'[' | b']' | b'{' | b'}' => {
                class |= PATH | QUERY;
            }
            b'`' => class |= TOKEN | QUERY,
            // A backslash in a path is a slash to some servers; browsers send it raw only in queries.
            b'?' | b'\\' => class |= QUERY,
            b'#' => class |= TOKEN,
            _ => {}
        }
        table[i] = class;
        i += 1;
    }
    table
}

/// The length of the token that `bytes` begins with, and whether an underscore is in it.
#[inline]
pub(crate) fn token(bytes: &[u8]) -> (usize, bool) {
    let mut seen = 0;
    let mut len = 0;
    for &b in bytes {
        let class = CLASS[usize::from(b)];
        if class & TOKEN == 0 {
            break;
        }
        seen |= class;
        len += 1;
    }
    (len, seen & UNDERSCORE != 0)
}

/// The length of the longest prefix of `bytes` that may be a request target.
#[inline]
pub(crate) fn target(bytes: &[u8]) -> usize {
    let prefix = |from: usize, class: u8| {
        bytes[from..]
            .iter()
            .position(|&b| CLASS[usize::from(b)] & class == 0)
            .map_or(bytes.len(), |n| from + n)
    };
    let path = prefix(0, PATH);
    match bytes.get(path) {
        Some(b'?') => prefix(path + 1, QUERY),
        _ => path,
    }
}

/// Whether every byte may stand in a host name.
#[inline]
pub(crate) fn is_host_name(bytes: &[u8]) -> bool {
    bytes.iter().all(|&b| CLASS[usize::from(b)] & HOST != 0)
}

const ONES: u64 = u64::from_le_bytes([0x01; 8]);
const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);

/// Marks, by the high bit of each byte, the bytes of `word` that are controls (below 0x20, or 0x7f).
///
/// The lowest mark is exact; a borrow may set false marks above a true one.
#[inline]
const fn controls(word: u64) -> u64 {
    let below = word.wrapping_sub(ONES * 0x20) & !word;
    let del = word ^ (ONES * 0x7f);
    let del = del.wrapping_sub(ONES) & !del;
    (below | del) & HIGHS
}

/// The length of the longest prefix of `bytes` that may stand in a field value: visible ASCII, space,
/// tab and `obs-text` (RFC 9110 section 5.5).
#[inline]
pub(crate) fn value(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        at += until_control(&bytes[at..]);
        if bytes.get(at) != Some(&b'\t') {
            return at;
        }
        at += 1;
    }
}

#[inline]
fn until_control(bytes: &[u8]) -> usize {
    scan(bytes, controls, |b| b < 0x20 || b == 0x7f)
}

/// Marks the bytes of `word` that are a colon, a control below 0x20, or a space. As with [`controls`],
/// the lowest mark is exact.
#[inline]
const fn name_stops(word: u64) -> u64 {
    let below = word.wrapping_sub(ONES * 0x21) & !word;
    let colon = word ^ (ONES * b':' as u64);
    let colon = colon.wrapping_sub(ONES) & !colon;
    (below | colon) & HIGHS
}

/// The length of the longest prefix of `bytes` without colon, space or control below 0x20: a field name,
/// if it is a token.
#[inline]
pub(crate) fn name(bytes: &[u8]) -> usize {
    scan(bytes, name_stops, |b| b <= b' ' || b == b':')
}

/// The length of the longest prefix of which no byte is marked. Eight bytes at a time are a third of the
/// work and, as lengths vary, a fraction of the mispredicted branches.
#[inline]
fn scan(bytes: &[u8], marks: impl Fn(u64) -> u64, is_marked: impl Fn(u8) -> bool) -> usize {
    let (words, tail) = bytes.as_chunks::<8>();
    let mut at = 0;
    for word in words {
        let marks = marks(u64::from_le_bytes(*word));
        if marks != 0 {
            return at + (marks.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at + tail
        .iter()
        .position(|&b| is_marked(b))
        .unwrap_or(tail.len())
}

/// Drops spaces and tabs from both ends (`OWS`, RFC 9110 section 5.6.3).
#[inline]
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Whether `name` may be a field name: a non-empty token (RFC 9110 section 5.1).
#[inline]
pub fn is_valid_name(name: &[u8]) -> bool {
    !name.is_empty() && token(name).0 == name.len()
}

/// Whether `value` may be a field value as it stands: no control but tab, no space or tab at its ends
/// (RFC 9110 section 5.5). The empty value is valid.
#[inline]
pub fn is_valid_value(value_bytes: &[u8]) -> bool {
    value(value_bytes) == value_bytes.len() && trim(value_bytes).len() == value_bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_exactly_the_tchars_of_rfc_9110() {
        for b in 0..=255u8 {
            let tchar = b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
            assert_eq!(token(&[b]), (usize::from(tchar), b == b'_'), "{b:#x}");
        }
    }

    #[test]
    fn values_stop_at_every_control_but_tab_wherever_it_stands() {
        for b in 0..=255u8 {
            for at in 0..24 {
                let mut bytes = [b'a'; 24];
                bytes[at] = b;
                let bad = (b < 0x20 && b != b'\t') || b == 0x7f;
                assert_eq!(value(&bytes), if bad { at } else { 24 }, "{b:#x} at {at}");
            }
        }
    }

    #[test]
    fn targets_never_hold_space_control_fragment_or_non_ascii() {
        for b in 0..=255u8 {
            let bad = b <= b' ' || b >= 0x7f || b"#\"<>".contains(&b);
            let path = [b'/', b];
            let query = [b'/', b'?', b];
            assert_eq!(target(&query) < 3, bad, "{b:#x} in a query");
            if bad || b == b'\\' || b == b'`' {
                assert_eq!(target(&path), 1, "{b:#x} in a path");
            } else {
                assert_eq!(target(&path), 2, "{b:#x} in a path");
            }
        }
    }

    #[test]
    fn surrounding_blanks_are_no_part_of_a_value() {
        assert_eq!(trim(b" \t a b\t "), b"a b");
        assert_eq!(trim(b" \t "), b"");
        assert!(is_valid_value(b"") && is_valid_value(b"a\tb"));
        assert!(!is_valid_value(b" a") && !is_valid_value(b"a\r\nb") && !is_valid_name(b""));
    }
}
