//! The line before each chunk: its size and extensions (RFC 9112 section 7.1).

use crate::charset;
use crate::error::BodyError;
use crate::limits::Limits;

/// Sixteen hex digits fill 64 bits.
const MAX_DIGITS: u8 = 16;

/// Reads one chunk-size line byte by byte.
///
/// ```text
/// chunk-size [ *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ) ] CRLF
/// ```
///
/// Extensions mean nothing to us and are not passed on, but they must be ones: what hides in there, an
/// extra CR or a quote across lines, is where readers disagree on the line's end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChunkLine {
    size: u64,
    digits: u8,
    /// Bytes of this line so far.
    len: usize,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Size,
    /// White space that only a `;` may end.
    BeforeSemicolon,
    BeforeName,
    Name,
    /// White space after a name: `=` or `;` may follow.
    AfterName,
    BeforeValue,
    Value,
    Quoted,
    Escaped,
    AfterQuoted,
    LineFeed,
}

/// What follows the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) size: u64,
    /// How much of the line was extensions.
    pub(crate) extension_bytes: usize,
}

impl ChunkLine {
    pub(crate) const START: Self = Self {
        size: 0,
        digits: 0,
        len: 0,
        place: Place::Size,
    };

    /// Takes the next byte. `Some` when it ended the line.
    #[inline]
    pub(crate) fn take(&mut self, byte: u8, limits: &Limits) -> Result<Option<Ended>, BodyError> {
        if self.place == Place::LineFeed {
            return match byte {
                b'\n' => Ok(Some(Ended {
                    size: self.size,
                    extension_bytes: self.len - usize::from(self.digits),
                })),
                _ => Err(BodyError::InvalidChunkEnd),
            };
        }
        if byte == b'\r' && self.may_end() {
            self.place = Place::LineFeed;
            return Ok(None);
        }
        self.len += 1;
        if self.len > limits.chunk_line_bytes {
            return Err(BodyError::ChunkLineTooLong);
        }
        self.place = self.next(byte)?;
        Ok(None)
    }

    fn may_end(&self) -> bool {
        match self.place {
            Place::Size => self.digits > 0,
            Place::Name | Place::Value | Place::AfterQuoted => true,
            _ => false,
        }
    }

    #[inline]
    fn next(&mut self, byte: u8) -> Result<Place, BodyError> {
        if self.place == Place::Size {
            return self.next_in_size(byte);
        }
        let blank = matches!(byte, b' ' | b'\t');
        let token = charset::token(&[byte]).0 == 1;
        let next = match (self.place, byte) {
            (Place::BeforeSemicolon, b';') => Place::BeforeName,
            (
                Place::BeforeSemicolon | Place::BeforeName | Place::AfterName | Place::BeforeValue,
                _,
            ) if blank => self.place,
            (Place::BeforeName | Place::Name, _) if token => Place::Name,
            (Place::Name | Place::AfterName, b'=') => Place::BeforeValue,
            (Place::Name | Place::AfterName | Place::Value | Place::AfterQuoted, b';') => {
                Place::BeforeName
            }
            (Place::Name, _) if blank => Place::AfterName,
            (Place::BeforeValue, b'"') => Place::Quoted,
            (Place::BeforeValue | Place::Value, _) if token => Place::Value,
            (Place::Value | Place::AfterQuoted, _) if blank => Place::BeforeSemicolon,
            (Place::Quoted, b'"') => Place::AfterQuoted,
            (Place::Quoted, b'\\') => Place::Escaped,
            (Place::Quoted | Place::Escaped, _) if charset::value(&[byte]) == 1 => Place::Quoted,
            _ => return Err(BodyError::InvalidChunkExtension),
        };
        Ok(next)
    }

