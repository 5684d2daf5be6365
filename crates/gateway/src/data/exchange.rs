//! One attempt at one upstream over HTTP/1.1: the request goes up while the response may already come down.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bastide_http1::{
    BodyDecoder, BodyEncoder, BodyError, Limits, Method, ResponseBody, ResponseError, ResponseHead,
};
use tokio::time::Instant;

use super::body::{PumpError, Sink, Source, poll_pump};
use super::client::Client;
use super::outgoing::Outgoing;
use super::pace::{GRACE, Pace, Progress, Taking, Times};
use super::response_head::Framing;
use super::upload::Upload;
use crate::upstream::pool::Connection;

/// Interim responses (1xx) that an upstream may send before the final one: enough for one that says every few seconds of a long
/// work that it goes on (102), and an end for one that says nothing else. They do not lengthen the time to the final one.
const MAX_INTERIM: u32 = 100;

/// What all attempts at one request work on, one after the other.
pub(crate) struct Exchange<'a> {
    pub(crate) client: &'a mut Client,
    pub(crate) upload: Upload,
    /// The response's head, once it came.
    pub(crate) response: &'a mut ResponseHead,
    /// The request's, by which a response is framed.
    pub(crate) method: Method,
    pub(crate) limits: &'a Limits,
}

/// Bytes on their way to an upstream, and the connection that they take.
pub(crate) struct Attempt {
    pub(crate) connection: Connection,
    pub(crate) out: Outgoing,
    pub(crate) times: Times,
    /// Whether any byte of a response came.
    pub(crate) answered: bool,
    /// Whether the upstream closed its side in order before any answer was whole.
    pub(crate) ended_in_order: bool,
    /// The upstream stopped reading; it may still have answered.
    upload_broken: bool,
    interim: u32,
    /// When its latest part began: sending the request, then relaying the response.
    pub(crate) since: Instant,
}

/// Why an attempt brought no response.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The client went away; there is nobody left to answer.
    ClientGone,
    /// The client's body stopped.
    ClientTimeout,
    /// The client's body is framed wrongly.
    ClientFraming(BodyError),
    /// The upstream closed or reset the connection.
    Closed,
    /// The upstream's answer is no HTTP.
    Malformed(ResponseError),
    /// It sends one interim response after the other.
    TooManyInterim,
    /// No head in time.
    Timeout,
}

/// Which side broke a response off. The client sees a response cut short, never one that looks whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RelayError {
    /// The client went away, or had not taken all when the time for everything was over.
    Client,
    /// The client took too little of what was there.
    SlowClient,
    /// The upstream broke off or sent nothing for too long.
    Upstream,
}

impl Exchange<'_> {
    /// Waits before another attempt. `false` when the client left meanwhile.
    pub(crate) async fn pause(&mut self, delay: Duration) -> bool {
        if delay.is_zero() {
            return true;
        }
        let Self { client, upload, .. } = self;
        client.deadline.set_after(Instant::now(), delay);
        poll_fn(|cx| {
            if upload.is_drained() && client.has_left(cx) {
                return Poll::Ready(false);
            }
            client.deadline.poll(cx).map(|()| true)
        })
        .await
    }
}

impl Attempt {
    pub(crate) fn new(connection: Connection, out: Outgoing, times: Times, now: Instant) -> Self {
        Self {
            connection,
            out,
            times,
            answered: false,
            ended_in_order: false,
            upload_broken: false,
            interim: 0,
            since: now,
        }
    }

    /// Sends the request, whose head is in `out`, and reads the response's head.
    pub(crate) async fn run(&mut self, exchange: &mut Exchange<'_>) -> Result<(), Failure> {
        let now = self.since;
        let Exchange { client, upload, .. } = exchange;
        if !upload.is_drained() && client.input.is_empty() && upload.take_expectation() {
            client.put_continue();
            client.flush().await.map_err(|_| Failure::ClientGone)?;
        }
        let was_drained = upload.is_drained();
        let mut pace = Pace::new(now, upload.moved());
        let times = self.times;
        times.arm(
            &mut client.deadline,
            now,
            if was_drained {
                times.head
            } else {
                GRACE.min(times.idle)
            },
        );
        poll_fn(|cx| {
            match self.poll_upload(cx, exchange) {
                Poll::Ready(Ok(())) if !was_drained => {
                    times.arm(&mut exchange.client.deadline, Instant::now(), times.head);
                }
                // It may have answered without reading on; a refusal of a large body, say.
                Poll::Ready(Err(PumpError::Sink)) => times.arm(
                    &mut exchange.client.deadline,
                    Instant::now(),
                    times.head.min(Duration::from_secs(1)),
                ),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(client_failure(&error))),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
            // Also in the pass in which the upload ends, or nobody would be woken when the client goes.
            if exchange.upload.is_done() && exchange.client.has_left(cx) {
                return Poll::Ready(Err(Failure::ClientGone));
            }
            match self.poll_head(cx, exchange) {
                Poll::Ready(result) => return Poll::Ready(result),
                Poll::Pending => {}
            }
            while exchange.client.deadline.poll(cx).is_ready() {
                if exchange.upload.is_done() || self.upload_broken {
                    return Poll::Ready(Err(Failure::Timeout));
                }
                if !pace.goes_on(exchange.upload.moved()) {
                    // What came is not taken: then it is not the client who keeps everybody waiting.
                    return Poll::Ready(Err(if self.out.is_empty() {
                        Failure::ClientTimeout
                    } else {
                        Failure::Timeout
                    }));
                }
                times.arm(
                    &mut exchange.client.deadline,
                    Instant::now(),
                    GRACE.min(times.idle),
                );
            }
            Poll::Pending
        })
        .await?;
        self.since = Instant::now();
        Ok(())
    }

