//! Waiting for a condition.

use std::time::{Duration, Instant};

/// Asks every few milliseconds until `ready` says so; `false` if it has not within `patience`.
///
/// It blocks the thread: not for use in async code.
pub fn until(patience: Duration, mut ready: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    let mut pause = Duration::from_millis(1);
    loop {
        if ready() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::park_timeout(pause);
        pause = (pause * 2).min(Duration::from_millis(25));
    }
}
