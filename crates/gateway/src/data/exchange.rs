//! One attempt at one upstream over HTTP/1.1: the request goes up while the response may already come down.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use bastide_http1::{
    BodyDecoder, BodyEncoder, BodyError, Limits, Method, RequestBody, ResponseBody, ResponseError,
    ResponseHead,
};
use tokio::time::Instant;

use super::body::{PumpError, Sink, Source, poll_pump};
use super::client::Client;
use super::deadline::Deadline;
use super::outgoing::Outgoing;
use super::replay::Replay;
use super::response_head::Framing;
use crate::upstream::pool::Connection;

/// The first seconds of a body, in which its pace is not looked at.
const GRACE: Duration = Duration::from_secs(10);

/// Bytes per second that a client must send of its body, over each [`GRACE`]. A total time would cut off honest uploads
/// on thin lines; one byte a minute is no honest upload.
const MIN_RATE: u64 = 256;

/// Bytes that are read ahead while a request is being answered.
const MAX_PIPELINED: usize = 64 * 1024;

/// Interim responses (1xx) that an upstream may send before the final one.
const MAX_INTERIM: u32 = 16;

/// The request's body on its way to whichever upstream is being tried.
pub(crate) struct Upload {
    decoder: BodyDecoder,
    encoder: BodyEncoder,
    framing: RequestBody,
    /// What went out so far, for another attempt.
    pub(crate) replay: Replay,
    /// Bytes that moved.
    moved: u64,
    done: bool,
    /// The client waits for `100 Continue` before it sends.
    expects_continue: bool,
}

/// Bytes on their way to an upstream, and the connection that they take.
pub(crate) struct Attempt {
    pub(crate) connection: Connection,
    pub(crate) out: Outgoing,
    /// Whether any byte of a response came.
    pub(crate) answered: bool,
    /// The upstream stopped reading; it may still have answered.
    upload_broken: bool,
    interim: u32,
}

/// How long an attempt may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// Until the response's head, counted from the end of the request.
    pub(crate) head: Duration,
    /// Without a byte, in a body.
    pub(crate) idle: Duration,
    /// The end of everything, if there is one.
    pub(crate) total: Option<Instant>,
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
    /// No head in time.
    Timeout,
}

impl Upload {
    pub(crate) fn new(framing: RequestBody, expects_continue: bool, limits: &Limits) -> Self {
        Self {
            decoder: BodyDecoder::new(framing, limits),
            encoder: BodyEncoder::new(framing),
            framing,
            replay: Replay::default(),
            moved: 0,
            done: false,
            expects_continue,
        }
    }

    /// What is left of the body on the client's connection.
    pub(crate) fn into_rest(self) -> BodyDecoder {
        self.decoder
    }

    /// Whether the whole body went up.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// Whether the client's connection stands at the end of this request, so that another may follow.
    pub(crate) fn is_drained(&self) -> bool {
        self.decoder.is_done() || self.framing == RequestBody::None
    }

    /// Begins again for another attempt: what went out before goes out first.
    pub(crate) fn restart(&mut self, out: &mut Outgoing) {
        self.encoder = BodyEncoder::new(self.framing);
        self.done = false;
        self.encoder
            .encode(self.replay.bytes(), &mut out.bytes)
            .expect("what fitted the announced length once fits it again");
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Client,
        attempt: &mut Attempt,
    ) -> Poll<Result<(), PumpError>> {
        let mut source = Source {
            stream: &mut client.stream,
            buffer: &mut client.input,
            decoder: &mut self.decoder,
        };
        let mut sink = Sink {
            stream: &mut attempt.connection.stream,
            out: &mut attempt.out,
            encoder: &mut self.encoder,
        };
        poll_pump(cx, &mut source, &mut sink, &mut self.moved, |data| {
            self.replay.record(data);
        })
    }
}

impl Attempt {
    pub(crate) fn new(connection: Connection, out: Outgoing) -> Self {
        Self {
            connection,
            out,
            answered: false,
            upload_broken: false,
            interim: 0,
        }
    }

