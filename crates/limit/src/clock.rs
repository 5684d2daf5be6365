//! The clock of the whole crate: microseconds since the process first asked.

use std::sync::OnceLock;
use std::time::Instant;

/// Monotonic microseconds. Every `now` given to a [`Limit`](crate::Limit) must come from here, and be read for the
/// request at hand: a lease ends at a moment, so a stale reading could spend one that is over.
pub fn now() -> u64 {
    at(Instant::now())
}

/// The same of a moment that was read already, so that one reading of the system's clock may serve several purposes.
pub fn at(moment: Instant) -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    // Far from zero, so that "one window ago" never underflows.
    const ORIGIN: u64 = 1 << 42;
    let start = START.get_or_init(|| moment);
    ORIGIN + moment.saturating_duration_since(*start).as_micros() as u64
}
