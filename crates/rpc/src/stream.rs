//! A stream of outputs after it was opened: who may go on reading it, and what is counted when it ends.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bastide_auth::{AuthError, Identity};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, Stream, StreamExt as _};
use jiff::Timestamp;
use tokio::time::{Instant, Sleep};

use crate::dispatch::{Credentials, Dispatcher};
use crate::problem::Problem;
use crate::service::Entry;
use crate::spans::Recording;

/// What a method gave.
#[derive(Debug)]
pub enum Output {
    /// One output, as JSON.
    Whole(Bytes),
    /// A stream of them.
    Stream(Items),
}

/// The items of a stream as JSON, in order. A problem is the last of them. Dropping it cancels what makes the items.
///
/// While it is read, its caller is looked at again every [`Items::RECHECK`], or as often as [`Items::recheck`] says: a token
/// that ended, a session that was revoked and whatever else would refuse a new call ends the stream with the same problem.
/// That a session was revoked is noticed so much later at most, and what its registry takes to answer; the end of a token is
/// looked for when it is due. Where the registry cannot be asked, the stream ends too, as a call would.
pub struct Items {
    /// `None`: it has ended.
    open: Option<Box<Open>>,
}

struct Open {
    items: BoxStream<'static, Result<Bytes, Problem>>,
    /// `None`: the caller is a stranger, about whom nothing can change.
    caller: Option<Caller>,
    counted: Counted,
}

impl Items {
    /// How often the caller is looked at again unless said otherwise.
    pub const RECHECK: Duration = Duration::from_secs(5);

    pub(crate) fn open(
        items: BoxStream<'static, Result<Bytes, Problem>>,
        dispatcher: &Arc<Dispatcher>,
        credentials: &Credentials,
        identity: Option<&Identity>,
        counted: Counted,
    ) -> Self {
        let guarded = AssertUnwindSafe(items).catch_unwind().map(|item| {
            item.unwrap_or_else(|_| {
                tracing::error!("a stream panicked");
                Err(Problem::internal())
            })
        });
        let caller = identity.map(|identity| Caller {
            dispatcher: dispatcher.clone(),
            credentials: credentials.clone(),
            ends: identity.expires_at(),
            every: Self::RECHECK,
            state: State::new(wait(Self::RECHECK, identity.expires_at())),
        });
        Self {
            open: Some(Box::new(Open {
                items: guarded.boxed(),
                caller,
                counted,
            })),
        }
    }

    /// Looks at the caller again this often, from now on; every millisecond at most.
    pub fn recheck(mut self, every: Duration) -> Self {
        let every = every.max(Duration::from_millis(1));
        if let Some(caller) = self.open.as_mut().and_then(|open| open.caller.as_mut()) {
            caller.every = every;
            caller.state = State::new(wait(every, caller.ends));
        }
        self
    }

    /// What makes the items is dropped, and the call counted.
    fn end(&mut self, problem: Option<Problem>) -> Poll<Option<Result<Bytes, Problem>>> {
        if let Some(mut open) = self.open.take() {
            open.counted.problem.clone_from(&problem);
        }
        Poll::Ready(problem.map(Err))
    }
}

impl Stream for Items {
    type Item = Result<Bytes, Problem>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(open) = &mut self.open else {
            return Poll::Ready(None);
        };
        // The caller first: a stream that always has an item must not keep its reader for ever.
        if let Some(Poll::Ready(problem)) =
            open.caller.as_mut().map(|caller| caller.poll_refused(cx))
        {
            return self.end(Some(problem));
        }
        match ready!(open.items.poll_next_unpin(cx)) {
            Some(Ok(item)) => Poll::Ready(Some(Ok(item))),
            Some(Err(problem)) => self.end(Some(problem)),
            None => self.end(None),
        }
    }
}

impl fmt::Debug for Items {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items")
            .field("is_open", &self.open.is_some())
            .finish_non_exhaustive()
    }
}

