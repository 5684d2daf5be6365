//! Station: to an upstream and back, with as many attempts as the route allows.

use std::time::Duration;

use bastide_http1::{BodyDecoder, Known, Method, ResponseBody, ResponseHead, Upgrade};
use bastide_limit::clock;
use bastide_routing::{RewriteScratch, forward_path};
use tokio::time::Instant;

use super::call::Call;
use super::client::Client;
use super::connection::After;
use super::exchange::{Attempt, Failure, RelayError, Times, Upload};
use super::line::Served;
use super::outgoing::Outgoing;
use super::refusal::Refusal;

use super::response_head::{self, Framing};
use super::routes::Chosen;
use super::worker::Worker;
use super::{dial, last_good, phase::Phase, request_head, tunnel};
use crate::snapshot::{Attempts, Outcome, Picked, RouteEntry};

/// An event stream may be silent for long; it ends when somebody closes it.
const EVENT_STREAM_IDLE: Duration = Duration::from_secs(3600);

/// Buffers that requests use one after the other.
#[derive(Default)]
pub(crate) struct Scratch {
    response: ResponseHead,
    joined: String,
    rewrite: RewriteScratch,
    upstream_out: Vec<u8>,
}

/// Sends the request to an upstream and its response to the client.
pub(crate) async fn forward<'s>(
    worker: &Worker,
    client: &mut Client,
    call: &Call<'s>,
    chosen: Chosen<'s>,
    scratch: &mut Scratch,
) -> Result<Served<'s>, (Refusal, BodyDecoder)> {
    let route = chosen.route;
    let Scratch {
        response,
        joined,
        rewrite,
        upstream_out,
    } = scratch;
    let method = call.head.method_kind();
    let total = route.times.total.map(|total| call.arrived + total);
    let mut upload = Upload::new(
        call.head.body(),
        call.head.expects_continue(),
        &worker.shared.limits,
    );
    let mut attempts = Attempts::new(route, call.ticks);
    // The first attempt begins when the request came; only later ones look at the clock again.
    let (mut now, mut ticks) = (call.arrived, call.ticks);
    let refusal = loop {
        let picked = match attempts.pick(worker.random(), ticks) {
            Ok(picked) => picked,
            Err(refusal) => break refusal,
        };
        let times = Times {
            head: route.times.head(method, picked.endpoint),
            idle: route.times.idle,
            total,
        };
        response.clear();
        let out = Outgoing::over(std::mem::take(upstream_out));
        let base = &picked.endpoint.base_path;
        let path = forward_path(
            base,
            call.target,
            chosen.prefix_len,
            route.spec.strip_prefix,
            joined,
        );
        let path = match &route.rewrite {
            None => path,
            Some(rule) => match rule.apply(path, rewrite) {
                Ok(path) => path,
                Err(_) => break Refusal::RewriteFailed,
            },
        };
        let request = Request {
            call,
            route,
            path,
            method,
        };
        let (failure, reached) = match attempt(
            worker,
            client,
            &request,
            &picked,
            &mut upload,
            response,
            &times,
            now,
            out,
        )
        .await
        {
            Ok(mut attempt) => {
                let status = response.status();
                if status == 101 && !tunnel::is_agreed(call, response) {
                    tracing::warn!(route = %route.spec.id, upstream = %picked.endpoint.url, "an upstream switched protocols without being asked");
                    picked.finish(Outcome::Failed);
                    break Refusal::UpstreamMalformed;
                }
                let may_retry = may_repeat(call, &upload);
                if may_retry
                    && let Some(delay) =
                        attempts.retry_status(status, retry_after(response), worker.random())
                {
                    picked.finish(Outcome::Status(status));
                    *upstream_out = attempt.out.into_bytes();
                    tokio::time::sleep(delay).await;
                    (now, ticks) = (Instant::now(), clock::now());
                    continue;
                }
                if !attempts.is_last_word(status) || route.fallback.is_none() {
                    let responded = respond(
                        worker,
                        client,
                        call,
                        route,
                        picked,
                        attempt,
                        &mut upload,
                        response,
                        &times,
                        upstream_out,
                    )
                    .await;
                    match responded {
                        Ok(served) => return Ok(served),
                        Err(refusal) => break refusal,
                    }
                }
                // The retries are exhausted and the route has something better to say.
                picked.finish(Outcome::Status(status));
                *upstream_out = std::mem::take(&mut attempt.out).into_bytes();
                break Refusal::UpstreamUnwell { status };
            }
            Err(failed) => failed,
        };
        let refusal = match failure {
            Failed::Connect(refusal) => refusal,
            Failed::Exchange(Failure::ClientGone) => {
                drop(picked);
                return Ok(Served {
                    status: 499,
                    after: After::Cut,
                    route: Some(route),
                    finished: None,
                });
            }
            Failed::Exchange(Failure::ClientTimeout) => {
                drop(picked);
                break Refusal::BodyTimeout;
            }
            Failed::Exchange(Failure::ClientFraming(error)) => {
                drop(picked);
                let (status, code) = (error.status(), error.code());
                break Refusal::Malformed {
                    status,
                    code,
                    detail: error.to_string(),
                };
            }
            Failed::Exchange(Failure::Closed) => Refusal::UpstreamClosed,
            Failed::Exchange(Failure::Malformed(error)) => {
                tracing::warn!(route = %route.spec.id, upstream = %picked.endpoint.url, %error, "an upstream's response is not valid");
                Refusal::UpstreamMalformed
            }
            Failed::Exchange(Failure::Timeout) => Refusal::UpstreamTimeout,
        };
        picked.finish(Outcome::Failed);
        let may_repeat = upload.replay.is_whole() && (!reached || is_repeatable(call));
        // The budget is asked only for a retry that would be sent.
        let delay = may_repeat.then(|| attempts.retry_failure(reached, worker.random()));
        let Some(delay) = delay.flatten() else {
            break refusal;
        };
        tokio::time::sleep(delay).await;
        (now, ticks) = (Instant::now(), clock::now());
    };
    if refusal.allows_fallback()
        && let Some(fallback) = &route.fallback
    {
        return Ok(super::fallback::respond(
            worker, client, call, route, fallback, &refusal, &upload,
        )
        .await);
    }
    Err((refusal, upload.into_rest()))
}

