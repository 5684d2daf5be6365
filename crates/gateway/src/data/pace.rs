//! How long an attempt may take, and what counts as going on.

use std::time::Duration;

use tokio::time::Instant;

use super::deadline::Deadline;

/// The first seconds of a request's body, in which its pace is not looked at.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// Bytes per second that a client must send of its body, over each [`GRACE`], or take of a response's, over each
/// [`Times::taking`]. A total time would cut
/// off honest clients on thin lines; one byte a minute is not honest.
const MIN_RATE: u64 = 256;

/// How long an attempt may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// Until the response's head, counted from the end of the request.
    pub(crate) head: Duration,
    /// Without a byte, in a body.
    pub(crate) idle: Duration,
    /// Over which a client's pace of taking is measured; who takes nothing is cut off after two of them.
    pub(crate) taking: Duration,
    /// The end of everything, if there is one.
    pub(crate) total: Option<Instant>,
}

impl Times {
    pub(crate) fn arm(&self, deadline: &mut Deadline, now: Instant, after: Duration) {
        deadline.set(self.until(now + after));
    }

    /// This time, or the end of everything if that comes first.
    pub(crate) fn until(&self, at: Instant) -> Instant {
        self.total.map_or(at, |total| at.min(total))
    }

    pub(crate) fn is_over(&self) -> bool {
        self.total.is_some_and(|total| Instant::now() >= total)
    }
}

/// Whether a body goes on at a pace that is more than a drip.
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

/// Whether a client takes what waits for it. Only the time counts in which something does: of an upstream that is silent
/// nobody knows how fast its client is.
#[derive(Default)]
pub(crate) struct Taking {
    /// When to look again, while something waits.
    due: Option<Instant>,
    pace: Option<Pace>,
}

impl Taking {
    /// When to look, given whether something waits now.
    pub(crate) fn due(&mut self, is_waiting: bool, span: Duration) -> Option<Instant> {
        if !is_waiting {
            *self = Self::default();
            return None;
        }
        Some(*self.due.get_or_insert_with(|| Instant::now() + span))
    }

    /// Whether it was taken fast enough, as far as it is time to tell. `taken` tells how much ever was. The first span is not
    /// looked at.
    pub(crate) fn goes_on(
        &mut self,
        now: Instant,
        span: Duration,
        taken: impl FnOnce() -> u64,
    ) -> bool {
        if self.due.is_none_or(|due| now < due) {
            return true;
        }
        self.due = Some(now + span);
        match &mut self.pace {
            Some(pace) => pace.goes_on(taken()),
            none => {
                *none = Some(Pace::new(now, taken()));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets time pass, second by second, while something waits and `rate` bytes a second are taken. When it went too slowly.
    async fn wait(taking: &mut Taking, seconds: u64, rate: u64) -> Option<u64> {
        let mut taken = 1_000_000;
        for second in 1..=seconds {
            taking.due(true, GRACE);
            tokio::time::advance(Duration::from_secs(1)).await;
            taken += rate;
            if !taking.goes_on(Instant::now(), GRACE, || taken) {
                return Some(second);
            }
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_or_drips_is_told_after_two_spans_and_a_thin_line_never() {
        assert_eq!(wait(&mut Taking::default(), 100, 0).await, Some(20));
        assert_eq!(
            wait(&mut Taking::default(), 100, MIN_RATE - 1).await,
            Some(20)
        );
        assert_eq!(wait(&mut Taking::default(), 1_000, MIN_RATE).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nothing_waits_does_not_count() {
        let mut taking = Taking::default();
        for _ in 0..10 {
            assert_eq!(wait(&mut taking, 19, 0).await, None);
            assert_eq!(taking.due(false, GRACE), None);
            tokio::time::advance(Duration::from_secs(3600)).await;
        }
    }
}
