//! Connections of one worker to upstreams, by origin: idle ones of HTTP/1.1, and those of HTTP/2, which many requests
//! share. The one used last is used next: the warm ones stay warm, the rest expire.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::origin::{Origin, OriginId};
use crate::data::buffer::Buffer;
use crate::data::stream::Stream;
use crate::http2::SharedConnection;
use crate::model::Protocol;

/// How long an idle connection is kept where the upstream names no time: below the 5 s after which Node closes, the
/// shortest of the common servers, so that it is us who let go first.
pub(crate) const IDLE: Duration = Duration::from_secs(4);

/// Taken off the time that an upstream names, for the way there.
const MARGIN: Duration = Duration::from_secs(1);

/// How long an HTTP/2 connection without a request is kept. Its end is announced, so there is no hurry.
const IDLE_SHARED: Duration = Duration::from_secs(60);

/// So often an upstream may turn a request down unseen before that counts as its failure.
const MAX_TURNED_DOWN: u32 = 3;

/// So many per origin and worker are kept; more are closed.
const MAX_IDLE_PER_ORIGIN: usize = 256;

/// A connection to an upstream, between requests or in one.
pub(crate) struct Connection {
    pub(crate) stream: Stream,
    pub(crate) origin: OriginId,
    /// Read and not yet consumed.
    pub(crate) buffer: Buffer,
    /// Whether it has carried a request before: only then may its end before a response be a stale connection's.
    pub(crate) reused: bool,
    /// Bytes that earlier requests wrote.
    written: u64,
    /// What the other side had acknowledged when the connection was made (the handshake may count).
    acknowledged_at_first: Option<u64>,
}

impl Connection {
    pub(crate) fn new(stream: Stream, origin: OriginId, buffer: Buffer) -> Self {
        let acknowledged_at_first = stream.bytes_acknowledged();
        Self {
            stream,
            origin,
            buffer,
            reused: false,
            written: 0,
            acknowledged_at_first,
        }
    }

    /// Notes what a request wrote that was answered.
    pub(crate) fn note_written(&mut self, bytes: u64) {
        self.written += bytes;
    }

    /// Whether not one byte of the request that was just written reached the other side's kernel, so that no program can
    /// have acted on it. `false` where that cannot be told.
    ///
    /// The count of acknowledged bytes is believed only when the other side ended in order: its FIN acknowledges all that
    /// it had received. A reset says nothing of the kind, and while there is no answer at all the acknowledgement may be
    /// on its way.
    pub(crate) fn is_last_request_unseen(&self, ended_in_order: bool) -> bool {
        if let Stream::Outbound(exchange) = &self.stream {
            return exchange.is_unseen();
        }
        match (self.acknowledged_at_first, self.stream.bytes_acknowledged()) {
            (Some(first), Some(now)) if ended_in_order => now.saturating_sub(first) == self.written,
            _ => false,
        }
    }

    /// Whether its end, met before any answer, may be one that came before the request, which was sent again so many times
    /// already. On a shared connection a request can end by itself: it has to be the whole connection that was lost, or the
    /// upstream says that it did not see the request, which it may on a new one as well.
    pub(crate) fn may_be_stale(&self, was_unseen: bool, sent_again: u32) -> bool {
        match &self.stream {
            Stream::Socket(_) => self.reused,
            Stream::Outbound(exchange) => {
                let may_be = was_unseen || (self.reused && exchange.is_lost());
                may_be && sent_again < MAX_TURNED_DOWN
            }
            Stream::Inbound(_) => false,
        }
    }

    /// Has later requests take another one, if it is one that they would share.
    pub(crate) fn retire(&self) {
        if let Stream::Outbound(exchange) = &self.stream {
            exchange.retire();
        }
    }
}

struct Idle {
    connection: Connection,
    until: Instant,
}

struct Shared {
    connection: SharedConnection,
    used: Instant,
}

