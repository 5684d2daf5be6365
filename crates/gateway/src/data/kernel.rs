//! Receiving and sending on a socket by the system calls alone.
//!
//! libc's `recv` and `send` are points at which a thread may be cancelled, and pay for that with every call; `rustix` asks the
//! kernel without them.

use std::io;
use std::os::fd::AsFd;
use std::task::{Context, Poll, ready};

use rustix::net::{RecvFlags, SendFlags};
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

/// A socket whose readiness tokio knows.
pub(super) trait Watched: AsFd {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Runs an operation; when it would block the socket is no longer taken for ready.
    fn attempt(
        &self,
        interest: Interest,
        operation: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()>;
}

macro_rules! watched {
    ($($stream:ty)*) => {$(
        impl Watched for $stream {
            #[inline]
            fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_read_ready(cx)
            }

            #[inline]
            fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_write_ready(cx)
            }

            #[inline]
            fn attempt(
                &self,
                interest: Interest,
                operation: impl FnOnce() -> io::Result<()>,
            ) -> io::Result<()> {
                self.try_io(interest, operation)
            }
        }
    )*};
}

watched!(TcpStream UnixStream);

/// Reads once; 0 is the end of the stream.
#[inline]
pub(super) fn poll_receive(
    socket: &impl Watched,
    cx: &mut Context<'_>,
    room: &mut [u8],
) -> Poll<io::Result<usize>> {
    let size = room.len();
    loop {
        ready!(socket.poll_readable(cx))?;
        let mut count = 0;
        let result = socket.attempt(Interest::READABLE, || {
            (count, _) = rustix::net::recv(socket, &mut *room, RecvFlags::empty())?;
            spent(count, size)
        });
        if let Some(done) = settle(result, count) {
            return Poll::Ready(done);
        }
    }
}

/// Writes once; how much of `bytes` went out.
#[inline]
pub(super) fn poll_send(
    socket: &impl Watched,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    loop {
        ready!(socket.poll_writable(cx))?;
        let mut count = 0;
        let result = socket.attempt(Interest::WRITABLE, || {
            count = rustix::net::send(socket, bytes, SendFlags::NOSIGNAL)?;
            spent(count, bytes.len())
        });
        if let Some(done) = settle(result, count) {
            return Poll::Ready(done);
        }
    }
}

/// Less than was asked for is all there was: the next call would block, and need not be made to find that out.
fn spent(count: usize, asked: usize) -> io::Result<()> {
    if 0 < count && count < asked {
        Err(io::ErrorKind::WouldBlock.into())
    } else {
        Ok(())
    }
}

/// What came of it; `None` where it has to wait.
fn settle(result: io::Result<()>, count: usize) -> Option<io::Result<usize>> {
    match result {
        Ok(()) => Some(Ok(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => (count > 0).then_some(Ok(count)),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
        Err(error) => Some(Err(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::net::UnixStream;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn what_is_sent_is_received_and_then_there_is_nothing_until_more_comes() {
        let (a, b) = UnixStream::pair().unwrap();
        let mut room = [0; 8];
        for round in 0..3_u8 {
            let sent = poll_fn(|cx| poll_send(&a, cx, &[round; 5])).await.unwrap();
            let received = poll_fn(|cx| poll_receive(&b, cx, &mut room)).await.unwrap();
            assert_eq!((sent, received, room[4]), (5, 5, round));
            let nothing = poll_fn(|cx| poll_receive(&b, cx, &mut room));
            assert!(timeout(Duration::from_millis(5), nothing).await.is_err());
        }
        drop(a);
        let end = poll_fn(|cx| poll_receive(&b, cx, &mut room)).await.unwrap();
        assert_eq!(end, 0);
    }

    #[tokio::test]
    async fn a_full_socket_is_waited_for() {
        let (a, b) = UnixStream::pair().unwrap();
        let bytes = vec![7; 8 * 1024 * 1024];
        let mut sent = 0;
        let full = async {
            loop {
                sent += poll_fn(|cx| poll_send(&a, cx, &bytes)).await.unwrap();
            }
        };
        assert!(timeout(Duration::from_millis(50), full).await.is_err());
        let mut received = 0;
        let mut room = vec![0; 64 * 1024];
        while received < sent {
            received += poll_fn(|cx| poll_receive(&b, cx, &mut room)).await.unwrap();
        }
        assert_eq!(received, sent);
        assert!(poll_fn(|cx| poll_send(&a, cx, &bytes)).await.unwrap() > 0);
    }
}
