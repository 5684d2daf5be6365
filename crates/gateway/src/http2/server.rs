//! A client's HTTP/2 connection: every exchange on it is a task of its own.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bastide_http1::RequestHead;
use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Builder, Connection, SendResponse};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::inbound::{Inbound, read_head};
use super::{REMEMBERED, REMEMBERED_FOR, SEND_BUFFER, STREAM_WINDOW};
use crate::data::buffer::Buffer;
use crate::data::client::{Client, SILENT};
use crate::data::connection::{After, Scratch, before_requests};
use crate::data::deadline::Deadline;
use crate::data::idle::Seat;
use crate::data::line;
use crate::data::peer::Peer;
use crate::data::phase::Phase;
use crate::data::refusal::Refusal;
use crate::data::socket::Socket;
use crate::data::stream::Stream;
use crate::data::worker::Worker;

/// Requests of one connection that are under way at a time.
const MAX_STREAMS: u32 = 100;

/// Bytes that a client may send for all its requests together: as many as each of them may, so that none that is not read
/// on keeps the others from being.
const CONNECTION_WINDOW: u32 = MAX_STREAMS * STREAM_WINDOW;

/// Requests that a client may take back before anybody looked at them (CVE-2023-44487, "rapid reset").
const MAX_TAKEN_BACK: usize = 20;

/// Requests that a client may provoke us to reset (CVE-2025-8671, "made you reset"). Data for an exchange that was over too
/// long ago counts as well, so it must not be a few.
const MAX_PROVOKED: usize = 1_000;

/// A client that was told to go may answer for so long.
const FAREWELL: Duration = Duration::from_secs(5);

/// Serves a connection whose client speaks HTTP/2 to its end. `read` is what was read of it already.
pub(crate) async fn serve(
    worker: &Rc<Worker>,
    read: Buffer,
    socket: Socket,
    peer: Peer,
    seat: &Seat,
) {
    let secure = socket.is_tls();
    let handshake = Builder::new()
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_TAKEN_BACK)
        .max_local_error_reset_streams(Some(MAX_PROVOKED))
        .max_concurrent_reset_streams(REMEMBERED)
        .reset_stream_duration(REMEMBERED_FOR)
        .max_header_list_size(worker.shared.limits.head_bytes as u32)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .handshake(Rewound { read, socket });
    // What went wrong is the client's affair; it was told by GOAWAY.
    let Some(Ok(mut connection)) = before_requests(worker, seat, SILENT, handshake).await else {
        return;
    };
    let mut ending = Ending::new();
    while let Some(Ok((request, respond))) =
        poll_fn(|cx| poll_next(cx, worker, &mut connection, &mut ending, seat)).await
    {
        tokio::task::spawn_local(exchange(
            Rc::clone(worker),
            request,
            respond,
            peer.clone(),
            secure,
        ));
    }
}

type Incoming = Result<(Request<RecvStream>, SendResponse<Bytes>), h2::Error>;

/// How a connection comes to its end.
struct Ending {
    /// Until when nothing may be under way.
    idle: Deadline,
    is_idle: bool,
    /// Whether the client was told to go.
    is_told: bool,
}

impl Ending {
    fn new() -> Self {
        Self {
            idle: Deadline::new(),
            is_idle: false,
            is_told: false,
        }
    }

    /// Requests under way are answered, the next ones go elsewhere: what `Connection: close` says in HTTP/1.1.
    fn tell(&mut self, connection: &mut Connection<Rewound, Bytes>) {
        self.is_told = true;
        self.is_idle = false;
        connection.graceful_shutdown();
    }
}

/// The next request; `None` when the connection is over.
fn poll_next(
    cx: &mut Context<'_>,
    worker: &Worker,
    connection: &mut Connection<Rewound, Bytes>,
    ending: &mut Ending,
    seat: &Seat,
) -> Poll<Option<Incoming>> {
    loop {
        if worker.phase() != Phase::Running && !ending.is_told {
            ending.tell(connection);
        }
        match connection.poll_accept(cx) {
            Poll::Pending => {}
            next @ Poll::Ready(_) => return next,
        }
        seat.wait(cx.waker());
        if connection.has_streams() {
            ending.is_idle = false;
            seat.get_up();
            return Poll::Pending;
        }
        if !ending.is_idle {
            ending.is_idle = true;
            let patience = if ending.is_told {
                FAREWELL
            } else {
                worker.shared.keep_alive
            };
            let now = Instant::now();
            ending.idle.set_after(now, patience);
            seat.rest(now);
        }
        if ending.is_told || !seat.is_dismissed() {
            ready!(ending.idle.poll(cx));
        }
        if ending.is_told {
            return Poll::Ready(None);
        }
        ending.tell(connection);
    }
}

/// Takes one request through the line.
async fn exchange(
    worker: Rc<Worker>,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    peer: Peer,
    secure: bool,
) {
    let (parts, body) = request.into_parts();
    let mut head = RequestHead::new();
    let read = read_head(
        &mut head,
        &parts,
        !body.is_end_stream(),
        &worker.shared.limits,
    );
    let stream = Stream::Inbound(Box::new(Inbound::new(respond, body, &head)));
    let mut client = Client::new(stream, peer, secure, Seat::default());
    let after = match read {
        Ok(()) => line::serve(&worker, &mut client, &head, &mut Scratch::default()).await,
        Err(error) => line::refuse_unread(&worker, &mut client, &Refusal::from(error)).await,
    };
    match after {
        // An exchange that is over is closed by letting go of it, whatever the client still sends.
        After::KeepAlive | After::Close => {}
        After::Reset | After::Cut => client.stream.reset(),
    }
    worker.give_buffer(std::mem::take(&mut client.input));
}

/// A socket of which something was read that belongs to whoever reads it next.
struct Rewound {
    read: Buffer,
    socket: Socket,
}

impl AsyncRead for Rewound {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.read.is_empty() {
            return Pin::new(&mut this.socket).poll_read(cx, into);
        }
        let count = this.read.data().len().min(into.remaining());
        into.put_slice(&this.read.data()[..count]);
        this.read.consume(count);
        if this.read.is_empty() {
            this.read = Buffer::default();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.get_mut().socket), cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(&mut self.get_mut().socket), cx)
    }
}
