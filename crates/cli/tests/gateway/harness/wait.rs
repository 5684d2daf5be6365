//! Waiting: for a condition, with a deadline.

use std::time::{Duration, Instant};

/// How long anything may take that should happen soon. Long, because it is only spent when something is wrong.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// Waits until `happened` says so; fails with `what` if it does not.
#[track_caller]
pub(crate) fn eventually(what: &str, happened: impl FnMut() -> bool) {
    within(SOON, what, happened);
}

/// As [`eventually`], where the time is part of what is promised.
#[track_caller]
pub(crate) fn within(time: Duration, what: &str, happened: impl FnMut() -> bool) {
    assert!(
        bastide_testkit::until(time, happened),
        "not within {time:?}: {what}"
    );
}

/// Lets time pass: for upstreams that are slow on purpose, and for spans that a limit counts in. Never to hope that something
/// has happened.
pub(crate) fn pause(time: Duration) {
    let end = Instant::now() + time;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::park_timeout(left);
    }
}
