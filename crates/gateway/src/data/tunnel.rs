//! After 101 Switching Protocols: bytes both ways, uninterpreted. Nothing becomes a tunnel before the upstream agreed.

use bastide_http1::{ResponseHead, Upgrade};
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

use super::call::Call;
use super::client::Client;
use super::connection::After;
use super::metrics::Traffic;
use super::stream::Stream;
use super::worker::Worker;
use super::{WRITE_TIMEOUT, response_head};
use crate::snapshot::RouteEntry;
use crate::upstream::pool::Connection;

/// Per direction.
const BUFFER: usize = 8 * 1024;

/// Whether the upstream switches to what the client asked for. Anything else that follows on that connection means
/// nothing.
pub(crate) fn is_agreed(call: &Call<'_>, response: &ResponseHead) -> bool {
    call.head.upgrade() == Upgrade::WebSocket && response.upgrade() == Upgrade::WebSocket
}

/// Tells the client that the protocol is switched and relays until both sides are done.
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
    let early = [
        far.write_all(client.input.data()).await,
        near.write_all(upstream.buffer.data()).await,
    ];
    worker.give_buffer(std::mem::take(&mut client.input));
    worker.give_buffer(std::mem::take(&mut upstream.buffer));
    if early.iter().all(Result::is_ok) {
        // How a tunnel ends is its two ends' affair; where it breaks off, what it moved is not told.
        let copied = tokio::io::copy_bidirectional_with_sizes(near, far, BUFFER, BUFFER).await;
        let (received, sent) = copied.unwrap_or_default();
        client.note_tunnel(Traffic { received, sent });
    }
    After::Cut
}
