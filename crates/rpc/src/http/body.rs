//! A request's body as a route reads it: whole or as it comes, never more than is allowed, never waited for in vain.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::Stream;
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Body as IncomingBody;
use tokio::time::{Instant, Sleep};

use crate::problem::Problem;

type BoxError = Box<dyn Error + Send + Sync>;

/// Bytes per second that a client must send while it is waited for. A total time would cut off honest clients on thin lines; one
/// byte a minute is not honest.
const LEAST_RATE: u64 = 256;

/// The body of a request to a route. Nothing of it is read before it is asked for.
pub struct RawBody {
    stream: BodyStream,
    whole: usize,
}

/// The body as it comes, in constant memory. It ends with an error where it grows past the route's `max_body`, stalls or
/// breaks off; with `?` this becomes the right problem (413, 408, 400).
pub struct BodyStream {
    body: UnsyncBoxBody<Bytes, BoxError>,
    max: u64,
    left: u64,
    pace: Pace,
    fault: Fault,
    is_over: bool,
}

/// What a body ended with, for the server: it knows better than a handler what to answer then.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fault(Arc<OnceLock<Problem>>);

/// Why a body could not be read to its end.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.detail())]
struct BodyError(Problem);

/// What a body may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Bytes.
    pub(crate) max: u64,
    /// Bytes that are held at once where nobody says how many.
    pub(crate) whole: usize,
    /// How long a client is waited for that brings nothing, or next to nothing.
    pub(crate) patience: Duration,
}

impl Fault {
    pub(crate) fn get(&self) -> Option<&Problem> {
        self.0.get()
    }
}

impl RawBody {
    pub(crate) fn new<B>(body: B, bounds: Bounds) -> Self
    where
        B: IncomingBody<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        let body = body
            .map_frame(|frame| frame.map_data(|mut data| data.copy_to_bytes(data.remaining())))
            .map_err(Into::into);
        Self {
            stream: BodyStream {
                body: body.boxed_unsync(),
                max: bounds.max,
                left: bounds.max,
                pace: Pace::new(bounds.patience),
                fault: Fault::default(),
                is_over: false,
            },
            whole: bounds.whole,
        }
    }

    pub(crate) fn fault(&self) -> Fault {
        self.stream.fault.clone()
    }

    /// All of it, at most `max` bytes: more is 413 `body_too_large`.
    pub async fn bytes(mut self, max: usize) -> Result<Bytes, Problem> {
        let stream = &mut self.stream;
        stream.max = stream.max.min(max as u64);
        stream.left = stream.max;
        let mut first = Bytes::new();
        let mut all = BytesMut::new();
        while let Some(piece) = std::future::poll_fn(|cx| stream.poll_piece(cx)).await {
            let piece = piece?;
            // Most bodies come in one piece, which needs no copy.
            if first.is_empty() && all.is_empty() {
                first = piece;
            } else {
                all.extend_from_slice(&std::mem::take(&mut first));
                all.extend_from_slice(&piece);
            }
        }
        Ok(if all.is_empty() { first } else { all.freeze() })
    }

    /// All of it, at most as many bytes as [`HttpOptions::max_body`](crate::HttpOptions::max_body) allows.
    pub async fn whole(self) -> Result<Bytes, Problem> {
        let whole = self.whole;
        self.bytes(whole).await
    }

    /// As it comes.
    pub fn stream(self) -> BodyStream {
        self.stream
    }
}

impl BodyStream {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Problem>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        // A length that is told beforehand is refused before a byte of it is read.
        if self.body.size_hint().lower() > self.left {
            return self.fail(self.too_large());
        }
        loop {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    if data.is_empty() {
                        continue;
                    }
                    self.pace.went_on(data.len());
                    match self.left.checked_sub(data.len() as u64) {
                        Some(left) => self.left = left,
                        None => return self.fail(self.too_large()),
                    }
                    return Poll::Ready(Some(Ok(data)));
                }
                Poll::Ready(Some(Err(_))) => {
                    return self.fail(Problem::new(400, "malformed_body", "the body broke off"));
                }
                Poll::Ready(None) => {
                    self.is_over = true;
                    return Poll::Ready(None);
                }
                Poll::Pending if self.pace.poll_stalled(cx).is_ready() => {
                    let detail = "the body did not arrive in time";
                    return self.fail(Problem::new(408, "body_timeout", detail));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn too_large(&self) -> Problem {
        let detail = format!("the body has more than {} bytes", self.max);
        Problem::new(413, "body_too_large", detail)
    }

    fn fail(&mut self, problem: Problem) -> Poll<Option<Result<Bytes, Problem>>> {
        self.is_over = true;
        let problem = self.fault.0.get_or_init(|| problem).clone();
        Poll::Ready(Some(Err(problem)))
    }
}

impl Stream for BodyStream {
    type Item = io::Result<Bytes>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Bytes>>> {
        self.poll_piece(cx)
            .map_err(|problem| io::Error::other(BodyError(problem)))
    }
}

/// What went wrong with a request's body is the caller's to know; anything else stays inside, and in the log.
impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        let of_body = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<BodyError>());
        if let Some(BodyError(problem)) = of_body {
            return problem.clone();
        }
        tracing::error!(%error, "a route's input or output failed");
        Self::internal()
    }
}

