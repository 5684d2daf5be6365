//! Putting a body into the bytes that carry it.

use crate::charset;
use crate::error::EncodeError;
use crate::response::ResponseBody;
use crate::trailers;

/// Frames a body and holds it to what its head announced.
///
/// Data goes either through [`encode`](Self::encode), which copies it, or between
/// [`begin`](Self::begin) and [`end`](Self::end), so that the caller can send large pieces from where
/// they are.
#[derive(Debug, Clone)]
pub struct BodyEncoder {
    state: State,
    /// Between `begin` and `end`.
    open: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Length(u64),
    Chunked,
    UntilClose,
    Finished,
}

impl BodyEncoder {
    /// An encoder for a body framed like this.
    pub fn new(body: impl Into<ResponseBody>) -> Self {
        Self {
            state: match body.into() {
                ResponseBody::None => State::Length(0),
                ResponseBody::Length(length) => State::Length(length),
                ResponseBody::Chunked => State::Chunked,
                ResponseBody::UntilClose => State::UntilClose,
            },
            open: false,
        }
    }

    /// Writes what stands before `len` bytes of data, which the caller then sends itself. Nothing for
    /// `len` 0: an empty chunk would end the body.
    ///
    /// # Errors
    ///
    /// [`EncodeError::Overrun`] when that is more than announced, [`EncodeError::OutOfOrder`] after
    /// another `begin` or after the end.
    #[inline]
    pub fn begin(&mut self, len: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if self.open {
            return Err(EncodeError::OutOfOrder);
        }
        match &mut self.state {
            State::Finished => return Err(EncodeError::OutOfOrder),
            State::Length(left) => {
                *left = left.checked_sub(len as u64).ok_or(EncodeError::Overrun)?;
            }
            State::Chunked if len > 0 => write_size(len, out),
            State::Chunked | State::UntilClose => {}
        }
        self.open = len > 0;
        Ok(())
    }

    /// Writes what stands behind the data of the last [`begin`](Self::begin).
    ///
    /// # Errors
    ///
    /// [`EncodeError::OutOfOrder`] after the end of the body.
    #[inline]
    pub fn end(&mut self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self.state {
            State::Finished => return Err(EncodeError::OutOfOrder),
            State::Chunked if self.open => out.extend_from_slice(b"\r\n"),
            _ => {}
        }
        self.open = false;
        Ok(())
    }

    /// Writes a piece of the body with what stands around it.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    #[inline]
    pub fn encode(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.begin(data.len(), out)?;
        out.extend_from_slice(data);
        self.end(out)
    }

    /// Writes the end of the body with its trailers.
    ///
    /// Trailers are dropped where the framing has no place for them (all but chunked), and those that
    /// must not be sent (see [`Trailers`](crate::Trailers)) are dropped always.
    ///
    /// # Errors
    ///
    /// [`EncodeError::Underrun`] when data is missing: the connection must be closed, as the peer waits
    /// for it. [`EncodeError::InvalidName`] and [`EncodeError::InvalidValue`] for a bad trailer;
    /// nothing is written then.
    pub fn finish<'a>(
        &mut self,
        trailers: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        if self.open {
            return Err(EncodeError::OutOfOrder);
        }
        match self.state {
            State::Finished => return Err(EncodeError::OutOfOrder),
            State::Length(1..) => return Err(EncodeError::Underrun),
            State::Length(0) | State::UntilClose => {}
            State::Chunked => {
                let start = out.len();
                out.extend_from_slice(b"0\r\n");
                for (name, value) in trailers {
                    if let Err(error) = write_trailer(name, value, out) {
                        out.truncate(start);
                        return Err(error);
                    }
                }
                out.extend_from_slice(b"\r\n");
            }
        }
        self.state = State::Finished;
        Ok(())
    }

    /// How many bytes are still due, where a length was announced.
    pub fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            State::Finished => Some(0),
            State::Chunked | State::UntilClose => None,
        }
    }

    /// Whether [`finish`](Self::finish) has been called.
    pub fn is_finished(&self) -> bool {
        self.state == State::Finished
    }
}

fn write_trailer(name: &[u8], value: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if !charset::is_valid_name(name) {
        return Err(EncodeError::InvalidName);
    }
    if trailers::is_allowed_name(name) {
        crate::write::write_field(out, name, value)?;
    }
    Ok(())
}

/// Writes a chunk's size line.
#[inline]
fn write_size(len: usize, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut line = [0; 18];
    line[16..].copy_from_slice(b"\r\n");
    let mut from = 16;
    let mut rest = len;
    while rest > 0 {
        from -= 1;
        line[from] = DIGITS[rest % 16];
        rest /= 16;
    }
    out.extend_from_slice(&line[from..]);
}
