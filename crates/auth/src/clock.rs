//! The time of day, which a test may hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

/// What time it is: the system's, or a test's.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<Arc<AtomicI64>>);

/// Moves a [`Clock::controlled`].
#[derive(Debug, Clone)]
pub struct ClockHandle(Arc<AtomicI64>);

impl Clock {
    /// The system's time.
    pub const fn system() -> Self {
        Self(None)
    }

    /// A clock which stands at this time until its handle moves it.
    pub fn controlled(start: Timestamp) -> (Self, ClockHandle) {
        let millis = Arc::new(AtomicI64::new(start.as_millisecond()));
        (Self(Some(millis.clone())), ClockHandle(millis))
    }

    /// The time now, to the millisecond at least.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            None => Timestamp::now(),
            Some(millis) => Timestamp::from_millisecond(millis.load(Ordering::Acquire))
                .unwrap_or(Timestamp::MAX),
        }
    }
}

impl ClockHandle {
    /// Lets this much time pass.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as i64, Ordering::AcqRel);
    }
}
