//! Events that were taken already.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// What tells one event from another: its signature.
pub(crate) type EventId = [u8; 32];

/// The events of a while, in this process. Only what was signed by who knows the secret gets in here, so nobody else can fill it.
#[derive(Debug, Default)]
pub(crate) struct Replays(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    /// Until when each is remembered, in Unix seconds.
    until: HashMap<EventId, i64>,
    /// In the order in which they came.
    order: VecDeque<(EventId, i64)>,
}

/// Of more than these the oldest are forgotten: about two megabytes.
const MOST: usize = 10_000;

/// An event that is being worked on. Unless it is kept it may come again: who sent it was told that it failed.
#[derive(Debug)]
pub(crate) struct Taking {
    replays: Arc<Replays>,
    event: Option<EventId>,
}

impl Replays {
    /// `None`: it was taken already, or is being worked on.
    pub(crate) fn take(self: &Arc<Self>, event: EventId, now: i64, until: i64) -> Option<Taking> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.forget(now);
        if taken.until.contains_key(&event) {
            return None;
        }
        taken.until.insert(event, until);
        taken.order.push_back((event, until));
        Some(Taking {
            replays: self.clone(),
            event: Some(event),
        })
    }
}

impl Taken {
    fn forget(&mut self, now: i64) {
        while let Some(&(event, until)) = self.order.front()
            && (until < now || self.order.len() >= MOST)
        {
            self.order.pop_front();
            // One that failed and came again stands further behind.
            if self.until.get(&event) == Some(&until) {
                self.until.remove(&event);
            }
        }
    }
}

impl Taking {
    /// It was worked on with success: it must not come again.
    pub(crate) fn keep(mut self) {
        self.event = None;
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        if let Some(event) = self.event.take() {
            let taken = &self.replays.0;
            let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
            taken.until.remove(&event);
            // An attempt that fails is the last one mostly.
            if taken.order.back().is_some_and(|(last, _)| *last == event) {
                taken.order.pop_back();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: u32) -> EventId {
        let mut event = [0; 32];
        event[..4].copy_from_slice(&number.to_be_bytes());
        event
    }

    #[test]
    fn an_event_is_taken_once_while_it_is_remembered() {
        let replays = Arc::new(Replays::default());
        let taking = replays.take(event(1), 100, 110).unwrap();
        assert!(
            replays.take(event(1), 100, 110).is_none(),
            "being worked on"
        );
        taking.keep();
        assert!(replays.take(event(1), 110, 120).is_none());
        assert!(replays.take(event(1), 111, 120).is_some());
    }

    #[test]
    fn what_failed_may_come_again() {
        let replays = Arc::new(Replays::default());
        drop(replays.take(event(1), 100, 110).unwrap());
        let other = replays.take(event(2), 100, 110).unwrap();
        let again = replays.take(event(1), 100, 110).unwrap();
        other.keep();
        again.keep();
        assert!(replays.take(event(1), 100, 110).is_none());
    }

    #[test]
    fn memory_is_bounded_whatever_comes() {
        let replays = Arc::new(Replays::default());
        for number in 0..30_000 {
            let taking = replays.take(event(number), 100, 110).unwrap();
            if number % 3 == 0 {
                taking.keep();
            }
        }
        let taken = replays.0.lock().unwrap();
        assert!(taken.until.len() <= MOST && taken.order.len() <= MOST);
        assert!(taken.until.contains_key(&event(29_997)));
    }
}