    #[inline]
    fn next_in_size(&mut self, byte: u8) -> Result<Place, BodyError> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b';' if self.digits > 0 => return Ok(Place::BeforeName),
            b' ' | b'\t' if self.digits > 0 => return Ok(Place::BeforeSemicolon),
            _ => return Err(BodyError::InvalidChunkSize),
        };
        if self.digits == MAX_DIGITS {
            return Err(BodyError::InvalidChunkSize);
        }
        self.digits += 1;
        self.size = self.size << 4 | u64::from(digit);
        // What a program with signed numbers would take for a negative size.
        if self.size > i64::MAX as u64 {
            return Err(BodyError::InvalidChunkSize);
        }
        Ok(Place::Size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &[u8]) -> Result<Option<Ended>, BodyError> {
        let mut state = ChunkLine::START;
        for &byte in line {
            if let Some(ended) = state.take(byte, &Limits::default())? {
                return Ok(Some(ended));
            }
        }
        Ok(None)
    }

    #[test]
    fn sizes() {
        for (line, size) in [
            (&b"0\r\n"[..], 0),
            (b"a\r\n", 10),
            (b"Ff\r\n", 255),
            (b"0000000000000005\r\n", 5),
            (b"7fffffffffffffff\r\n", i64::MAX as u64),
        ] {
            let ended = Ended {
                size,
                extension_bytes: 0,
            };
            assert_eq!(read(line), Ok(Some(ended)), "{line:?}");
        }
        for line in [
            "\r\n",
            " 5\r\n",
            "\t5\r\n",
            "+5\r\n",
            "-5\r\n",
            "0x5\r\n",
            "5x\r\n",
            "0_5\r\n",
            "5h\r\n",
            "00000000000000005\r\n",
            "8000000000000000\r\n",
            "ffffffffffffffff\r\n",
            ";a\r\n",
            "5,\r\n",
            "\n",
            "5\n",
            "\0",
            "5.0\r\n",
            "\u{665}\r\n",
            "\"5\"\r\n",
        ] {
            assert_eq!(
                read(line.as_bytes()),
                Err(BodyError::InvalidChunkSize),
                "{line:?}"
            );
        }
    }

    #[test]
    fn extensions() {
        for line in [
            "5;a\r\n",
            "5;a=b\r\n",
            "5;a=\"b\"\r\n",
            "5 ; a = b\r\n",
            "5\t;a;b;c=d\r\n",
            "5;a=\"\"\r\n",
            "5;a=\"\\\"\"\r\n",
            "5;a=\"x;y=z \"\r\n",
            "5;a=\"b\" ;c\r\n",
            "5;a ;b\r\n",
        ] {
            let ended = read(line.as_bytes())
                .expect("a valid line")
                .expect("an ended line");
            assert_eq!(
                (ended.size, ended.extension_bytes),
                (5, line.len() - 3),
                "{line:?}"
            );
        }
        for line in [
            "5;\r\n",
            "5; \r\n",
            "5 \r\n",
            "5 a\r\n",
            "5;a=\r\n",
            "5;a= \r\n",
            "5;a b\r\n",
            "5;a \r\n",
            "5;a=b \r\n",
            "5;a=b c\r\n",
            "5;a=\"b\r\n",
            "5;a=\"b\r\n\"\r\n",
            "5;a=\"\\\r\n\"\r\n",
            "5;=b\r\n",
            "5;;a\r\n",
            "5;a=b=c\r\n",
            "5;a\n",
            "5;a=\"b\n\"\r\n",
            "5;a\0\r\n",
            "5;a=\"\u{7f}\"\r\n",
            "5 \r;a\r\n",
        ] {
            let refused = Err(BodyError::InvalidChunkExtension);
            assert_eq!(read(line.as_bytes()), refused, "{line:?}");
        }
        for line in ["5\r\r;abcd\r\n", "5\rX", "5;a\r\r\n", "5;a=b\rX\n"] {
            assert_eq!(
                read(line.as_bytes()),
                Err(BodyError::InvalidChunkEnd),
                "{line:?}"
            );
        }
    }

    #[test]
    fn lines_are_bounded() {
        let line = format!("5;{}\r\n", "a".repeat(254));
        assert!(read(line.as_bytes()).is_ok_and(|ended| ended.is_some()));
        let line = format!("5;{}\r\n", "a".repeat(255));
        assert_eq!(read(line.as_bytes()), Err(BodyError::ChunkLineTooLong));
    }
}
