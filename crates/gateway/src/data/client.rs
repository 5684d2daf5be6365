//! A client: reading requests from it and writing to it. Over HTTP/2 each exchange has a client of its own.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bastide_http1::{Limits, RequestError, RequestHead};
use tokio::time::Instant;

use super::buffer::Buffer;
use super::deadline::Deadline;
use super::idle::Seat;
use super::last_key::LastKey;
use super::metrics::Traffic;
use super::outgoing::Outgoing;
use super::peer::Peer;
use super::phase::Phase;
use super::refusal::Refusal;
use super::stream::Stream;
use super::worker::Worker;

/// A connection that says nothing at all is closed after this time.
pub(crate) const SILENT: Duration = Duration::from_secs(10);

/// A head that was begun must be whole after this time, however slowly it drips.
const HEAD: Duration = Duration::from_secs(10);

/// The same once nothing new is taken: who has not asked yet is not what a stop waits for.
const LAST_HEAD: Duration = Duration::from_secs(1);

/// After a refusal, what the client still sends is read and thrown away for this long, so that it gets the answer
/// instead of a reset.
const LINGER: Duration = Duration::from_secs(1);

/// Bytes that are read ahead while a request is being answered.
const MAX_PIPELINED: usize = 64 * 1024;

pub(crate) struct Client {
    pub(crate) stream: Stream,
    pub(crate) input: Buffer,
    pub(crate) out: Outgoing,
    pub(crate) deadline: Deadline,
    pub(crate) peer: Peer,
    pub(crate) last_key: LastKey,
    pub(crate) secure: bool,
    /// When the last response was out.
    pub(crate) last: Option<Instant>,
    seat: Seat,
    is_first: bool,
    /// Bytes that had gone out when the last request was counted.
    counted: u64,
    /// Bytes that a tunnel moved past `input` and `out`.
    tunnelled: Traffic,
}

/// What came next on a connection.
pub(crate) enum Next {
    /// A request; its head was read.
    Request,
    /// Bytes that are no request, or too few of them in time.
    Refused(Refusal),
    /// The preface of HTTP/2 with prior knowledge.
    Http2,
    /// Nothing more.
    Closed,
}

impl Client {
    pub(crate) fn new(stream: Stream, peer: Peer, secure: bool, seat: Seat) -> Self {
        Self {
            stream,
            secure,
            input: Buffer::default(),
            out: Outgoing::default(),
            deadline: Deadline::new(),
            peer,
            last_key: LastKey::default(),
            last: None,
            seat,
            is_first: true,
            counted: 0,
            tunnelled: Traffic::default(),
        }
    }

    /// Reads the next request's head.
    pub(crate) async fn next(
        &mut self,
        worker: &Worker,
        head: &mut RequestHead,
        limits: &Limits,
    ) -> Next {
        if self.input.is_empty() && !self.wait(worker).await {
            return Next::Closed;
        }
        self.is_first = false;
        let (mut timed, mut hurried) = (false, false);
        loop {
            match head.parse(self.input.data(), limits) {
                Ok(Some(consumed)) => {
                    self.input.consume(consumed);
                    return Next::Request;
                }
                Err(RequestError::Http2Preface) => return Next::Http2,
                Err(error) => return Next::Refused(error.into()),
                Ok(None) => {}
            }
            if !timed && !self.input.is_empty() {
                timed = true;
                self.deadline.set_after(Instant::now(), HEAD);
            }
            let read = poll_fn(|cx| {
                let polled = self.poll_fill(cx);
                if polled.is_ready() {
                    return polled;
                }
                let is_closing = worker.phase() == Phase::Closing;
                // Nothing of a request is here yet: the connection is idle, whatever it looked like before.
                if self.input.is_empty() {
                    if is_closing || self.seat.is_dismissed() {
                        return Poll::Ready(Ok(0));
                    }
                } else if is_closing && !hurried {
                    hurried = true;
                    self.deadline.bring_forward(Instant::now() + LAST_HEAD);
                    // Looked at once, or it would not wake anybody.
                    if self.deadline.poll(cx).is_ready() {
                        return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                    }
                }
                self.seat.wait(cx.waker());
                Poll::Pending
            });
            match read.await {
                Ok(0) => return Next::Closed,
                Ok(_) => self.seat.get_up(),
                Err(error) if error.kind() == io::ErrorKind::TimedOut && !self.input.is_empty() => {
                    return Next::Refused(Refusal::HeadTimeout);
                }
                Err(_) => return Next::Closed,
            }
        }
    }

