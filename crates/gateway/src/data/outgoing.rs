//! Bytes on their way out: framed into one buffer, written in as few calls as the socket allows.

use std::io;
use std::task::{Context, Poll, ready};

use super::stream::Stream;

/// From here on nothing more is put in before something went out: this bounds the memory of one direction.
pub(crate) const HIGH_WATER: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    pub(crate) bytes: Vec<u8>,
    sent: usize,
    /// Bytes that ever went out through it.
    total: u64,
}

impl Outgoing {
    /// Uses a buffer again.
    pub(crate) fn over(mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        Self {
            bytes,
            sent: 0,
            total: 0,
        }
    }

    /// The buffer, for the next user.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// How many bytes still have to go.
    pub(crate) fn pending(&self) -> usize {
        self.bytes.len() - self.sent
    }

    pub(crate) fn is_full(&self) -> bool {
        self.pending() >= HIGH_WATER
    }

    /// Whether nothing is left to do: what was written may still be held back by TLS or flow control, and counts until then.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Writes until all is out, also out of what TLS or flow control hold back.
    pub(crate) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
    ) -> Poll<io::Result<()>> {
        if self.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while self.sent < self.bytes.len() {
            let Poll::Ready(written) = stream.poll_write(cx, &self.bytes[self.sent..]) else {
                self.let_go_of_sent();
                return Poll::Pending;
            };
            let count = written?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += count;
            self.total += count as u64;
        }
        if stream.holds_back() {
            ready!(stream.poll_flush(cx))?;
        }
        self.clear();
        Poll::Ready(Ok(()))
    }

    /// A receiver that never quite keeps up must not make the buffer hold all that ever went through it.
    fn let_go_of_sent(&mut self) {
        if self.sent >= HIGH_WATER {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Bytes that ever went out.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.sent = 0;
        // One large response must not leave every later one with its buffer.
        if self.bytes.capacity() > 4 * HIGH_WATER {
            self.bytes.shrink_to(HIGH_WATER);
        }
    }
}
