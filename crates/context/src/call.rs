//! What is true of a call whoever makes it.

use std::sync::Arc;
use std::time::Duration;

use bastide_telemetry::ids::{self, RequestId, Sampled, TraceParent};
use bastide_telemetry::log::CALLS;
use tokio::time::Instant;
use tracing::Span;

/// One call: its id, its place in a trace, and until when its answer is wanted. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Call {
    ids: Arc<Ids>,
    deadline: Option<Instant>,
}

#[derive(Debug)]
struct Ids {
    request: RequestId,
    trace: TraceParent,
    caller: Option<Caller>,
}

/// Where in a trace the one is who makes a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// Its place: the span that is above the call's.
    pub place: TraceParent,
    /// Whether it came from where strangers do not get to, so that its decision about what is recorded holds.
    pub is_believed: bool,
}

/// The answer is no longer wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the deadline of this call has passed")]
pub struct DeadlinePassed;

impl Call {
    /// A call that came in with this id and trace, and is to be answered by this moment.
    pub fn incoming(request: RequestId, trace: TraceParent, deadline: Instant) -> Self {
        Self {
            ids: Arc::new(Ids {
                request,
                trace,
                caller: None,
            }),
            deadline: Some(deadline),
        }
    }

    /// The same call, made from this place in the trace that it is part of. Of a call without one the trace begins here.
    pub fn made_by(self, caller: Caller) -> Self {
        self.with(self.trace(), Some(caller))
    }

    /// The same call with the decision whether it is recorded, which goes along to what it calls itself.
    pub fn recorded(self, sampled: Sampled) -> Self {
        if self.trace().sampled() == sampled {
            return self;
        }
        self.with(self.trace().recorded(sampled), self.caller())
    }

    /// Another call of the same request: its ids, its caller and its deadline, and a place of its own in the trace.
    pub fn sibling(&self) -> Self {
        let trace = ids::with_source(|source| self.trace().child(source));
        self.with(trace, self.caller())
    }

    fn with(&self, trace: TraceParent, caller: Option<Caller>) -> Self {
        let request = self.request_id();
        Self {
            ids: Arc::new(Ids {
                request,
                trace,
                caller,
            }),
            deadline: self.deadline,
        }
    }

    /// A call that begins here and has no end.
    ///
    /// # Panics
    /// If the system gives no random numbers.
    pub fn new() -> Self {
        let (request, trace) = ids::with_source(|source| {
            let request = source.next_id();
            (request, TraceParent::start(request, source, Sampled::No))
        });
        Self {
            ids: Arc::new(Ids {
                request,
                trace,
                caller: None,
            }),
            deadline: None,
        }
    }

    /// A call that begins here and is to be answered within this time.
    ///
    /// # Panics
    /// As [`Call::new`].
    pub fn within(limit: Duration) -> Self {
        Self::new().shortened(limit)
    }

    /// The same call with another deadline; it is taken only where it is earlier.
    pub fn shortened(&self, limit: Duration) -> Self {
        // So far away that it never comes: no deadline.
        let new = Instant::now().checked_add(limit);
        let deadline = match (self.deadline, new) {
            (Some(old), Some(new)) => Some(old.min(new)),
            (old, new) => old.or(new),
        };
        Self {
            ids: self.ids.clone(),
            deadline,
        }
    }

    /// The id under which the call stands in logs and answers.
    pub fn request_id(&self) -> RequestId {
        self.ids.request
    }

    /// The place in the trace.
    pub fn trace(&self) -> TraceParent {
        self.ids.trace
    }

    /// Where in the trace its caller is, if it told.
    pub fn caller(&self) -> Option<Caller> {
        self.ids.caller
    }

    /// Until when the answer is wanted. `None`: without end.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether nothing is left at this moment, for who has just read the clock.
    pub fn is_over(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// How much time is left; `None`: without end.
    pub fn remaining(&self) -> Result<Option<Duration>, DeadlinePassed> {
        let Some(deadline) = self.deadline else {
            return Ok(None);
        };
        match deadline.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(DeadlinePassed),
            left => Ok(Some(left)),
        }
    }

    /// What the lines of the log stand in that are written for this call: they have its `request_id` and `trace_id`. Who brings a
    /// call in does its work in here (`tracing::Instrument`), once; what that work spawns takes it along by `in_current_span`.
    ///
    /// It is there from the level `error` on, under a target of its own, [`bastide_telemetry::log::CALLS`]: a line has its ids
    /// whatever level it is written at. Where nothing is logged it is nothing.
    pub fn span(&self) -> Span {
        let (request_id, trace_id) = (self.request_id(), self.trace().trace());
        tracing::error_span!(target: CALLS, "call", %request_id, %trace_id)
    }

    /// Waits for this, until the deadline and no longer. What is not done then is dropped, which cancels it.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> Result<T, DeadlinePassed> {
        match self.deadline {
            None => Ok(work.await),
            Some(deadline) => tokio::time::timeout_at(deadline, work)
                .await
                .map_err(|_| DeadlinePassed),
        }
    }
}

impl Default for Call {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_is_shortened_and_never_extended() {
        let call = Call::within(Duration::from_secs(10));
        assert_eq!(
            call.shortened(Duration::from_secs(60)).remaining(),
            Ok(Some(Duration::from_secs(10)))
        );
        assert_eq!(
            call.shortened(Duration::from_secs(3)).remaining(),
            Ok(Some(Duration::from_secs(3)))
        );
        assert_eq!(call.shortened(Duration::MAX).deadline(), call.deadline());
        assert_eq!(Call::new().remaining(), Ok(None));
        tokio::time::advance(Duration::from_millis(9_999)).await;
        assert!(!call.is_over(Instant::now()));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(call.remaining(), Err(DeadlinePassed));
        assert!(call.is_over(Instant::now()) && !Call::new().is_over(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn work_ends_with_the_deadline() {
        let call = Call::within(Duration::from_secs(1));
        assert_eq!(call.run(async { 7 }).await, Ok(7));
        assert_eq!(
            call.run(std::future::pending::<()>()).await,
            Err(DeadlinePassed)
        );
        assert_eq!(Call::new().run(async { 7 }).await, Ok(7));
    }

    #[test]
    fn a_shortened_call_is_the_same_call() {
        let call = Call::new();
        let shortened = call.shortened(Duration::from_secs(1));
        assert_eq!(call.request_id(), shortened.request_id());
        assert_eq!(call.trace(), shortened.trace());
        assert_ne!(Call::new().request_id(), call.request_id());
    }
}
