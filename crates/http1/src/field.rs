//! Field lines: where their parts are, and how one is read.

use crate::charset;
use crate::error::FieldError;
use crate::known::Known;

/// A range of bytes in the head that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    #[inline]
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self {
            start: start as u32,
            end: end as u32,
        }
    }

    /// How many bytes it covers.
    #[inline]
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether it covers none.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    #[inline]
    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..self.end as usize]
    }
}

/// One field line of a head or trailer section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// The name, in the letter case it came in.
    pub name: Span,
    /// The value without the white space around it.
    pub value: Span,
    /// Which name it is.
    pub known: Known,
    /// Whether it ends here and must not be forwarded: it is hop-by-hop by definition or nominated in
    /// `Connection` (RFC 9110 section 7.6.1), it repeats or contradicts the framing that was decided
    /// on, or its name becomes a [`Known`] one where `_` is read as `-`.
    pub hop: bool,
}

/// Reads the field line at `at`. `None` when its CRLF is not there yet; otherwise the field and where
/// the next line starts.
#[inline]
pub(crate) fn parse_line(input: &[u8], at: usize) -> Result<Option<(Field, usize)>, FieldError> {
    let rest = &input[at..];
    let name_len = charset::name(rest);
    let name = &rest[..name_len];
    // A known name needs no look at its bytes: it equals one.
    let known = Known::of(name);
    let underscore = if known == Known::Other {
        let (token_len, underscore) = charset::token(name);
        if token_len < name_len {
            return Err(FieldError::InvalidName);
        }
        underscore
    } else {
        false
    };
    match &rest[name_len..] {
        [b':', ..] if name_len > 0 => {}
        [] => return Ok(None),
        stop => return refuse_name(stop, name_len),
    }
    let mut from = name_len + 1;
    while let Some(b' ' | b'\t') = rest.get(from) {
        from += 1;
    }
    let stop = from + charset::value(&rest[from..]);
    match &rest[stop..] {
        [b'\r', b'\n', ..] => {}
        [] | [b'\r'] => return Ok(None),
        [b'\r', ..] => return Err(FieldError::BareCr),
        [b'\n', ..] => return Err(FieldError::BareLf),
        _ => return Err(FieldError::InvalidValue),
    }
    let mut end = stop;
    while end > from && matches!(rest[end - 1], b' ' | b'\t') {
        end -= 1;
    }
    let mut hop = known.is_hop_by_hop();
    if underscore {
        match Known::aliased_by(name) {
            Known::Other => {}
            Known::ContentLength | Known::TransferEncoding => return Err(FieldError::FramingAlias),
            _ => hop = true,
        }
    }
    let field = Field {
        name: Span::new(at, at + name_len),
        value: Span::new(at + from, at + end),
        known,
        hop,
    };
    Ok(Some((field, at + stop + 2)))
}

/// Says what is wrong where a name ends and no colon comes.
#[cold]
fn refuse_name(rest: &[u8], name_len: usize) -> Result<Option<(Field, usize)>, FieldError> {
    Err(match rest {
        [b' ' | b'\t', ..] if name_len == 0 => FieldError::Folded,
        [b' ' | b'\t', ..] => FieldError::SpaceBeforeColon,
        [b':', ..] => FieldError::EmptyName,
        [b'\r'] => return Ok(None),
        [b'\r', b'\n', ..] => FieldError::MissingColon,
        [b'\r', ..] => FieldError::BareCr,
        [b'\n', ..] => FieldError::BareLf,
        _ => FieldError::InvalidName,
    })
}
