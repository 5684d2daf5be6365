//! A client's HTTP/1.1 connection from its first request to its last.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bastide_http1::RequestHead;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::buffer::Buffer;
use super::client::{Client, Next};
use super::idle::Seat;
use super::peer::Peer;
use super::phase::Phase;
use super::socket::Socket;
use super::stream::Stream;
use super::worker::Worker;
use super::{forward, line};
use crate::http2;

/// What becomes of the connection after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// Another request may follow.
    KeepAlive,
    /// It is closed in order: the answer arrives whatever the client still sends.
    Close,
    /// It is reset: the client takes an orderly end for the end of the body, which it is not.
    Reset,
    /// It is cut, so that the client sees that what it got is not whole; or there is nobody left.
    Cut,
}

/// Buffers that a connection's requests use one after the other.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(crate) target: String,
    pub(crate) host: String,
    pub(crate) forwarding: forward::Scratch,
}

/// A TLS handshake must be done after this time.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Serves a connection to its end, in whichever version the client speaks.
pub(crate) async fn serve(worker: Rc<Worker>, stream: TcpStream, peer: Peer) {
    let seat = Seat::default();
    let place = worker.seats.borrow_mut().insert(seat.clone());
    if let Some(socket) = agree(&worker, &seat, stream).await {
        if socket.agreed_on_http2() {
            http2::serve(&worker, Buffer::default(), socket, peer, &seat).await;
        } else {
            serve_http1(&worker, socket, peer, seat).await;
        }
    }
    worker.seats.borrow_mut().remove(place);
}

/// The client's bytes, by TLS where the listener speaks it.
async fn agree(worker: &Worker, seat: &Seat, stream: TcpStream) -> Option<Socket> {
    let Some(acceptor) = &worker.shared.tls else {
        return Some(Socket::Tcp(stream));
    };
    // What fails is scanners and plain HTTP, mostly; nothing that an operator could mend.
    let stream = before_requests(worker, seat, HANDSHAKE, acceptor.accept(stream)).await?;
    Some(Socket::TlsServer(Box::new(stream.ok()?)))
}

/// Waits for what comes before a connection's first request. `None` when it takes too long, or the gateway closes: there is no
/// request that would be lost.
pub(crate) async fn before_requests<T>(
    worker: &Worker,
    seat: &Seat,
    patience: Duration,
    coming: impl Future<Output = T>,
) -> Option<T> {
    let mut coming = pin!(timeout(patience, coming));
    poll_fn(|cx| {
        if let Poll::Ready(came) = coming.as_mut().poll(cx) {
            return Poll::Ready(came.ok());
        }
        if worker.phase() == Phase::Closing {
            return Poll::Ready(None);
        }
        seat.wait(cx.waker());
        Poll::Pending
    })
    .await
}

async fn serve_http1(worker: &Rc<Worker>, socket: Socket, peer: Peer, seat: Seat) {
    let secure = socket.is_tls();
    let mut client = Client::new(socket.into(), peer, secure, seat.clone());
    let mut head = RequestHead::new();
    let mut scratch = Scratch::default();
    loop {
        let after = match client.next(worker, &mut head, &worker.shared.limits).await {
            Next::Request => line::serve(worker, &mut client, &head, &mut scratch).await,
            Next::Refused(refusal) => line::refuse_unread(worker, &mut client, &refusal).await,
            Next::Http2 => {
                if let Stream::Socket(socket) = client.stream {
                    http2::serve(worker, client.input, socket, client.peer, &seat).await;
                }
                return;
            }
            Next::Closed => break,
        };
        match after {
            After::KeepAlive => head.clear(),
            After::Close => {
                client.linger().await;
                break;
            }
            After::Reset => {
                client.stream.reset();
                break;
            }
            After::Cut => break,
        }
    }
    worker.give_buffer(client.input);
}