/// Who reads a stream, looked at again from time to time.
struct Caller {
    dispatcher: Arc<Dispatcher>,
    credentials: Credentials,
    ends: Option<Timestamp>,
    every: Duration,
    state: State,
}

enum State {
    Waiting(Pin<Box<Sleep>>),
    /// Kept while items come: a look that began anew with each item would never end.
    Looking(BoxFuture<'static, Result<(), Problem>>),
}

impl State {
    fn new(wait: Duration) -> Self {
        Self::Waiting(Box::pin(tokio::time::sleep(wait)))
    }
}

impl Caller {
    /// Ready as soon as a call of this caller would be refused.
    fn poll_refused(&mut self, cx: &mut Context<'_>) -> Poll<Problem> {
        loop {
            match &mut self.state {
                State::Waiting(sleep) => {
                    ready!(sleep.as_mut().poll(cx));
                    self.state = State::Looking(self.look());
                }
                State::Looking(look) => match ready!(look.as_mut().poll(cx)) {
                    Ok(()) => self.state = State::new(wait(self.every, self.ends)),
                    Err(problem) => return Poll::Ready(problem),
                },
            }
        }
    }

    fn look(&self) -> BoxFuture<'static, Result<(), Problem>> {
        let (dispatcher, credentials) = (self.dispatcher.clone(), self.credentials.clone());
        Box::pin(async move {
            let limit = dispatcher.deadline(None);
            // Never as at a public entry: who was known when the stream began has to stay known.
            let identity = tokio::time::timeout_at(limit, dispatcher.identify(&credentials));
            match identity.await {
                Ok(identity) => identity.map(drop),
                Err(_) => Err(AuthError::Unavailable("no answer in time".to_owned()).into()),
            }
        })
    }
}

/// When the caller is looked at next: at the token's end if that is sooner. Verifiers allow for clocks that differ, so past it
/// they are asked each second.
fn wait(every: Duration, ends: Option<Timestamp>) -> Duration {
    const PAST_THE_END: Duration = Duration::from_secs(1);
    let Some(ends) = ends else {
        return every;
    };
    let left = ends.duration_since(Timestamp::now());
    every.min(Duration::try_from(left).map_or(PAST_THE_END, |left| left.max(PAST_THE_END)))
}

/// Counts a stream as open, and as a call of its method when it is dropped.
pub(crate) struct Counted {
    dispatcher: Arc<Dispatcher>,
    /// Which method, by its place.
    number: usize,
    started: Instant,
    recording: Option<Recording>,
    /// With what it ended. None also if the caller left: it took what it wanted.
    problem: Option<Problem>,
}

impl Counted {
    pub(crate) fn new(dispatcher: &Arc<Dispatcher>, entry: &Entry, started: Instant) -> Self {
        let number = entry.number();
        dispatcher.metrics().stream_opened(number);
        Self {
            dispatcher: dispatcher.clone(),
            number,
            started,
            recording: None,
            problem: None,
        }
    }

    /// As a span too, if this is there.
    pub(crate) fn recorded(mut self, recording: Option<Recording>) -> Self {
        self.recording = recording;
        self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let metrics = self.dispatcher.metrics();
        metrics.stream_ended(self.number);
        metrics.count(self.number, self.started.elapsed(), self.problem.as_ref());
        if let Some(recording) = self.recording.take() {
            let entry = &self.dispatcher.registry().entries()[self.number];
            recording.end_method(entry, self.started, self.problem.as_ref());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_looked_at_when_its_token_ends() {
        const SECOND: Duration = Duration::from_secs(1);
        const HOUR: Duration = Duration::from_secs(3_600);
        let after = |seconds| Some(Timestamp::now() + jiff::SignedDuration::from_secs(seconds));
        assert_eq!(wait(HOUR, None), HOUR);
        assert_eq!(wait(5 * SECOND, after(100)), 5 * SECOND);
        let due = wait(HOUR, after(100));
        assert!((95 * SECOND..=100 * SECOND).contains(&due), "{due:?}");
        assert_eq!(wait(HOUR, after(-5)), SECOND);
    }
}
