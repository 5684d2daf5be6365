//! Station: to an upstream and back, with as many attempts as the route allows.
//!
//! Here is the loop over attempts; [`attempt`] makes one, [`relay`] brings its response to the client.

mod attempt;
mod relay;

use std::time::Duration;

use bastide_http1::{BodyDecoder, Known, ResponseHead};
use bastide_limit::clock;
use bastide_routing::{CanonicalPath, RewriteScratch, forward_path};
use tokio::time::Instant;

use self::attempt::Blame;
use super::call::Call;
use super::client::Client;
use super::connection::After;
use super::exchange::Exchange;
use super::line::Served;
use super::refusal::Refusal;
use super::routes::Chosen;
use super::upload::Upload;
use super::worker::Worker;
use super::{fallback, tunnel};
use crate::snapshot::{Attempts, Endpoint, Outcome, RouteEntry};

/// Buffers that requests use one after the other.
#[derive(Default)]
pub(crate) struct Scratch {
    response: ResponseHead,
    joined: String,
    rewrite: RewriteScratch,
    upstream_out: Vec<u8>,
}

/// Sends the request to an upstream and its response to the client. A refusal comes with what is left of the request's
/// body.
pub(crate) async fn forward<'s>(
    worker: &Worker,
    client: &mut Client,
    call: &Call<'s>,
    chosen: Chosen<'s>,
    scratch: &mut Scratch,
) -> Result<Served<'s>, (Refusal, BodyDecoder)> {
    let limits = &worker.shared.limits;
    let mut forwarding = Forwarding {
        worker,
        call,
        route: chosen.route,
        exchange: Exchange {
            client,
            upload: Upload::new(call.head, limits),
            response: &mut scratch.response,
            method: call.head.method_kind(),
            limits,
        },
        until: chosen.route.times.total.map(|total| call.arrived + total),
        spare: &mut scratch.upstream_out,
    };
    let paths = Paths {
        chosen,
        target: call.target,
        joined: &mut scratch.joined,
        rewrite: &mut scratch.rewrite,
    };
    match forwarding.run(paths).await {
        Ok(served) => Ok(served),
        Err(refusal) => forwarding.give_up(refusal).await,
    }
}

/// A request between its route and its response.
struct Forwarding<'a, 's> {
    worker: &'a Worker,
    call: &'a Call<'s>,
    route: &'s RouteEntry,
    exchange: Exchange<'a>,
    /// The end of everything, if there is one.
    until: Option<Instant>,
    /// The buffer for what goes to an upstream, while no attempt has it.
    spare: &'a mut Vec<u8>,
}

impl<'s> Forwarding<'_, 's> {
    /// Tries upstreams until one has the last word, or nobody is left to try.
    async fn run(&mut self, mut paths: Paths<'_, 's>) -> Result<Served<'s>, Refusal> {
        let mut attempts = Attempts::new(self.route, self.call.ticks);
        // The first attempt begins when the request came; only later ones look at the clock again.
        let (mut now, mut ticks) = (self.call.arrived, self.call.ticks);
        loop {
            let picked = attempts.pick(self.worker.random(), ticks)?;
            let path = paths.at(picked.endpoint)?;
            self.exchange.response.clear();
            let delay = match self.attempt(picked.endpoint, path, now).await {
                Ok(attempt) => {
                    let status = self.exchange.response.status();
                    if status == 101 && !tunnel::is_agreed(self.call, self.exchange.response) {
                        tracing::warn!(route = %self.route.spec.id, upstream = %picked.endpoint.url, "an upstream switched protocols without being asked");
                        picked.finish(Outcome::Failed);
                        return Err(Refusal::UpstreamMalformed);
                    }
                    let delay = if self.may_repeat() {
                        let wish = retry_after(self.exchange.response);
                        attempts.retry_status(status, wish, self.worker.random())
                    } else {
                        None
                    };
                    let is_bettered =
                        attempts.is_last_word(status) && self.route.fallback.is_some();
                    if delay.is_none() && !is_bettered {
                        return self.respond(picked, attempt).await;
                    }
                    picked.finish(Outcome::Status(status));
                    *self.spare = attempt.out.into_bytes();
                    // Without a delay the retries are exhausted, and the route has something better to say.
                    delay.ok_or(Refusal::UpstreamUnwell { status })?
                }
                Err(failed) => {
                    let reached = failed.reached;
                    let refusal = match failed.blame(self.route, picked.endpoint) {
                        Blame::ClientLeft => return Ok(self.served(499, After::Cut)),
                        Blame::Client(refusal) => return Err(refusal),
                        Blame::Upstream(refusal) => refusal,
                    };
                    picked.finish(Outcome::Failed);
                    let may_repeat = self.exchange.upload.replay.is_whole()
                        && (!reached || self.is_repeatable());
                    // The budget is asked only for a retry that would be sent.
                    may_repeat
                        .then(|| attempts.retry_failure(reached, self.worker.random()))
                        .flatten()
                        .ok_or(refusal)?
                }
            };
            tokio::time::sleep(delay).await;
            (now, ticks) = (Instant::now(), clock::now());
        }
    }

    /// Answers with the route's fallback, if it has one for this.
    async fn give_up(self, refusal: Refusal) -> Result<Served<'s>, (Refusal, BodyDecoder)> {
        let Exchange { client, upload, .. } = self.exchange;
        match &self.route.fallback {
            Some(fallback) if refusal.allows_fallback() => Ok(fallback::respond(
                self.worker,
                client,
                self.call,
                self.route,
                fallback,
                &refusal,
                &upload,
            )
            .await),
            _ => Err((refusal, upload.into_rest())),
        }
    }

    fn served(&self, status: u16, after: After) -> Served<'s> {
        Served {
            status,
            after,
            route: Some(self.route),
            finished: None,
        }
    }

    /// Whether sending it again means the same as sending it once.
    fn is_repeatable(&self) -> bool {
        let head = self.call.head;
        head.method_kind().is_idempotent() || head.find(Known::IdempotencyKey).is_some()
    }

    /// Whether it can be sent again, and may be although an upstream has seen it.
    fn may_repeat(&self) -> bool {
        self.is_repeatable() && self.exchange.upload.replay.is_whole()
    }
}

/// Makes the path that each endpoint is asked for.
struct Paths<'a, 's> {
    chosen: Chosen<'s>,
    target: CanonicalPath<'s>,
    joined: &'a mut String,
    rewrite: &'a mut RewriteScratch,
}

impl Paths<'_, '_> {
    fn at<'p>(&'p mut self, endpoint: &'p Endpoint) -> Result<&'p str, Refusal> {
        let Chosen { route, prefix_len } = self.chosen;
        let path = forward_path(
            &endpoint.base_path,
            self.target,
            prefix_len,
            route.spec.strip_prefix,
            self.joined,
        );
        match &route.rewrite {
            None => Ok(path),
            Some(rule) => rule
                .apply(path, self.rewrite)
                .map_err(|_| Refusal::RewriteFailed),
        }
    }
}

/// The upstream's wish, in its form of seconds.
fn retry_after(response: &ResponseHead) -> Option<Duration> {
    let text = std::str::from_utf8(response.find(Known::RetryAfter)?).ok()?;
    text.parse().ok().map(Duration::from_secs)
}