/// How long a client has been waited for, and what it brought meanwhile. Time in which nobody asks for more does not count.
struct Pace {
    patience: Duration,
    waited: Duration,
    moved: u64,
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    fn new(patience: Duration) -> Self {
        Self {
            patience,
            waited: Duration::ZERO,
            moved: 0,
            since: None,
            timer: None,
        }
    }

    fn went_on(&mut self, bytes: usize) {
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
        }
        self.moved += bytes as u64;
        if self.moved >= (self.patience.as_secs() * LEAST_RATE).max(1) {
            self.moved = 0;
            self.waited = Duration::ZERO;
        }
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.since.is_none() {
            let now = Instant::now();
            self.since = Some(now);
            let until = now + self.patience.saturating_sub(self.waited);
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(until),
                None => self.timer = Some(Box::pin(tokio::time::sleep_until(until))),
            }
        }
        match &mut self.timer {
            Some(timer) => timer.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

impl std::fmt::Debug for RawBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawBody")
            .field("max", &self.stream.max)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for BodyStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BodyStream")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{StreamExt as _, stream};
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    const BOUNDS: Bounds = Bounds {
        max: 1 << 20,
        whole: 1 << 20,
        patience: Duration::from_secs(10),
    };

    /// Pieces of this many bytes, with this pause before each.
    fn dripping(pieces: usize, bytes: usize, pause: Duration) -> RawBody {
        let pieces = stream::iter(0..pieces).then(move |_| async move {
            tokio::time::sleep(pause).await;
            Ok::<_, Infallible>(Frame::data(Bytes::from(vec![0; bytes])))
        });
        RawBody::new(StreamBody::new(pieces), BOUNDS)
    }

    #[tokio::test(start_paused = true)]
    async fn s15_a_drip_is_cut_off_and_a_thin_line_is_not() {
        // A byte a second, which never stands still for ten seconds.
        let problem = dripping(1_000, 1, Duration::from_secs(1))
            .whole()
            .await
            .unwrap_err();
        assert_eq!((problem.status(), problem.code()), (408, "body_timeout"));
        let begun = Instant::now();
        let slow = dripping(1_000, 300, Duration::from_secs(1))
            .whole()
            .await
            .unwrap();
        assert_eq!((slow.len(), begun.elapsed().as_secs()), (300_000, 1_000));
    }

    #[tokio::test(start_paused = true)]
    async fn s15_a_handler_that_takes_its_time_does_not_make_the_client_late() {
        let mut body = dripping(5, 1, Duration::from_secs(1)).stream();
        let mut read = 0;
        while let Some(piece) = body.next().await {
            read += piece.unwrap().len();
            tokio::time::sleep(Duration::from_mins(5)).await;
        }
        assert_eq!(read, 5);
    }

    #[tokio::test(start_paused = true)]
    async fn s15_a_body_is_as_long_as_allowed_and_not_longer() {
        let body = || dripping(4, 5, Duration::ZERO);
        assert_eq!(body().bytes(20).await.unwrap().len(), 20);
        let problem = body().bytes(19).await.unwrap_err();
        assert_eq!((problem.status(), problem.code()), (413, "body_too_large"));
        let mut bounded = body();
        bounded.stream.left = 7;
        let pieces: Vec<_> = bounded.stream().collect().await;
        assert_eq!(pieces.len(), 2, "one piece fits, then it is over");
        let error = Problem::from(pieces.into_iter().next_back().unwrap().unwrap_err());
        assert_eq!(error.status(), 413);
    }

    #[test]
    fn what_fails_inside_is_not_told() {
        let problem = Problem::from(io::Error::other("/srv/secret: denied"));
        assert_eq!(problem, Problem::internal());
    }
}
