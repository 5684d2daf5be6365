//! Whether an attempt will do, and if not, whether there is another.

use std::time::Duration;

use bastide_http1::{Known, ResponseHead};

use super::Forwarding;
use super::attempt::{Blame, Failed};
use crate::data::connection::After;
use crate::data::handshake;
use crate::data::line::Served;
use crate::data::metrics::{Reason, Retried};
use crate::data::refusal::Refusal;
use crate::snapshot::{Again, Attempts, Endpoint, Outcome};

/// An attempt that will not do.
pub(super) struct Lost {
    pub(super) reason: Reason,
    pub(super) outcome: Outcome,
    /// After which time there is another one, if there is.
    pub(super) delay: Option<Duration>,
    /// What the client is told if there is none.
    pub(super) refusal: Refusal,
}

impl<'s> Forwarding<'_, 's> {
    /// Judges a response by its head. `None` if it goes to the client.
    pub(super) fn judge_response(
        &self,
        endpoint: &Endpoint,
        attempts: &mut Attempts<'_>,
    ) -> Option<Lost> {
        let response = &*self.exchange.response;
        let status = response.status();
        if status == 101 && !handshake::is_agreed(self.call.head, response) {
            tracing::warn!(route = %self.route.spec.id, upstream = %endpoint.url, "an upstream switched protocols without being asked, or without the answer to the key of the WebSocket");
            let books = &self.worker.metrics.upstreams;
            books.failed(endpoint, Reason::Malformed);
            return Some(Lost {
                reason: Reason::Malformed,
                outcome: Outcome::Failed,
                delay: None,
                refusal: Refusal::UpstreamMalformed,
            });
        }
        let delay = if self.is_repeatable() && self.exchange.upload.replay.is_whole() {
            let wish = retry_after(response);
            let again = attempts.retry_status(status, wish, self.worker.random());
            self.granted(again, Reason::Status)
        } else {
            None
        };
        // When the retries are exhausted, the route may have something better to say.
        let is_bettered = attempts.is_last_word(status) && self.route.fallback.is_some();
        (delay.is_some() || is_bettered).then_some(Lost {
            reason: Reason::Status,
            outcome: Outcome::Status(status),
            delay,
            refusal: Refusal::UpstreamUnwell { status },
        })
    }

    /// Judges an attempt that brought no response. Where that was the client's doing, it says how the request ends.
    pub(super) fn judge_failure(
        &self,
        failed: Failed,
        endpoint: &Endpoint,
        attempts: &mut Attempts<'_>,
    ) -> Result<Lost, Result<Served<'s>, Refusal>> {
        let books = &self.worker.metrics.upstreams;
        books.unanswered(endpoint);
        let reached = failed.reached;
        let (reason, refusal) = match failed.blame(self.route, endpoint) {
            Blame::ClientLeft => return Err(Ok(self.served(499, After::Cut))),
            Blame::Client(refusal) => return Err(Err(refusal)),
            Blame::Upstream(reason, refusal) => (reason, refusal),
        };
        books.failed(endpoint, reason);
        let may_repeat =
            self.exchange.upload.replay.is_whole() && (!reached || self.is_repeatable());
        // The budget is asked only for a retry that would be sent.
        let delay = if may_repeat {
            let again = attempts.retry_failure(reached, self.worker.random());
            self.granted(again, reason)
        } else {
            None
        };
        Ok(Lost {
            reason,
            outcome: Outcome::Failed,
            delay,
            refusal,
        })
    }

    /// When to try again. A retry that the budget forbids is counted here, as nobody else hears of it.
    fn granted(&self, again: Again, reason: Reason) -> Option<Duration> {
        match again {
            Again::After(delay) => Some(delay),
            Again::No => None,
            Again::OverBudget => {
                self.count_retry(Some(reason), Retried::OverBudget);
                None
            }
        }
    }

    /// Counts what became of a retry, where there was a reason for one.
    pub(super) fn count_retry(&self, reason: Option<Reason>, outcome: Retried) {
        if let Some(reason) = reason {
            let books = &self.worker.metrics.upstreams;
            books.retried(self.route, reason, outcome);
        }
    }

    /// Whether sending it again means the same as sending it once.
    pub(super) fn is_repeatable(&self) -> bool {
        let head = self.call.head;
        head.method_kind().is_idempotent() || head.find(Known::IdempotencyKey).is_some()
    }
}

/// The upstream's wish, in its form of seconds.
fn retry_after(response: &ResponseHead) -> Option<Duration> {
    let text = std::str::from_utf8(response.find(Known::RetryAfter)?).ok()?;
    text.parse().ok().map(Duration::from_secs)
}
