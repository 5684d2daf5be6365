//! An HTTP/2 connection to an upstream, which many requests share.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::Ping;
use h2::client::{Builder, SendRequest};
use http::uri::Scheme;

use super::outbound::Outbound;
use super::{REMEMBERED, REMEMBERED_FOR, SEND_BUFFER, STREAM_WINDOW, broken};
use crate::data::socket::Socket;

/// Bytes that an upstream may send for all requests together: no bound but those of each, the largest that there is. The
/// requests are of many clients, and one that takes nothing must not hold what the others wait for.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

pub(crate) struct SharedConnection {
    sender: SendRequest<Bytes>,
    scheme: Scheme,
    /// Whether it takes no further requests. Each exchange holds a copy, so that its users can be counted.
    is_retired: Arc<AtomicBool>,
}

/// Begins to speak HTTP/2 with an upstream. The connection runs on the current runtime until its last user is gone.
pub(crate) async fn handshake(socket: Socket) -> io::Result<SharedConnection> {
    let scheme = if socket.is_tls() {
        Scheme::HTTPS
    } else {
        Scheme::HTTP
    };
    let (sender, mut connection) = Builder::new()
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(super::own_limits().head_bytes as u32)
        .max_send_buffer_size(SEND_BUFFER)
        .max_concurrent_reset_streams(REMEMBERED)
        .reset_stream_duration(REMEMBERED_FOR)
        // Clients that cancel provoke them too, and the connection is not theirs alone.
        .max_local_error_reset_streams(None)
        .handshake(socket)
        .await
        .map_err(broken)?;
    let mut pings = connection
        .ping_pong()
        .expect("a new connection's pings are nobody's yet");
    let is_retired = Arc::new(AtomicBool::new(false));
    let mark = Arc::clone(&is_retired);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "an HTTP/2 connection to an upstream broke");
        }
        mark.store(true, Ordering::Relaxed);
    });
    // Its settings come before its answer to anything. From here on it is known how many requests it allows, so that none waits
    // behind another's. A connection that ends instead shows that to the request that meets it, which was not seen and may be
    // sent again.
    pings.ping(Ping::opaque()).await.ok();
    Ok(SharedConnection {
        sender,
        scheme,
        is_retired,
    })
}

impl SharedConnection {
    /// An exchange on it.
    pub(crate) fn exchange(&self) -> Outbound {
        Outbound::new(
            self.sender.clone(),
            self.scheme.clone(),
            Arc::clone(&self.is_retired),
        )
    }

    /// Whether it takes requests at all.
    pub(crate) fn is_alive(&mut self) -> bool {
        // Without a request of its own this handle has nothing to wait for: it is ready, or the connection is over.
        let mut cx = Context::from_waker(Waker::noop());
        !self.is_retired.load(Ordering::Relaxed)
            && !matches!(self.sender.poll_ready(&mut cx), Poll::Ready(Err(_)))
    }

    /// Whether the upstream allows another request beside those under way.
    pub(crate) fn has_room(&self) -> bool {
        self.users() < self.sender.current_max_send_streams()
    }

    pub(crate) fn users(&self) -> usize {
        // Two copies are the connection's own and its task's.
        Arc::strong_count(&self.is_retired).saturating_sub(2)
    }
}
