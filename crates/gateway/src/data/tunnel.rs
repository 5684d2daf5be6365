//! After 101 Switching Protocols: bytes both ways, uninterpreted. Nothing becomes a tunnel before the upstream agreed.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bastide_http1::ResponseHead;
use tokio::io::{
    AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf, copy_bidirectional_with_sizes,
};
use tokio::time::{Instant, timeout};

use super::call::Call;
use super::client::Client;
use super::connection::After;
use super::deadline::Deadline;
use super::metrics::{Closed, Traffic};
use super::stream::Stream;
use super::worker::Worker;
use super::{WRITE_TIMEOUT, response_head};
use crate::snapshot::RouteEntry;
use crate::upstream::pool::Connection;

/// Per direction.
const BUFFER: usize = 8 * 1024;

/// Tells the client that the protocol is switched and relays until both sides are done, or nothing has moved for the route's
/// time.
pub(crate) async fn run(
    worker: &Worker,
    client: &mut Client,
    call: &Call<'_>,
    route: &RouteEntry,
    upstream: &mut Connection,
    response: &ResponseHead,
) -> After {
    response_head::write_switch(&mut client.out.bytes, call, route, response);
    client.deadline.set_after(Instant::now(), WRITE_TIMEOUT);
    if client.flush().await.is_err() {
        return After::Cut;
    }
    let received = client.input.take_consumed() + client.input.data().len() as u64;
    client.note_tunnel(Traffic {
        received,
        sent: upstream.buffer.data().len() as u64,
    });
    // Nobody but a connection of its own can have agreed to become something else.
    let (Stream::Socket(near), Stream::Socket(far)) = (&mut client.stream, &mut upstream.stream)
    else {
        return After::Cut;
    };
    let idle = route.times.tunnel_idle;
    let early = timeout(idle, async {
        far.write_all(client.input.data()).await?;
        near.write_all(upstream.buffer.data()).await
    })
    .await;
    worker.give_buffer(std::mem::take(&mut client.input));
    worker.give_buffer(std::mem::take(&mut upstream.buffer));
    let traffic = Cell::default();
    let end = match early {
        Ok(Ok(())) => {
            let near = Metered {
                inner: near,
                traffic: &traffic,
            };
            relay(near, far, idle, &mut client.deadline).await
        }
        Ok(Err(_)) => End::Over,
        Err(_) => End::Idle,
    };
    if end == End::Idle {
        worker.metrics.closed(Closed::TunnelIdle);
        tracing::debug!(route = %route.spec.id, ?idle, "nothing has moved in a WebSocket for too long; it is closed");
    }
    client.note_tunnel(traffic.get());
    After::Cut
}

/// How a tunnel ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// By its two ends: in order or not, that is their affair.
    Over,
    /// By the gateway.
    Idle,
}

/// Copies both ways until both sides are done, or nothing moves for `idle`.
async fn relay<A, B>(
    mut near: Metered<'_, A>,
    far: &mut B,
    idle: Duration,
    deadline: &mut Deadline,
) -> End
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let traffic = near.traffic;
    let mut copying = pin!(copy_bidirectional_with_sizes(
        &mut near, far, BUFFER, BUFFER
    ));
    let mut seen = traffic.get();
    deadline.set_after(Instant::now(), idle);
    poll_fn(|cx| {
        if copying.as_mut().poll(cx).is_ready() {
            return Poll::Ready(End::Over);
        }
        if traffic.get() != seen {
            seen = traffic.get();
            deadline.set_after(Instant::now(), idle);
        }
        deadline.poll(cx).map(|()| End::Idle)
    })
    .await
}

/// The client's end of a tunnel, with what passes it.
struct Metered<'a, S> {
    inner: &'a mut S,
    traffic: &'a Cell<Traffic>,
}

impl<S> Metered<'_, S> {
    fn note(&self, received: usize, sent: usize) {
        let mut traffic = self.traffic.get();
        traffic.received += received as u64;
        traffic.sent += sent as u64;
        self.traffic.set(traffic);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let polled = Pin::new(&mut *self.inner).poll_read(cx, into);
        self.note(into.filled().len() - before, 0);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut *self.inner).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = polled {
            self.note(0, count);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, duplex};

    use super::*;

    const ALMOST: Duration = Duration::from_secs(59);
    const IDLE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_byte_either_way_lets_the_time_begin_anew_and_every_one_is_counted() {
        let (mut client, mut near) = duplex(64);
        let (mut far, mut upstream) = duplex(64);
        let traffic = Cell::default();
        let metered = Metered {
            inner: &mut near,
            traffic: &traffic,
        };
        let mut deadline = Deadline::new();
        let started = Instant::now();
        let talk = async {
            let mut byte = [0];
            tokio::time::sleep(ALMOST).await;
            client.write_all(b"x").await.unwrap();
            upstream.read_exact(&mut byte).await.unwrap();
            tokio::time::sleep(ALMOST).await;
            upstream.write_all(b"xy").await.unwrap();
            client.read_exact(&mut byte).await.unwrap();
            std::future::pending::<()>().await;
        };
        let end = tokio::select! {
            end = relay(metered, &mut far, IDLE, &mut deadline) => end,
            () = talk => unreachable!("it never ends"),
        };
        assert_eq!(end, End::Idle);
        assert_eq!(started.elapsed(), 2 * ALMOST + IDLE);
        let Traffic { received, sent } = traffic.get();
        assert_eq!((received, sent), (1, 2));
    }
}
