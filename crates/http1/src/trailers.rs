//! The trailer section behind a chunked body (RFC 9112 section 7.1.2).

use std::fmt;

use memchr::memchr;

use crate::error::{BodyError, FieldError};
use crate::field::{self, Field};
use crate::known::Known;
use crate::limits::Limits;

/// Fields that came after a chunked body.
///
/// Those that would change how the message was framed, routed, authenticated or read (RFC 9110 section
/// 6.5.1), and those a gateway sets itself, are not among them: it is too late for them, and a program
/// that merges trailers into the head would believe them.
#[derive(Clone, Default)]
pub struct Trailers {
    bytes: Vec<u8>,
    fields: Vec<Field>,
    /// Where the line starts that is being collected.
    line: usize,
    lines: usize,
}

impl Trailers {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.fields.clear();
        self.line = 0;
        self.lines = 0;
    }

    /// Whether none came, or none that may be passed on.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The fields as name and value, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields
            .iter()
            .map(|field| (field.name.of(&self.bytes), field.value.of(&self.bytes)))
    }

    /// The value of the first field of this name, in any letter case.
    pub fn find_name(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Takes the next line out of `input`: how much of it was used, and whether the section is over.
    pub(crate) fn take_line(
        &mut self,
        input: &[u8],
        limits: &Limits,
    ) -> Result<(usize, bool), BodyError> {
        let line_end = memchr(b'\n', input).map(|at| at + 1);
        let piece = &input[..line_end.unwrap_or(input.len())];
        if self.bytes.len() + piece.len() > limits.trailer_bytes {
            return Err(BodyError::TrailersTooLarge);
        }
        self.bytes.extend_from_slice(piece);
        if line_end.is_none() {
            return Ok((piece.len(), false));
        }
        if &self.bytes[self.line..] == b"\r\n" {
            return Ok((piece.len(), true));
        }
        self.lines += 1;
        if self.lines > limits.field_count() {
            return Err(BodyError::TrailersTooLarge);
        }
        // The collected line ends at its first line feed, so it is either read whole or refused.
        let (field, next) = field::parse_line(&self.bytes, self.line)?.ok_or(FieldError::BareLf)?;
        self.line = next;
        if is_allowed(field) {
            self.fields.push(field);
        }
        Ok((piece.len(), false))
    }
}

/// `hop` marks, in a trailer, a name that is hop-by-hop or an alias of a known one.
fn is_allowed(field: Field) -> bool {
    !field.hop && field.known.is_allowed_in_trailers()
}

/// Whether a trailer of this name may be sent or passed on.
pub(crate) fn is_allowed_name(name: &[u8]) -> bool {
    match Known::of(name) {
        Known::Other => Known::aliased_by(name) == Known::Other,
        known => known.is_allowed_in_trailers(),
    }
}

/// The number of fields: their values may be secret.
impl fmt::Debug for Trailers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trailers")
            .field("fields", &self.fields.len())
            .finish_non_exhaustive()
    }
}
