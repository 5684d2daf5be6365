//! A response on its way to the client, and what becomes of both connections after it.

use std::time::Duration;

use bastide_http1::{Known, ResponseBody, ResponseHead};
use tokio::time::Instant;

use super::Forwarding;
use crate::data::connection::After;
use crate::data::exchange::{Attempt, RelayError};
use crate::data::line::Served;
use crate::data::metrics::{Closed, Reason};
use crate::data::phase::Phase;
use crate::data::refusal::Refusal;
use crate::data::response_head::{self, Framing};
use crate::data::{WRITE_TIMEOUT, last_good, tunnel};
use crate::snapshot::{Outcome, Picked};

/// An event stream may be silent for long; it ends when somebody closes it.
const EVENT_STREAM_IDLE: Duration = Duration::from_secs(3600);

impl<'s> Forwarding<'_, 's> {
    /// Relays a response and says what becomes of the client's connection. After an exchange that went well to its end, it
    /// also tells when that was.
    pub(super) async fn respond(
        &mut self,
        picked: Picked<'_>,
        attempt: &mut Attempt,
    ) -> Result<(Served<'s>, Option<Instant>), Refusal> {
        let endpoint = picked.endpoint;
        let exchange = &mut self.exchange;
        let status = exchange.response.status();
        if status == 101 {
            picked.finish(Outcome::Status(status), attempt.since);
            let after = tunnel::run(
                self.worker,
                exchange.client,
                self.call,
                self.route,
                &mut attempt.connection,
                exchange.response,
            )
            .await;
            return Ok((self.served(status, after), None));
        }
        // A failure is known by its head, and the next request should know it too; a success only when it is whole.
        let mut picked = Some(picked);
        if status >= 500
            && let Some(picked) = picked.take()
        {
            picked.finish(Outcome::Status(status), attempt.since);
        }
        let written_before = exchange.client.out.total();
        let framing = Framing::towards(self.call.head.version(), exchange.response.body());
        // A request whose body is still coming when the answer is there cannot be followed by another one.
        let mut keep = self.call.head.keep_alive()
            && framing != Framing::UntilClose
            && self.worker.phase() == Phase::Running
            && exchange.upload.is_drained();
        response_head::write_forwarded(
            &mut exchange.client.out.bytes,
            self.call,
            self.route,
            exchange.response,
            framing,
            keep,
        );
        if is_event_stream(exchange.response) {
            attempt.times.idle = attempt.times.idle.max(EVENT_STREAM_IDLE);
        }
        let mut record = last_good::Recording::begin(self.call, self.route, exchange.response);
        let relayed = attempt
            .relay(exchange, framing, |data| {
                if let Some(record) = &mut record {
                    record.add(data);
                }
            })
            .await;
        let mut finished = Instant::now();
        let outcome = match relayed {
            Err(RelayError::Upstream) => Outcome::Failed,
            _ => Outcome::Status(status),
        };
        if let Some(picked) = picked {
            picked.finish(outcome, finished);
        }
        if relayed == Err(RelayError::Upstream) {
            let books = &self.worker.metrics.upstreams;
            books.failed(endpoint, Reason::Cut);
            let client = &mut *exchange.client;
            if client.out.total() == written_before {
                // Nothing of it has gone out: the client gets a proper answer instead of none.
                client.out.clear();
                return Err(Refusal::UpstreamClosed);
            }
            // What came is worth more than nothing; that it is not all shows by the end of the connection.
            client.deadline.set_after(Instant::now(), WRITE_TIMEOUT);
            client.flush().await.ok();
            finished = Instant::now();
        }
        if let (Ok(()), Some(record)) = (relayed, record) {
            record.finish(self.route);
        }
        keep &= exchange.upload.is_drained();
        if relayed == Err(RelayError::SlowClient) {
            self.worker.metrics.closed(Closed::SlowClient);
            tracing::debug!(route = %self.route.spec.id, client = %self.call.peer.ip, "a client takes its response too slowly; it is cut off");
        }
        let after = match relayed {
            Ok(()) if keep => After::KeepAlive,
            Ok(()) => After::Close,
            // A body that ends with the connection looks whole after an orderly end.
            Err(_) if framing == Framing::UntilClose => After::Reset,
            Err(_) => After::Cut,
        };
        let served = Served {
            finished: Some(finished),
            ..self.served(status, after)
        };
        Ok((served, relayed.is_ok().then_some(finished)))
    }

    /// Keeps what can be used again: the buffer always, the connection after an exchange that ended cleanly.
    pub(super) fn put_back(&mut self, attempt: Attempt, ended_well: Option<Instant>) {
        let Attempt {
            mut connection,
            out,
            ..
        } = attempt;
        connection.note_written(out.total());
        *self.spare = out.into_bytes();
        let is_in_step = connection.buffer.is_empty();
        self.worker
            .give_buffer(std::mem::take(&mut connection.buffer));
        let response = &*self.exchange.response;
        if let Some(now) = ended_well
            && is_in_step
            && self.exchange.upload.is_done()
            && response.keep_alive()
        {
            self.worker
                .pool
                .borrow_mut()
                .put(connection, response.keep_alive_timeout(), now);
        }
    }
}

fn is_event_stream(response: &ResponseHead) -> bool {
    let is_open_ended = matches!(
        response.body(),
        ResponseBody::Chunked | ResponseBody::UntilClose
    );
    is_open_ended
        && response.find(Known::ContentType).is_some_and(|kind| {
            kind.len() >= 17 && kind[..17].eq_ignore_ascii_case(b"text/event-stream")
        })
}
