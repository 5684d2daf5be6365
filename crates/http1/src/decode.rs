//! Taking a body out of the bytes that carry it.

use std::ops::Range;

use crate::chunk_line::ChunkLine;
use crate::error::BodyError;
use crate::limits::Limits;
use crate::response::ResponseBody;
use crate::trailers::Trailers;

/// What one call of [`BodyDecoder::decode`] found. `consumed` bytes of the input are dealt with; the
/// next call starts behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// Body data: `data` is a range of the input and not empty.
    Data {
        /// Bytes of the input that are dealt with; never less than `data.end`.
        consumed: usize,
        /// Where the data is.
        data: Range<usize>,
    },
    /// The input is used up and the body goes on.
    More {
        /// Bytes of the input that are dealt with: all of them.
        consumed: usize,
    },
    /// The body is complete. What follows belongs to the next message.
    Done {
        /// Bytes of the input that belonged to this body.
        consumed: usize,
    },
}

#[derive(Debug, Clone, Copy)]
enum State {
    Length(u64),
    UntilClose,
    ChunkLine(ChunkLine),
    Chunk(u64),
    ChunkCr,
    ChunkLf,
    Trailers,
    Done,
    Failed(BodyError),
}

/// Takes a body apart without copying it. Reusable by [`reset`](Self::reset).
///
/// How the input is cut has no influence on the data, and bytes behind the body are left alone.
#[derive(Debug, Clone)]
pub struct BodyDecoder {
    state: State,
    limits: Limits,
    extension_bytes: usize,
    trailers: Trailers,
}

impl BodyDecoder {
    /// A decoder for a body framed like this.
    pub fn new(body: impl Into<ResponseBody>, limits: &Limits) -> Self {
        Self {
            state: start(body.into()),
            limits: *limits,
            extension_bytes: 0,
            trailers: Trailers::default(),
        }
    }

    /// Starts over with another body and keeps the buffers.
    pub fn reset(&mut self, body: impl Into<ResponseBody>) {
        self.state = start(body.into());
        self.extension_bytes = 0;
        self.trailers.clear();
    }

    /// Takes the next piece out of `input`.
    ///
    /// Call it while it returns [`Step::Data`]; on [`Step::More`] bring further input.
    ///
    /// # Errors
    ///
    /// [`BodyError`] says why; the connection must be closed. Later calls return it again.
    pub fn decode(&mut self, input: &[u8]) -> Result<Step, BodyError> {
        self.advance(input)
            .inspect_err(|error| self.state = State::Failed(*error))
    }

    fn advance(&mut self, input: &[u8]) -> Result<Step, BodyError> {
        let mut at = 0;
        loop {
            if let State::Done = self.state {
                return Ok(Step::Done { consumed: at });
            }
            let Some(&byte) = input.get(at) else {
                return match self.state {
                    State::Failed(error) => Err(error),
                    _ => Ok(Step::More { consumed: at }),
                };
            };
            match &mut self.state {
                State::Done => {}
                State::Failed(error) => return Err(*error),
                State::UntilClose => return Ok(data(at, input.len())),
                State::Length(left) => {
                    let taken = at_most(*left, input.len() - at);
                    *left -= taken as u64;
                    if *left == 0 {
                        self.state = State::Done;
                    }
                    return Ok(data(at, at + taken));
                }
                State::Chunk(left) => {
                    let taken = at_most(*left, input.len() - at);
                    *left -= taken as u64;
                    if *left == 0 {
                        self.state = State::ChunkCr;
                    }
                    return Ok(data(at, at + taken));
                }
                State::ChunkLine(line) => {
                    let ended = line.take(byte, &self.limits)?;
                    at += 1;
                    if let Some(ended) = ended {
                        self.extension_bytes += ended.extension_bytes;
                        if self.extension_bytes > self.limits.chunk_extension_bytes {
                            return Err(BodyError::ChunkLineTooLong);
                        }
                        self.state = match ended.size {
                            0 => State::Trailers,
                            size => State::Chunk(size),
                        };
                    }
                }
                State::ChunkCr if byte == b'\r' => {
                    self.state = State::ChunkLf;
                    at += 1;
                }
                State::ChunkLf if byte == b'\n' => {
                    self.state = State::ChunkLine(ChunkLine::START);
                    at += 1;
                }
                State::ChunkCr | State::ChunkLf => return Err(BodyError::InvalidChunkEnd),
                State::Trailers => {
                    let (taken, over) = self.trailers.take_line(&input[at..], &self.limits)?;
                    at += taken;
                    if over {
                        self.state = State::Done;
                    }
                }
            }
        }
    }

    /// Tells that the connection has ended. A body that goes on until then is complete.
    ///
    /// # Errors
    ///
    /// [`BodyError::Truncated`] when more of the body was due.
    pub fn end_of_input(&mut self) -> Result<(), BodyError> {
        match self.state {
            State::Done => Ok(()),
            State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            State::Failed(error) => Err(error),
            _ => {
                self.state = State::Failed(BodyError::Truncated);
                Err(BodyError::Truncated)
            }
        }
    }

    /// Whether the whole body has been taken.
    #[inline]
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// How many bytes are to come, where that is known.
    pub fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            State::Done => Some(0),
            _ => None,
        }
    }

    /// The trailers, once the body is done.
    pub fn trailers(&self) -> &Trailers {
        &self.trailers
    }
}

fn start(body: ResponseBody) -> State {
    match body {
        ResponseBody::None | ResponseBody::Length(0) => State::Done,
        ResponseBody::Length(length) => State::Length(length),
        ResponseBody::Chunked => State::ChunkLine(ChunkLine::START),
        ResponseBody::UntilClose => State::UntilClose,
    }
}

fn data(start: usize, end: usize) -> Step {
    Step::Data {
        consumed: end,
        data: start..end,
    }
}

fn at_most(left: u64, available: usize) -> usize {
    usize::try_from(left).map_or(available, |left| left.min(available))
}