    /// Waits, without holding a buffer, until something comes. `false` when the connection is to be closed instead.
    async fn wait(&mut self, worker: &Worker) -> bool {
        worker.give_buffer(std::mem::take(&mut self.input));
        let since = self.last.take().unwrap_or_else(Instant::now);
        let patience = if self.is_first {
            SILENT
        } else {
            worker.shared.keep_alive
        };
        self.deadline.set_after(since, patience);
        self.seat.rest(since);
        let readable = poll_fn(|cx| {
            if self.stream.poll_readable(cx).is_ready() {
                return Poll::Ready(true);
            }
            let is_unwanted = worker.phase() == Phase::Closing || self.seat.is_dismissed();
            if is_unwanted || self.deadline.poll(cx).is_ready() {
                return Poll::Ready(false);
            }
            self.seat.wait(cx.waker());
            Poll::Pending
        })
        .await;
        self.input = worker.take_buffer();
        readable
    }

    /// Reads once, or fails with [`io::ErrorKind::TimedOut`] at the deadline.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match self.stream.poll_fill(cx, &mut self.input) {
            Poll::Pending if self.deadline.poll(cx).is_ready() => {
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            polled => polled,
        }
    }

    /// Whether it closed its connection while it waits. What it sends meanwhile (pipelined requests) stays in the
    /// buffer; when there is too much of that, nobody looks any further until its turn comes.
    pub(crate) fn has_left(&mut self, cx: &mut Context<'_>) -> bool {
        while self.input.data().len() < MAX_PIPELINED {
            match self.stream.poll_fill(cx, &mut self.input) {
                Poll::Ready(Ok(0) | Err(_)) => return true,
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => return false,
            }
        }
        false
    }

    /// What the work comes to; nothing when the client left before its end, and then the work is dropped.
    pub(crate) async fn wait_for<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if self.has_left(cx) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.out.poll_flush(cx, &mut self.stream)
    }

    /// Tells a client that waits for it that its body is wanted; the next flush sends it.
    pub(crate) fn put_continue(&mut self) {
        self.out
            .bytes
            .extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
    }

    /// Writes out what is left. The deadline holds.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| match self.poll_flush(cx) {
            Poll::Pending if self.deadline.poll(cx).is_ready() => {
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            polled => polled,
        })
        .await
    }

    /// Bytes that the client has taken so far: what its kernel has acknowledged, for ours may hold megabytes that nobody reads;
    /// over a shared connection, what was let through.
    pub(crate) fn taken(&self) -> u64 {
        let acknowledged = self.stream.bytes_acknowledged();
        acknowledged.unwrap_or_else(|| self.out.total())
    }

    /// Notes bytes that a tunnel moved.
    pub(crate) fn note_tunnel(&mut self, traffic: Traffic) {
        self.tunnelled.received += traffic.received;
        self.tunnelled.sent += traffic.sent;
    }

    /// What moved since this was last asked: one request's bytes, if it is asked at the end of each.
    pub(crate) fn take_traffic(&mut self) -> Traffic {
        let tunnelled = std::mem::take(&mut self.tunnelled);
        let sent = self.out.total() - std::mem::replace(&mut self.counted, self.out.total());
        Traffic {
            received: self.input.take_consumed() + tunnelled.received,
            sent: sent + tunnelled.sent,
        }
    }

    /// Ends our direction and reads the rest of theirs for a moment: closing with unread bytes would make the kernel
    /// reset the connection, and the client might lose the answer that explains why.
    pub(crate) async fn linger(&mut self) {
        self.deadline.set_after(Instant::now(), LINGER);
        if poll_fn(|cx| self.stream.poll_shutdown(cx)).await.is_err() {
            return;
        }
        loop {
            self.input.clear();
            match poll_fn(|cx| self.poll_fill(cx)).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }
}