    /// Sends what there is of the request. Ready once, when it is whole or cannot go on.
    fn poll_upload(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange<'_>,
    ) -> Poll<Result<(), PumpError>> {
        if exchange.upload.is_done() || self.upload_broken {
            return Poll::Pending;
        }
        let polled = exchange
            .upload
            .poll(cx, exchange.client, &mut self.connection, &mut self.out);
        self.upload_broken = matches!(polled, Poll::Ready(Err(PumpError::Sink)));
        polled
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange<'_>,
    ) -> Poll<Result<(), Failure>> {
        let (limits, method) = (exchange.limits, exchange.method);
        let response = &mut *exchange.response;
        loop {
            match response.parse(self.connection.buffer.data(), limits, method) {
                Ok(Some(consumed)) => {
                    self.connection.buffer.consume(consumed);
                    if !response.is_informational() {
                        return Poll::Ready(Ok(()));
                    }
                    // The gateway answers expectations itself; other interim responses are advice that may be dropped.
                    self.interim += 1;
                    if self.interim > MAX_INTERIM {
                        return Poll::Ready(Err(Failure::TooManyInterim));
                    }
                    response.clear();
                    continue;
                }
                Ok(None) => {}
                Err(error) => return Poll::Ready(Err(Failure::Malformed(error))),
            }
            match self
                .connection
                .stream
                .poll_fill(cx, &mut self.connection.buffer)
            {
                Poll::Ready(Ok(0)) => {
                    self.ended_in_order = true;
                    return Poll::Ready(Err(Failure::Closed));
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Failure::Closed)),
                Poll::Ready(Ok(_)) => self.answered = true,
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Relays the response's body to the client, whose head is in the client's `out` already, and the rest of the
    /// request's body with it. `seen` gets each piece of data. Returns whether the client got all of it.
    pub(crate) async fn relay(
        &mut self,
        exchange: &mut Exchange<'_>,
        framing: Framing,
        mut seen: impl FnMut(&[u8]),
    ) -> Result<(), RelayError> {
        let mut decoder = BodyDecoder::new(exchange.response.body(), exchange.limits);
        let mut encoder = BodyEncoder::new(ResponseBody::from(framing));
        let mut moved = 0;
        let (mut progress, mut taking) = (Progress::default(), Taking::default());
        let times = self.times;
        let span = times.taking;
        let mut quiet = self.since + times.idle;
        poll_fn(|cx| {
            match self.poll_upload(cx, exchange) {
                Poll::Ready(Err(PumpError::Sink) | Ok(())) | Poll::Pending => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(RelayError::Client)),
            }
            let Connection { stream, buffer, .. } = &mut self.connection;
            let mut source = Source {
                stream,
                buffer,
                decoder: &mut decoder,
            };
            let Client { stream, out, .. } = &mut *exchange.client;
            let mut sink = Sink {
                stream,
                out,
                encoder: &mut encoder,
            };
            match poll_pump(cx, &mut source, &mut sink, &mut moved, &mut seen) {
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(PumpError::Sink)) => return Poll::Ready(Err(RelayError::Client)),
                Poll::Ready(Err(_)) => return Poll::Ready(Err(RelayError::Upstream)),
                Poll::Pending => {}
            }
            let Exchange { client, upload, .. } = &mut *exchange;
            if upload.is_done() && client.has_left(cx) {
                return Poll::Ready(Err(RelayError::Client));
            }
            loop {
                let due = taking.due(!client.out.is_empty(), span);
                let at = due.map_or(quiet, |due| due.min(quiet));
                client.deadline.set(times.until(at));
                ready!(client.deadline.poll(cx));
                let now = Instant::now();
                if !taking.goes_on(now, span, || client.taken()) {
                    return Poll::Ready(Err(RelayError::SlowClient));
                }
                let mut is_quiet = false;
                if now >= quiet {
                    quiet = now + times.idle;
                    // While something waits for the client, it is the client's pace that decides.
                    is_quiet = !progress.goes_on(moved + upload.moved()) && client.out.is_empty();
                }
                if is_quiet || times.is_over() {
                    return Poll::Ready(Err(if client.out.is_empty() {
                        RelayError::Upstream
                    } else {
                        RelayError::Client
                    }));
                }
            }
        })
        .await?;
        if decoder.is_done() {
            Ok(())
        } else {
            Err(RelayError::Upstream)
        }
    }
}

fn client_failure(error: &PumpError) -> Failure {
    match error {
        PumpError::Framing(BodyError::Truncated) | PumpError::Source => Failure::ClientGone,
        PumpError::Framing(error) => Failure::ClientFraming(*error),
        PumpError::Sink | PumpError::Encode => Failure::Closed,
    }
}
