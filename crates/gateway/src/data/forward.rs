//! Station: to an upstream and back, with as many attempts as the route allows.
//!
//! Here is the loop over attempts; [`attempt`] makes one, [`verdict`] decides whether it will do, [`relay`] brings its
//! response to the client.

mod attempt;
mod relay;
mod verdict;

use std::time::Duration;

use bastide_http1::{BodyDecoder, ResponseHead};
use bastide_limit::clock;
use bastide_routing::{CanonicalPath, RewriteScratch, forward_path};
use tokio::time::Instant;

use super::call::Call;
use super::client::Client;
use super::connection::After;
use super::exchange::Exchange;
use super::fallback;
use super::line::Served;
use super::metrics::Retried;
use super::refusal::Refusal;
use super::routes::Chosen;
use super::upload::Upload;
use super::worker::Worker;
use crate::snapshot::{Attempts, Endpoint, RouteEntry};

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
    call: &mut Call<'s>,
    chosen: Chosen<'s>,
    scratch: &mut Scratch,
) -> Result<Served<'s>, (Refusal, BodyDecoder)> {
    let limits = &worker.shared.limits;
    let target = call.target;
    let mut forwarding = Forwarding {
        worker,
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
        call,
    };
    let paths = Paths {
        chosen,
        target,
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
    call: &'a mut Call<'s>,
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
        let worker = self.worker;
        let mut attempts = Attempts::new(self.route, self.call.ticks);
        // The first attempt begins when the way was free; only later ones look at the clock again.
        let (mut now, mut ticks) = (self.call.free, self.call.ticks);
        // Why this attempt is a retry, if it is one.
        let mut retry = None;
        loop {
            let picked = attempts
                .pick(worker.random(), ticks)
                .inspect_err(|_| self.count_retry(retry, Retried::Failure))?;
            let endpoint = picked.endpoint;
            let path = paths.at(endpoint)?;
            self.call.endpoint = Some(endpoint);
            self.call.attempts += 1;
            self.exchange.response.clear();
            let lost = match self.attempt(endpoint, path, now).await {
                Ok(mut attempt) => {
                    let status = self.exchange.response.status();
                    let books = &worker.metrics.upstreams;
                    books.answered(endpoint, status, attempt.since - now);
                    let Some(lost) = self.judge_response(endpoint, &mut attempts) else {
                        self.count_retry(retry, Retried::of(attempts.is_retryable(status)));
                        let (served, ended_well) = self.respond(picked, &mut attempt).await?;
                        self.put_back(attempt, ended_well);
                        return Ok(served);
                    };
                    *self.spare = attempt.out.into_bytes();
                    lost
                }
                Err(failed) => match self.judge_failure(failed, endpoint, &mut attempts) {
                    Ok(lost) => lost,
                    Err(served) => {
                        self.count_retry(retry, Retried::Cancelled);
                        return served;
                    }
                },
            };
            picked.finish(lost.outcome, Instant::now());
            self.count_retry(retry, Retried::Failure);
            let Some(delay) = lost.delay else {
                return Err(lost.refusal);
            };
            // What cannot begin before the end of everything is not waited for.
            if delay >= self.left(Instant::now()) {
                return Err(lost.refusal);
            }
            retry = Some(lost.reason);
            if !self.exchange.pause(delay).await {
                self.count_retry(retry, Retried::Cancelled);
                return Ok(self.served(499, After::Cut));
            }
            now = Instant::now();
            ticks = clock::at(now.into_std());
        }
    }

    /// How long everything may still take.
    fn left(&self, now: Instant) -> Duration {
        self.until
            .map_or(Duration::MAX, |until| until.saturating_duration_since(now))
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
            refusal: None,
        }
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
