//! A connection's bytes, whatever carries them: TCP, a Unix socket, or TLS over TCP.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::buffer::Buffer;
use super::kernel;

/// How long a TCP connection is silent before the other side's kernel is asked whether it still lives, and after what time
/// and how many questions without an answer it is taken for dead: two minutes in all. A peer that lost its network says
/// nothing; without this a tunnel or an event stream would wait for it as long as it may be idle.
const PROBE_AFTER: Duration = Duration::from_mins(1);
const PROBE_EVERY: Duration = Duration::from_secs(15);
const PROBES: u32 = 4;

/// Has the kernel find out when the other side is gone. What a listening socket is told holds for all that it accepts.
pub(crate) fn watch_for_death(socket: impl AsFd) -> io::Result<()> {
    sockopt::set_tcp_keepidle(&socket, PROBE_AFTER)?;
    sockopt::set_tcp_keepintvl(&socket, PROBE_EVERY)?;
    sockopt::set_tcp_keepcnt(&socket, PROBES)?;
    Ok(sockopt::set_socket_keepalive(&socket, true)?)
}

pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    TlsServer(Box<tokio_rustls::server::TlsStream<TcpStream>>),
    TlsClient(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

/// Runs one expression for whichever socket there is.
macro_rules! each {
    ($self:expr, $socket:ident => $body:expr) => {
        match $self {
            Socket::Tcp($socket) => $body,
            Socket::Unix($socket) => $body,
            Socket::TlsServer($socket) => $body,
            Socket::TlsClient($socket) => $body,
        }
    };
}

impl Socket {
    /// Reads once into the buffer. `Ok(0)` is the end of the stream.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Buffer,
    ) -> Poll<io::Result<usize>> {
        let polled = match self {
            Self::Tcp(socket) => kernel::poll_receive(socket, cx, buffer.room()),
            Self::Unix(socket) => kernel::poll_receive(socket, cx, buffer.room()),
            Self::TlsServer(_) | Self::TlsClient(_) => {
                let mut room = ReadBuf::new(buffer.room());
                let polled = each!(self, socket => Pin::new(socket).poll_read(cx, &mut room));
                let count = room.filled().len();
                polled.map_ok(|()| count)
            }
        };
        polled.map_ok(|count| {
            buffer.filled(count);
            count
        })
    }

    /// Writes once; how much of `bytes` went out.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(socket) => kernel::poll_send(socket, cx, bytes),
            Self::Unix(socket) => kernel::poll_send(socket, cx, bytes),
            Self::TlsServer(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::TlsClient(socket) => Pin::new(socket).poll_write(cx, bytes),
        }
    }

    /// Pushes out what TLS still holds back. Does nothing on the others.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, socket => Pin::new(socket).poll_flush(cx))
    }

    /// Ends our direction.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, socket => Pin::new(socket).poll_shutdown(cx))
    }

    /// Waits until there is something to read, without a buffer in hand, so that idle connections need none.
    /// TLS keeps buffers of its own and answers at once.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
            Self::TlsServer(_) | Self::TlsClient(_) => Poll::Ready(Ok(())),
        }
    }

    /// Whether the other side has said nothing since: neither bytes nor an end. A pooled connection on which there is
    /// something to read is dead or out of step.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        let would_block = |result: io::Result<usize>| matches!(result, Err(e) if e.kind() == io::ErrorKind::WouldBlock);
        match self {
            // Costs a system call only if the reactor has seen an event on it.
            Self::Tcp(stream) => would_block(stream.try_read(&mut byte)),
            Self::Unix(stream) => would_block(stream.try_read(&mut byte)),
            // A TLS 1.3 peer may have sent session tickets, so the records themselves have to be looked at.
            Self::TlsServer(_) | Self::TlsClient(_) => {
                let mut room = ReadBuf::new(&mut byte);
                let mut cx = Context::from_waker(Waker::noop());
                each!(self, socket => Pin::new(socket).poll_read(&mut cx, &mut room)).is_pending()
            }
        }
    }

    /// How many bytes the other side's kernel has acknowledged, where that can be told.
    pub(crate) fn bytes_acknowledged(&self) -> Option<u64> {
        match self {
            Self::Tcp(stream) => crate::sys::tcp_bytes_acknowledged(stream).ok(),
            // With what TLS adds to them.
            Self::TlsServer(tls) => crate::sys::tcp_bytes_acknowledged(tls.get_ref().0).ok(),
            // Those of an upstream are compared with bytes before TLS.
            Self::Unix(_) | Self::TlsClient(_) => None,
        }
    }

    /// Makes the coming close a reset. TLS ends without its closing alert, which says the same.
    pub(crate) fn reset(&self) {
        if let Self::Tcp(stream) = self {
            // A socket that cannot be told closes in order, which is all that is left.
            stream.set_zero_linger().ok();
        }
    }

    /// Whether the two sides agreed on HTTP/2 when they agreed on TLS (ALPN, RFC 7301).
    pub(crate) fn agreed_on_http2(&self) -> bool {
        let agreed = match self {
            Self::Tcp(_) | Self::Unix(_) => None,
            Self::TlsServer(tls) => tls.get_ref().1.alpn_protocol(),
            Self::TlsClient(tls) => tls.get_ref().1.alpn_protocol(),
        };
        agreed == Some(b"h2")
    }

    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::TlsServer(_) | Self::TlsClient(_))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self.get_mut(), socket => Pin::new(socket).poll_read(cx, into))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write(self.get_mut(), cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), socket => Pin::new(socket).poll_write_vectored(cx, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        each!(self, socket => socket.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_flush(self.get_mut(), cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_shutdown(self.get_mut(), cx)
    }
}