/// What every attempt at one request has in common.
struct Request<'a, 's> {
    call: &'a Call<'s>,
    route: &'a RouteEntry,
    /// What is asked of the upstream.
    path: &'a str,
    method: Method,
}

/// Why an attempt brought no response.
enum Failed {
    /// No connection.
    Connect(Refusal),
    /// There was one.
    Exchange(Failure),
}

/// One attempt; over a pooled connection that turns out to be dead, another follows at once over a new one. An error
/// comes with whether the upstream may have seen the request.
#[expect(
    clippy::too_many_arguments,
    reason = "these are the parts of a connection that an attempt borrows"
)]
async fn attempt(
    worker: &Worker,
    client: &mut Client,
    request: &Request<'_, '_>,
    picked: &Picked<'_>,
    upload: &mut Upload,
    response: &mut ResponseHead,
    times: &Times,
    mut now: Instant,
    mut out: Outgoing,
) -> Result<Attempt, (Failed, bool)> {
    let endpoint = picked.endpoint;
    loop {
        let is_tunnel = request.call.head.upgrade() == Upgrade::WebSocket;
        let pooled = dial::pooled(worker, endpoint, is_tunnel, now);
        let mut connection = if let Some(connection) = pooled {
            connection
        } else {
            let dialled = dial::dial(worker, request.route, endpoint, is_tunnel).await;
            now = Instant::now();
            dialled.map_err(|refusal| (Failed::Connect(refusal), false))?
        };
        if connection.buffer.is_unused() {
            connection.buffer = worker.take_buffer();
        }
        out.clear();
        request_head::write(
            &mut out.bytes,
            request.call,
            request.route,
            endpoint,
            request.path,
        );
        upload.restart(&mut out);
        let mut attempt = Attempt::new(connection, out);
        let result = attempt
            .run(
                client,
                upload,
                response,
                request.method,
                &worker.shared.limits,
                times,
                now,
            )
            .await;
        let failure = match result {
            Ok(()) => return Ok(attempt),
            Err(failure) => failure,
        };
        let connection = &mut attempt.connection;
        let is_closed = !attempt.answered && matches!(failure, Failure::Closed);
        // Between our look at the pooled connection and our bytes the other side may have closed it. If its kernel never
        // acknowledged a byte of this request, no program has read it, and sending it again is safe whatever it does.
        let was_unseen = !attempt.answered && connection.is_last_request_unseen();
        if was_unseen || matches!(failure, Failure::Timeout) {
            connection.retire();
        }
        let is_stale = connection.may_be_stale(was_unseen) && is_closed;
        let may_repeat = upload.replay.is_whole() && (was_unseen || is_repeatable(request.call));
        if is_stale && may_repeat {
            now = Instant::now();
            worker.metrics.stale_connection();
            out = attempt.out;
            response.clear();
            continue;
        }
        return Err((Failed::Exchange(failure), !was_unseen));
    }
}

