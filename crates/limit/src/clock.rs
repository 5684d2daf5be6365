//! The clock of the whole crate: microseconds since the process first asked.

use std::sync::OnceLock;
use std::time::Instant;

/// Monotonic microseconds. Every `now` given to a [`Limit`](crate::Limit) must come from here, and be read for the
/// request at hand: a lease ends at a moment, so a stale reading could spend one that is over.
pub fn now() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    // Far from zero, so that "one window ago" never underflows.
    const ORIGIN: u64 = 1 << 42;
    ORIGIN + START.get_or_init(Instant::now).elapsed().as_micros() as u64
}
