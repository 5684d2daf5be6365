//! Bodies between the two framings: HTTP/1.1 bytes on the gateway's side, DATA frames and trailers on the peer's.

use std::io;
use std::task::{Context, Poll, ready};

use bastide_http1::{self as http1, BodyDecoder, Limits, ResponseBody, Step, Trailers};
use bytes::{Buf as _, Bytes, BytesMut};
use h2::{RecvStream, SendStream};
use http::HeaderMap;

use super::{append, broken, invalid};
use crate::data::buffer::Buffer;

/// Bytes that are handed on at a time: as many as fit into a frame that every peer takes.
const PIECE: usize = 16 * 1024;

/// A body that is read from a peer.
pub(super) struct Receiving {
    stream: RecvStream,
    /// Came and was not handed on yet.
    data: Bytes,
    /// Whether its length is unknown, so that it is handed on in chunks.
    chunked: bool,
    done: bool,
}

impl Receiving {
    pub(super) fn new(stream: RecvStream, chunked: bool) -> Self {
        Self {
            stream,
            data: Bytes::new(),
            chunked,
            done: false,
        }
    }

    /// Whether all of it was handed on.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Hands on the next piece; `Ok(0)` says that there is none any more.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Buffer,
    ) -> Poll<io::Result<usize>> {
        while self.data.is_empty() && !self.done {
            if let Some(data) = ready!(self.stream.poll_data(cx)) {
                self.data = data.map_err(broken)?;
                continue;
            }
            let trailers = ready!(self.stream.poll_trailers(cx)).map_err(broken)?;
            self.done = true;
            if self.chunked {
                return Poll::Ready(Ok(put_end(buffer, trailers.as_ref())));
            }
        }
        if self.data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let before = buffer.data().len();
        let count = self.data.len().min(PIECE);
        if self.chunked {
            buffer.push(format!("{count:x}\r\n").as_bytes());
        }
        buffer.push(&self.data[..count]);
        if self.chunked {
            buffer.push(b"\r\n");
        }
        self.data.advance(count);
        // The peer may send as much again: what it sends is bounded by what is handed on.
        self.stream
            .flow_control()
            .release_capacity(count)
            .map_err(broken)?;
        Poll::Ready(Ok(buffer.data().len() - before))
    }
}

/// Ends a body of chunks, with its trailers.
fn put_end(buffer: &mut Buffer, trailers: Option<&HeaderMap>) -> usize {
    let mut end = b"0\r\n".to_vec();
    for (name, value) in trailers.into_iter().flatten() {
        // A value that HTTP/1.1 cannot carry is none that the gateway passes on.
        http1::write_field(&mut end, name.as_str().as_bytes(), value.as_bytes()).ok();
    }
    end.extend_from_slice(b"\r\n");
    buffer.push(&end);
    end.len()
}

/// A body that is written to a peer.
pub(super) struct Sending {
    stream: SendStream<Bytes>,
    decoder: BodyDecoder,
    /// Taken out of the framing; the peer did not permit it yet. One piece at most.
    waiting: BytesMut,
    ended: bool,
}

impl Sending {
    pub(super) fn new(
        stream: SendStream<Bytes>,
        body: impl Into<ResponseBody>,
        limits: &Limits,
    ) -> Self {
        Self {
            stream,
            decoder: BodyDecoder::new(body, limits),
            waiting: BytesMut::new(),
            ended: false,
        }
    }

    /// A message whose end went out with its head.
    pub(super) fn ended(stream: SendStream<Bytes>) -> Self {
        Self {
            ended: true,
            ..Self::new(stream, ResponseBody::None, &Limits::default())
        }
    }

    /// Takes framed bytes, no more than one piece beyond what the peer permits.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx))?;
        if self.ended {
            return Poll::Ready(Err(invalid("bytes after the end of a message")));
        }
        let mut taken = 0;
        while taken < bytes.len() {
            let is_done = self.unframe(bytes, &mut taken)?;
            // Whoever flushes learns whether it may go out.
            if self.poll_flush(cx)?.is_pending() || is_done {
                break;
            }
        }
        Poll::Ready(Ok(taken))
    }

    /// Takes a piece out of its framing. Says whether it was the last.
    fn unframe(&mut self, bytes: &[u8], taken: &mut usize) -> io::Result<bool> {
        self.waiting.reserve(PIECE.min(bytes.len() - *taken));
        loop {
            let room = PIECE - self.waiting.len();
            let rest = &bytes[*taken..];
            let rest = &rest[..rest.len().min(room)];
            match self.decoder.decode(rest).map_err(invalid)? {
                Step::Data { consumed, data } => {
                    self.waiting.extend_from_slice(&rest[data]);
                    *taken += consumed;
                }
                Step::More { consumed } => {
                    *taken += consumed;
                    return Ok(false);
                }
                Step::Done { consumed } => {
                    *taken += consumed;
                    return Ok(true);
                }
            }
        }
    }

    /// Ready when all that was written is the connection's to send.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            self.stream.reserve_capacity(self.waiting.len());
            // What is there is not told of again.
            while self.stream.capacity() == 0 {
                match ready!(self.stream.poll_capacity(cx)) {
                    Some(permitted) => drop(permitted.map_err(broken)?),
                    None => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                }
            }
            let permitted = self.stream.capacity().min(self.waiting.len());
            let piece = self.waiting.split_to(permitted);
            let is_last = self.waiting.is_empty()
                && self.decoder.is_done()
                && self.decoder.trailers().is_empty();
            self.ended |= is_last;
            self.stream
                .send_data(piece.freeze(), is_last)
                .map_err(broken)?;
        }
        if self.decoder.is_done() && !self.ended {
            self.ended = true;
            if self.decoder.trailers().is_empty() {
                self.stream.send_data(Bytes::new(), true)
            } else {
                self.stream
                    .send_trailers(trailers(self.decoder.trailers())?)
            }
            .map_err(broken)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Ready, with an error, when the peer no longer wants it.
    pub(super) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.stream.poll_reset(cx).map(|reason| match reason {
            Ok(reason) => broken(reason.into()),
            Err(error) => broken(error),
        })
    }

    pub(super) fn reset(&mut self) {
        self.stream.send_reset(h2::Reason::INTERNAL_ERROR);
    }
}

fn trailers(from: &Trailers) -> io::Result<HeaderMap> {
    let mut fields = HeaderMap::new();
    append(from.iter(), &mut fields)?;
    Ok(fields)
}
