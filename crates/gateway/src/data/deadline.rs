//! One timer per connection, set lazily.
//!
//! Each request has several deadlines, and nearly all of them are met. Setting a timer costs more than a look at the
//! clock, so the timer stays where it is while deadlines move away from it; when it fires early it is set anew.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

pub(crate) struct Deadline {
    at: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    pub(crate) fn new() -> Self {
        Self {
            at: None,
            timer: None,
        }
    }

    pub(crate) fn set(&mut self, at: Instant) {
        self.at = Some(at);
    }

    pub(crate) fn set_after(&mut self, now: Instant, after: Duration) {
        self.at = now.checked_add(after);
    }

    /// As [`Self::set`], unless it comes sooner already.
    pub(crate) fn bring_forward(&mut self, to: Instant) {
        self.at = Some(self.at.map_or(to, |at| at.min(to)));
    }

    /// Ready when the deadline has passed; otherwise the task is woken when it does.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else {
            return Poll::Pending;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() > at {
            timer.as_mut().reset(at);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= at {
                self.at = None;
                return Poll::Ready(());
            }
            timer.as_mut().reset(at);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn fires_at_the_latest_deadline_set_and_never_before() {
        let start = Instant::now();
        let mut deadline = Deadline::new();
        deadline.set_after(start, Duration::from_secs(1));
        assert!(poll_fn(|cx| Poll::Ready(deadline.poll(cx).is_pending())).await);
        deadline.set_after(start, Duration::from_secs(5));
        poll_fn(|cx| deadline.poll(cx)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_nearer_deadline_moves_the_timer() {
        let start = Instant::now();
        let mut deadline = Deadline::new();
        deadline.set_after(start, Duration::from_secs(60));
        assert!(poll_fn(|cx| Poll::Ready(deadline.poll(cx).is_pending())).await);
        deadline.set_after(start, Duration::from_secs(2));
        poll_fn(|cx| deadline.poll(cx)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(2));
    }
}
