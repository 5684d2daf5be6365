//! The wall clock as the data path needs it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, Guard};
use bastide_limit::clock;

/// Wall-clock time for header fields and expiries, and the `Date` value, formatted once a second.
pub(crate) struct Clock {
    /// The second that `date` says.
    formatted: AtomicU64,
    date: ArcSwap<String>,
    /// What to add to the limiter's clock for microseconds since the epoch.
    offset: AtomicI64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let second = since_epoch().as_secs();
        Self {
            formatted: AtomicU64::new(second),
            date: ArcSwap::from_pointee(format_date(second)),
            offset: AtomicI64::new(offset()),
        }
    }

    pub(crate) fn unix_millis() -> i64 {
        since_epoch().as_millis() as i64
    }

    /// Seconds since the epoch at a moment of the limiter's clock: one reading serves both.
    pub(crate) fn unix_seconds(&self, ticks: u64) -> u64 {
        (ticks as i64 + self.offset.load(Ordering::Relaxed)) as u64 / 1_000_000
    }

    /// Follows the wall clock when it is set; called every second.
    pub(crate) fn refresh(&self) {
        self.offset.store(offset(), Ordering::Relaxed);
    }

    /// The value of a `Date` field (RFC 9110 section 5.6.7).
    pub(crate) fn date(&self) -> Guard<Arc<String>> {
        let second = since_epoch().as_secs();
        if self.formatted.swap(second, Ordering::Relaxed) != second {
            self.date.store(Arc::new(format_date(second)));
        }
        self.date.load()
    }
}

fn format_date(second: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second))
}

fn offset() -> i64 {
    since_epoch().as_micros() as i64 - clock::now() as i64
}

fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