    /// Sends the request, whose head is in `out`, and reads the response's head.
    #[expect(
        clippy::too_many_arguments,
        reason = "both connections, the body and its bounds meet here"
    )]
    pub(crate) async fn run(
        &mut self,
        client: &mut Client,
        upload: &mut Upload,
        response: &mut ResponseHead,
        method: Method,
        limits: &Limits,
        times: &Times,
        now: Instant,
    ) -> Result<(), Failure> {
        if upload.expects_continue && !upload.is_drained() && client.input.is_empty() {
            upload.expects_continue = false;
            client.put_continue();
            client.flush().await.map_err(|_| Failure::ClientGone)?;
        }
        let was_drained = upload.is_drained();
        let mut pace = Pace::new(now, upload.moved);
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
            if !upload.done && !self.upload_broken {
                match upload.poll(cx, client, self) {
                    Poll::Ready(Ok(())) => {
                        upload.done = true;
                        if !was_drained {
                            times.arm(&mut client.deadline, Instant::now(), times.head);
                        }
                    }
                    // It may have answered without reading on; a refusal of a large body, say.
                    Poll::Ready(Err(PumpError::Sink)) => {
                        self.upload_broken = true;
                        times.arm(
                            &mut client.deadline,
                            Instant::now(),
                            times.head.min(Duration::from_secs(1)),
                        );
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(client_failure(&error))),
                    Poll::Pending => {}
                }
            }
            // Also in the pass in which the upload ends, or nobody would be woken when the client goes.
            if upload.done && client_left(cx, client) {
                return Poll::Ready(Err(Failure::ClientGone));
            }
            match self.poll_head(cx, response, method, limits) {
                Poll::Ready(result) => return Poll::Ready(result),
                Poll::Pending => {}
            }
            while client.deadline.poll(cx).is_ready() {
                if upload.done || self.upload_broken || !pace.goes_on(upload.moved) {
                    let failure = if upload.done || self.upload_broken {
                        Failure::Timeout
                    } else {
                        Failure::ClientTimeout
                    };
                    return Poll::Ready(Err(failure));
                }
                times.arm(&mut client.deadline, Instant::now(), GRACE.min(times.idle));
            }
            Poll::Pending
        })
        .await
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        response: &mut ResponseHead,
        method: Method,
        limits: &Limits,
    ) -> Poll<Result<(), Failure>> {
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
                        return Poll::Ready(Err(Failure::Closed));
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
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Failure::Closed)),
                Poll::Ready(Ok(_)) => self.answered = true,
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Relays the response's body to the client, whose head is in `client.out` already, and the rest of the request's
    /// body with it. Returns whether the client got all of it.
    #[expect(
        clippy::too_many_arguments,
        reason = "both connections, both bodies and their bounds meet here"
    )]
    pub(crate) async fn relay(
        &mut self,
        client: &mut Client,
        upload: &mut Upload,
        body: ResponseBody,
        framing: Framing,
        limits: &Limits,
        times: &Times,
        mut seen: impl FnMut(&[u8]),
    ) -> Result<(), RelayError> {
        let mut decoder = BodyDecoder::new(body, limits);
        let mut encoder = BodyEncoder::new(ResponseBody::from(framing));
        let mut moved = 0;
        let mut pace = Progress { moved: 0 };
        times.arm(&mut client.deadline, Instant::now(), times.idle);
        poll_fn(|cx| {
            if !upload.done
                && !self.upload_broken
                && let Poll::Ready(result) = upload.poll(cx, client, self)
            {
                match result {
                    Ok(()) => upload.done = true,
                    Err(PumpError::Sink) => self.upload_broken = true,
                    Err(_) => return Poll::Ready(Err(RelayError::Client)),
                }
            }
            let Connection { stream, buffer, .. } = &mut self.connection;
            let mut source = Source {
                stream,
                buffer,
                decoder: &mut decoder,
            };
            let Client { stream, out, .. } = client;
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
            if upload.done && client_left(cx, client) {
                return Poll::Ready(Err(RelayError::Client));
            }
            while client.deadline.poll(cx).is_ready() {
                if times.is_over() || !pace.goes_on(moved + upload.moved) {
                    return Poll::Ready(Err(if client.out.is_empty() {
                        RelayError::Upstream
                    } else {
                        RelayError::Client
                    }));
                }
                times.arm(&mut client.deadline, Instant::now(), times.idle);
            }
            Poll::Pending
        })
        .await?;
        if decoder.is_done() {
            Ok(())
        } else {
            Err(RelayError::Upstream)
        }
    }
}

/// Which side broke a response off. The client sees a response cut short, never one that looks whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RelayError {
    /// The client went away or took nothing for too long.
    Client,
    /// The upstream broke off or sent nothing for too long.
    Upstream,
}

impl Times {
    fn arm(&self, deadline: &mut Deadline, now: Instant, after: Duration) {
        let at = now + after;
        deadline.set(self.total.map_or(at, |total| at.min(total)));
    }

    fn is_over(&self) -> bool {
        self.total.is_some_and(|total| Instant::now() >= total)
    }
}

/// Whether an upload goes on at a pace that is more than a drip.
struct Pace {
    since: Instant,
    moved: u64,
}

impl Pace {
    fn new(since: Instant, moved: u64) -> Self {
        Self { since, moved }
    }

    fn goes_on(&mut self, moved: u64) -> bool {
        let now = Instant::now();
        let due = now.duration_since(self.since).as_secs() * MIN_RATE;
        let goes_on = moved - self.moved >= due.max(1);
        *self = Self::new(now, moved);
        goes_on
    }
}

/// Whether anything moved at all since the last look.
struct Progress {
    moved: u64,
}

impl Progress {
    fn goes_on(&mut self, moved: u64) -> bool {
        std::mem::replace(&mut self.moved, moved) != moved
    }
}

/// Whether the client closed its connection while it waits. What it sends meanwhile (pipelined requests) stays in the
/// buffer; when there is too much of that, nobody looks any further until its turn comes.
fn client_left(cx: &mut Context<'_>, client: &mut Client) -> bool {
    while client.input.data().len() < MAX_PIPELINED {
        match client.stream.poll_fill(cx, &mut client.input) {
            Poll::Ready(Ok(0) | Err(_)) => return true,
            Poll::Ready(Ok(_)) => {}
            Poll::Pending => return false,
        }
    }
    false
}

fn client_failure(error: &PumpError) -> Failure {
    match error {
        PumpError::Framing(BodyError::Truncated) | PumpError::Source => Failure::ClientGone,
        PumpError::Framing(error) => Failure::ClientFraming(*error),
        PumpError::Sink | PumpError::Encode => Failure::Closed,
    }
}
