//! How long an attempt may take, and what counts as going on.

use std::time::Duration;

use tokio::time::Instant;

use super::deadline::Deadline;

/// The first seconds of a body, in which its pace is not looked at.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// Bytes per second that a client must send of its body, over each [`GRACE`]. A total time would cut off honest uploads
/// on thin lines; one byte a minute is no honest upload.
const MIN_RATE: u64 = 256;

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

impl Times {
    pub(crate) fn arm(&self, deadline: &mut Deadline, now: Instant, after: Duration) {
        let at = now + after;
        deadline.set(self.total.map_or(at, |total| at.min(total)));
    }

    pub(crate) fn is_over(&self) -> bool {
        self.total.is_some_and(|total| Instant::now() >= total)
    }
}

/// Whether an upload goes on at a pace that is more than a drip.
pub(crate) struct Pace {
    since: Instant,
    moved: u64,
}

impl Pace {
    pub(crate) fn new(since: Instant, moved: u64) -> Self {
        Self { since, moved }
    }

    pub(crate) fn goes_on(&mut self, moved: u64) -> bool {
        let now = Instant::now();
        let due = now.duration_since(self.since).as_secs() * MIN_RATE;
        let goes_on = moved - self.moved >= due.max(1);
        *self = Self::new(now, moved);
        goes_on
    }
}

/// Whether anything moved at all since the last look.
#[derive(Default)]
pub(crate) struct Progress {
    moved: u64,
}

impl Progress {
    pub(crate) fn goes_on(&mut self, moved: u64) -> bool {
        std::mem::replace(&mut self.moved, moved) != moved
    }
}