/// Relays a response, gives the connection back, and says what becomes of the client's.
#[expect(
    clippy::too_many_arguments,
    reason = "these are the parts of an exchange that its end puts away"
)]
async fn respond<'s>(
    worker: &Worker,
    client: &mut Client,
    call: &Call<'_>,
    route: &'s RouteEntry,
    picked: Picked<'_>,
    mut attempt: Attempt,
    upload: &mut Upload,
    response: &ResponseHead,
    times: &Times,
    spare: &mut Vec<u8>,
) -> Result<Served<'s>, Refusal> {
    let status = response.status();
    if status == 101 {
        picked.finish(Outcome::Status(status));
        let after = tunnel::run(worker, client, call, route, attempt, response).await;
        return Ok(Served {
            status,
            after,
            route: Some(route),
            finished: None,
        });
    }
    // A failure is known by its head, and the next request should know it too; a success only when it is whole.
    let mut picked = Some(picked);
    if status >= 500
        && let Some(picked) = picked.take()
    {
        picked.finish(Outcome::Status(status));
    }
    let written_before = client.out.total();
    let body = response.body();
    let framing = Framing::towards(call.head.version(), body);
    // A request whose body is still coming when the answer is there cannot be followed by another one.
    let mut keep = call.head.keep_alive()
        && framing != Framing::UntilClose
        && worker.phase() == Phase::Running
        && upload.is_drained();
    response_head::write_forwarded(&mut client.out.bytes, call, route, response, framing, keep);
    let idle = if is_event_stream(response) {
        EVENT_STREAM_IDLE.max(times.idle)
    } else {
        times.idle
    };
    let times = Times { idle, ..*times };
    let mut record = last_good::Recording::begin(call, route, response);
    let relayed = attempt
        .relay(
            client,
            upload,
            body,
            framing,
            &worker.shared.limits,
            &times,
            |data| {
                if let Some(record) = &mut record {
                    record.add(data);
                }
            },
        )
        .await;
    let outcome = match relayed {
        Err(RelayError::Upstream) => Outcome::Failed,
        _ => Outcome::Status(status),
    };
    if let Some(picked) = picked {
        picked.finish(outcome);
    }
    if relayed == Err(RelayError::Upstream) {
        if client.out.total() == written_before {
            // Nothing of it has gone out: the client gets a proper answer instead of none.
            client.out.clear();
            return Err(Refusal::UpstreamClosed);
        }
        // What came is worth more than nothing; that it is not all shows by the end of the connection.
        client
            .deadline
            .set_after(Instant::now(), super::WRITE_TIMEOUT);
        client.flush().await.ok();
    }
    if let (Ok(()), Some(record)) = (relayed, record) {
        record.finish(route);
    }
    keep &= upload.is_drained();
    let Attempt {
        mut connection,
        out,
        ..
    } = attempt;
    connection.note_written(out.total());
    *spare = out.into_bytes();
    let finished = Instant::now();
    if relayed.is_ok() && upload.is_done() && response.keep_alive() && connection.buffer.is_empty()
    {
        worker.give_buffer(std::mem::take(&mut connection.buffer));
        worker
            .pool
            .borrow_mut()
            .put(connection, response.keep_alive_timeout(), finished);
    }
    let after = match relayed {
        Ok(()) if keep => After::KeepAlive,
        Ok(()) => After::Close,
        // A body that ends with the connection looks whole after an orderly end.
        Err(_) if framing == Framing::UntilClose => After::Reset,
        Err(_) => After::Cut,
    };
    Ok(Served {
        status,
        after,
        route: Some(route),
        finished: Some(finished),
    })
}

/// Whether sending it again means the same as sending it once.
fn is_repeatable(call: &Call<'_>) -> bool {
    call.head.method_kind().is_idempotent() || call.head.find(Known::IdempotencyKey).is_some()
}

fn may_repeat(call: &Call<'_>, upload: &Upload) -> bool {
    is_repeatable(call) && upload.replay.is_whole()
}

/// The upstream's wish, in its form of seconds.
fn retry_after(response: &ResponseHead) -> Option<Duration> {
    let text = std::str::from_utf8(response.find(Known::RetryAfter)?).ok()?;
    text.parse().ok().map(Duration::from_secs)
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