#[derive(Default)]
pub(crate) struct Pool {
    idle: HashMap<OriginId, Vec<Idle>>,
    shared: HashMap<OriginId, Vec<Shared>>,
    /// Who connects to an origin that speaks HTTP/2: one at a time, for the others can share what comes of it.
    dialling: HashMap<OriginId, Rc<Mutex<()>>>,
}

impl Pool {
    /// A connection of its own that was alive a moment ago.
    pub(crate) fn take(&mut self, origin: OriginId, now: Instant) -> Option<Connection> {
        let idle = self.idle.get_mut(&origin)?;
        while let Some(mut entry) = idle.pop() {
            if entry.until > now && entry.connection.stream.is_quiet() {
                return Some(entry.connection);
            }
        }
        None
    }

    /// Keeps a connection whose last response ended cleanly. `named` is the upstream's `Keep-Alive: timeout`.
    pub(crate) fn put(&mut self, mut connection: Connection, named: Option<u32>, now: Instant) {
        let keep = named.map_or(IDLE, |seconds| {
            Duration::from_secs(seconds.into()).saturating_sub(MARGIN)
        });
        if keep.is_zero() || !connection.buffer.is_empty() {
            return;
        }
        connection.reused = true;
        let idle = self.idle.entry(connection.origin).or_default();
        if idle.len() < MAX_IDLE_PER_ORIGIN {
            idle.push(Idle {
                connection,
                until: now + keep,
            });
        }
    }

    /// An exchange on a connection that others use as well.
    pub(crate) fn share(&mut self, origin: OriginId, now: Instant) -> Option<Connection> {
        let shared = self.shared.get_mut(&origin)?;
        shared.retain_mut(|entry| entry.connection.is_alive());
        let entry = shared
            .iter_mut()
            .find(|entry| entry.connection.has_room())?;
        entry.used = now;
        let stream = Stream::Outbound(Box::new(entry.connection.exchange()));
        let mut connection = Connection::new(stream, origin, Buffer::default());
        connection.reused = true;
        Some(connection)
    }

    /// Takes in a new connection that many may use, and gives out the first exchange on it.
    pub(crate) fn add_shared(
        &mut self,
        origin: OriginId,
        connection: SharedConnection,
        now: Instant,
    ) -> Connection {
        let stream = Stream::Outbound(Box::new(connection.exchange()));
        let entry = Shared {
            connection,
            used: now,
        };
        self.shared.entry(origin).or_default().push(entry);
        self.dialling.entry(origin).or_default();
        Connection::new(stream, origin, Buffer::default())
    }

    /// Whose turn it is to connect, if the origin is known to speak HTTP/2.
    pub(crate) fn turn(&mut self, origin: &Origin) -> Option<Rc<Mutex<()>>> {
        if origin.protocol == Protocol::Http2 {
            return Some(Rc::clone(self.dialling.entry(origin.id).or_default()));
        }
        self.dialling.get(&origin.id).map(Rc::clone)
    }

    /// Closes what expired or was closed by the other side.
    pub(crate) fn sweep(&mut self, now: Instant) {
        self.shared.retain(|_, shared| {
            shared.retain_mut(|entry| {
                let is_used = entry.connection.users() > 0 || entry.used + IDLE_SHARED > now;
                is_used && entry.connection.is_alive()
            });
            !shared.is_empty()
        });
        self.dialling
            .retain(|origin, turn| self.shared.contains_key(origin) || Rc::strong_count(turn) > 1);
        self.idle.retain(|_, idle| {
            idle.retain_mut(|entry| entry.until > now && entry.connection.stream.is_quiet());
            !idle.is_empty()
        });
    }

    pub(crate) fn len(&self) -> usize {
        let unused = |shared: &&Shared| shared.connection.users() == 0;
        let shared = self.shared.values().flatten().filter(unused).count();
        self.idle.values().map(Vec::len).sum::<usize>() + shared
    }
}
