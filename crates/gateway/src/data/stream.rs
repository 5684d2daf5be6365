//! What a message is read from or written to: a connection of its own that speaks HTTP/1.1, or one exchange of a shared
//! HTTP/2 connection, which reads and writes the same bytes.

use std::io;
use std::task::{Context, Poll};

use super::buffer::Buffer;
use super::socket::Socket;
use crate::http2::{Inbound, Outbound};

pub(crate) enum Stream {
    Socket(Socket),
    /// A client's request.
    Inbound(Box<Inbound>),
    /// A request to an upstream.
    Outbound(Box<Outbound>),
}

impl Stream {
    /// Reads once into the buffer. `Ok(0)` is the end of the stream.
    #[inline]
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Buffer,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Socket(socket) => socket.poll_fill(cx, buffer),
            Self::Inbound(exchange) => exchange.poll_fill(cx, buffer),
            Self::Outbound(exchange) => exchange.poll_fill(cx, buffer),
        }
    }

    /// Writes once; how much of `bytes` went out.
    #[inline]
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Socket(socket) => socket.poll_write(cx, bytes),
            Self::Inbound(exchange) => exchange.poll_write(cx, bytes),
            Self::Outbound(exchange) => exchange.poll_write(cx, bytes),
        }
    }

    /// Pushes out what TLS or flow control still hold back.
    #[inline]
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Socket(socket) => socket.poll_flush(cx),
            Self::Inbound(exchange) => exchange.poll_flush(cx),
            Self::Outbound(exchange) => exchange.poll_flush(cx),
        }
    }

    /// Ends our direction. An exchange of HTTP/2 ends with its message.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Socket(socket) => socket.poll_shutdown(cx),
            Self::Inbound(_) | Self::Outbound(_) => Poll::Ready(Ok(())),
        }
    }

    /// Waits until there is something to read, without a buffer in hand, so that idle connections need none.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Socket(socket) => socket.poll_readable(cx),
            Self::Inbound(_) | Self::Outbound(_) => Poll::Ready(Ok(())),
        }
    }

    /// Whether the other side has said nothing since: neither bytes nor an end. A pooled connection on which there is
    /// something to read is dead or out of step.
    pub(crate) fn is_quiet(&mut self) -> bool {
        match self {
            Self::Socket(socket) => socket.is_quiet(),
            Self::Inbound(_) | Self::Outbound(_) => false,
        }
    }

    /// How many bytes the other side's kernel has acknowledged, where that can be told.
    pub(crate) fn bytes_acknowledged(&self) -> Option<u64> {
        match self {
            Self::Socket(socket) => socket.bytes_acknowledged(),
            Self::Inbound(_) | Self::Outbound(_) => None,
        }
    }

    /// Makes the coming close one that nobody takes for an orderly end.
    pub(crate) fn reset(&mut self) {
        match self {
            Self::Socket(socket) => socket.reset(),
            Self::Inbound(exchange) => exchange.reset(),
            // An exchange that is dropped before its end is cancelled.
            Self::Outbound(_) => {}
        }
    }

    /// Whether what was written may still be held back.
    #[inline]
    pub(crate) fn holds_back(&self) -> bool {
        match self {
            Self::Socket(socket) => socket.is_tls(),
            Self::Inbound(_) | Self::Outbound(_) => true,
        }
    }
}

impl From<Socket> for Stream {
    fn from(socket: Socket) -> Self {
        Self::Socket(socket)
    }
}
