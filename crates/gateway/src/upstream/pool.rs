//! Idle HTTP/1.1 connections of one worker, by origin. Last in, first out: the warm ones stay warm, the rest expire.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::origin::OriginId;
use crate::data::buffer::Buffer;
use crate::data::stream::Stream;

/// How long an idle connection is kept where the upstream names no time: below the 5 s after which Node closes, the
/// shortest of the common servers, so that it is us who let go first.
pub(crate) const IDLE: Duration = Duration::from_secs(4);

/// Taken off the time that an upstream names, for the way there.
const MARGIN: Duration = Duration::from_secs(1);

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
    pub(crate) fn is_last_request_unseen(&self) -> bool {
        match (self.acknowledged_at_first, self.stream.bytes_acknowledged()) {
            (Some(first), Some(now)) => now.saturating_sub(first) == self.written,
            _ => false,
        }
    }
}

struct Idle {
    connection: Connection,
    until: Instant,
}

#[derive(Default)]
pub(crate) struct Pool {
    idle: HashMap<OriginId, Vec<Idle>>,
}

impl Pool {
    /// A connection that was alive a moment ago.
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

    /// Closes what expired or was closed by the other side.
    pub(crate) fn sweep(&mut self, now: Instant) {
        self.idle.retain(|_, idle| {
            idle.retain_mut(|entry| entry.until > now && entry.connection.stream.is_quiet());
            !idle.is_empty()
        });
    }

    pub(crate) fn len(&self) -> usize {
        self.idle.values().map(Vec::len).sum()
    }
}
