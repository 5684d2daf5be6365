//! Getting a connection to an upstream: one that is there, or a new one.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::metrics::Reason;
use super::refusal::Refusal;
use super::worker::Worker;
use crate::model::Protocol;
use crate::snapshot::{Endpoint, RouteEntry};
use crate::upstream::connect::{Connected, connect};
use crate::upstream::pool::Connection;
use crate::upstream::unreachable::Unreachable;

/// A connection that is there. What is to become a tunnel needs one of its own.
pub(crate) fn pooled(
    worker: &Worker,
    endpoint: &Endpoint,
    is_tunnel: bool,
    now: Instant,
) -> Option<Connection> {
    let origin = &endpoint.origin;
    let mut pool = worker.pool.borrow_mut();
    let shared = if may_share(endpoint, is_tunnel) {
        pool.share(origin.id, now)
    } else {
        None
    };
    shared.or_else(|| pool.take(origin.id, now))
}

/// A new connection, or one that came about while this was waiting for its turn to make one.
pub(crate) async fn dial(
    worker: &Worker,
    route: &RouteEntry,
    endpoint: &Endpoint,
    is_tunnel: bool,
    patience: Duration,
) -> Result<Connection, (Reason, Refusal)> {
    match timeout(patience, make(worker, endpoint, is_tunnel)).await {
        Ok(Ok(connection)) => {
            if endpoint.state.note_tls(false) {
                tracing::info!(route = %route.spec.id, upstream = %endpoint.url, "the TLS handshake with an upstream succeeds again");
            }
            Ok(connection)
        }
        Ok(Err(error)) => {
            let why = Unreachable::of(&error);
            // Said once and not for every request, which would be as many lines as there are clients.
            if why.is_lasting() && endpoint.state.note_tls(true) {
                tracing::warn!(route = %route.spec.id, upstream = %endpoint.url, %error, "the TLS handshake with an upstream failed; roots of your own are given with --upstream-ca");
            } else {
                tracing::debug!(route = %route.spec.id, upstream = %endpoint.url, %error, "an upstream cannot be reached");
            }
            Err((Reason::Connect, Refusal::ConnectFailed(why)))
        }
        Err(_) => Err((Reason::ConnectTimeout, Refusal::ConnectTimeout)),
    }
}

async fn make(
    worker: &Worker,
    endpoint: &Endpoint,
    is_tunnel: bool,
) -> std::io::Result<Connection> {
    let origin = &endpoint.origin;
    let may_share = may_share(endpoint, is_tunnel);
    let turn = if may_share {
        worker.pool.borrow_mut().turn(origin)
    } else {
        None
    };
    let _turn = match &turn {
        Some(turn) => {
            let turn = turn.lock().await;
            let shared = worker.pool.borrow_mut().share(origin.id, Instant::now());
            if let Some(connection) = shared {
                return Ok(connection);
            }
            Some(turn)
        }
        None => None,
    };
    let protocol = if may_share {
        origin.protocol
    } else {
        Protocol::Http1
    };
    let connected = connect(origin, protocol, &worker.shared.upstream_tls).await?;
    Ok(match connected {
        Connected::Http1(socket) => Connection::new(socket.into(), origin.id, worker.take_buffer()),
        Connected::Http2(connection) => {
            worker
                .pool
                .borrow_mut()
                .add_shared(origin.id, connection, Instant::now())
        }
    })
}

/// Whether an exchange of a shared connection will do. Where the upstream may be spoken to in HTTP/1.1 a tunnel gets that;
/// elsewhere the wish for one is left out, as a server may ignore it (RFC 9110 section 7.8).
fn may_share(endpoint: &Endpoint, is_tunnel: bool) -> bool {
    match endpoint.origin.protocol {
        Protocol::Http1 => false,
        Protocol::Auto => !is_tunnel,
        Protocol::Http2 => true,
    }
}
