//! One attempt at one endpoint, and what its failure means.

use std::time::Duration;

use bastide_http1::Upgrade;
use tokio::time::Instant;

use super::Forwarding;
use crate::data::exchange::{Attempt, Failure};
use crate::data::metrics::Reason;
use crate::data::outgoing::Outgoing;
use crate::data::pace::Times;
use crate::data::refusal::Refusal;
use crate::data::stream::Stream;
use crate::data::{dial, request_head};
use crate::snapshot::{Endpoint, RouteEntry};

/// An attempt that brought no response.
pub(super) struct Failed {
    cause: Cause,
    /// Whether the upstream may have seen the request.
    pub(super) reached: bool,
}

enum Cause {
    /// No connection.
    Connect(Reason, Refusal),
    /// There was one.
    Exchange(Failure),
}

/// Whose doing a failed attempt is.
pub(super) enum Blame {
    /// The client went away. There is nobody left to answer.
    ClientLeft,
    /// The client's; the upstream is not to be judged by it.
    Client(Refusal),
    /// The upstream's.
    Upstream(Reason, Refusal),
}

impl Forwarding<'_, '_> {
    /// Over which time the client's pace of taking is measured: half of how long it may take nothing. What a shared connection
    /// takes comes in larger steps, and from many exchanges in turn, so it is given twice as long.
    fn taking_span(&self) -> Duration {
        let patience = self.worker.shared.send_timeout;
        match self.exchange.client.stream {
            Stream::Socket(_) => patience / 2,
            Stream::Inbound(_) | Stream::Outbound(_) => patience,
        }
    }

    /// One attempt; over a pooled connection that turns out to be dead, another follows at once over a new one.
    pub(super) async fn attempt(
        &mut self,
        endpoint: &Endpoint,
        path: &str,
        mut now: Instant,
    ) -> Result<Attempt, Failed> {
        let times = Times {
            head: self.route.times.head(self.exchange.method, endpoint),
            idle: self.route.times.idle,
            taking: self.taking_span(),
            total: self.until,
        };
        let is_tunnel = self.call.head.upgrade() == Upgrade::WebSocket;
        let mut out = Outgoing::over(std::mem::take(self.spare));
        let mut sent_again = 0;
        loop {
            let pooled = dial::pooled(self.worker, endpoint, is_tunnel, now);
            let mut connection = if let Some(connection) = pooled {
                connection
            } else {
                let patience = self.route.times.connect.min(self.left(Instant::now()));
                let dialled =
                    dial::dial(self.worker, self.route, endpoint, is_tunnel, patience).await;
                now = Instant::now();
                dialled.map_err(|(reason, refusal)| Failed {
                    cause: Cause::Connect(reason, refusal),
                    reached: false,
                })?
            };
            if connection.buffer.is_unused() {
                connection.buffer = self.worker.take_buffer();
            }
            out.clear();
            request_head::write(&mut out.bytes, self.call, self.route, endpoint, path);
            self.exchange.upload.restart(&mut out);
            let mut attempt = Attempt::new(connection, out, times, now);
            let failure = match attempt.run(&mut self.exchange).await {
                Ok(()) => return Ok(attempt),
                Err(failure) => failure,
            };
            let connection = &mut attempt.connection;
            // Between our look at the pooled connection and our bytes the other side may have closed it. If it ended in order
            // and its kernel had not received a byte of this request, no program has read it, and sending it again is safe
            // whatever it does.
            let was_unseen =
                !attempt.answered && connection.is_last_request_unseen(attempt.ended_in_order);
            if was_unseen || matches!(failure, Failure::Timeout) {
                connection.retire();
            }
            let is_stale = connection.may_be_stale(was_unseen, sent_again)
                && !attempt.answered
                && matches!(failure, Failure::Closed);
            let is_safe = was_unseen || self.is_repeatable();
            if is_stale && is_safe && self.exchange.upload.replay.is_whole() {
                sent_again += 1;
                now = Instant::now();
                self.worker.metrics.stale_connection();
                out = attempt.out;
                self.exchange.response.clear();
                continue;
            }
            return Err(Failed {
                cause: Cause::Exchange(failure),
                reached: !was_unseen,
            });
        }
    }
}

impl Failed {
    /// Whose doing it is, and what the client is told unless another attempt goes better.
    pub(super) fn blame(self, route: &RouteEntry, endpoint: &Endpoint) -> Blame {
        let failure = match self.cause {
            Cause::Connect(reason, refusal) => return Blame::Upstream(reason, refusal),
            Cause::Exchange(failure) => failure,
        };
        match failure {
            Failure::ClientGone => Blame::ClientLeft,
            Failure::ClientTimeout => Blame::Client(Refusal::BodyTimeout),
            Failure::ClientFraming(error) => Blame::Client(error.into()),
            Failure::Closed => Blame::Upstream(Reason::Closed, Refusal::UpstreamClosed),
            Failure::Malformed(error) => {
                tracing::warn!(route = %route.spec.id, upstream = %endpoint.url, %error, "an upstream's response is not valid");
                Blame::Upstream(Reason::Malformed, Refusal::UpstreamMalformed)
            }
            Failure::TooManyInterim => {
                tracing::warn!(route = %route.spec.id, upstream = %endpoint.url, "an upstream sends interim responses (1xx) without end");
                Blame::Upstream(Reason::Malformed, Refusal::UpstreamMalformed)
            }
            Failure::Timeout => Blame::Upstream(Reason::Timeout, Refusal::UpstreamTimeout),
        }
    }
}
