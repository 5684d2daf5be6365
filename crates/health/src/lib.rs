//! Whether a process is alive, and whether it should be sent work.
//!
//! - [`Health::is_alive`] asks nobody: a process that can answer is alive, and restarting it mends no database.
//! - [`Health::report`] asks every [`Indicator`], each with a timeout, all at once, and sums up.
//! - [`Health::drain`] makes the process unready before it stops, so that load balancers look away first.
//!
//! # Invariants
//! - A check that hangs, panics or is slow delays a report by its timeout at most (twice that when it joins one under way).
//! - At most one run of a check is under way, however many ask; a result younger than its time in the cache is given again.
//! - An optional dependency that is down makes the report `degraded`, never `unready`.
//!
//! # What it deliberately does not do
//! No HTTP, no background task: a report is made when asked for. No check that blocks a thread can be helped; checks are
//! `async` and must yield.
//!
//! # Example
//! ```
//! use std::time::Duration;
//! use bastide_health::{Health, Indicator, Status, Verdict};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let health = Health::new("1.0.0")
//!     .with(Indicator::new("database", || async { Verdict::Healthy }))
//!     .with(Indicator::new("redis", || async { Verdict::unhealthy("connection refused") }).optional());
//! let report = health.report().await;
//! assert_eq!(report.status, Status::Degraded);
//! assert!(report.is_ready());
//! health.drain();
//! assert!(!health.report().await.is_ready());
//! assert!(health.is_alive());
//! # }
//! ```
#![forbid(unsafe_code)]

mod indicator;
mod report;
mod standard;
mod verdict;

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use jiff::Timestamp;

pub use indicator::Indicator;
pub use report::{Check, Report, Status};
pub use standard::{memory, runtime_lag};
pub use verdict::{Condition, Thresholds, Verdict};

/// The health of one process. Share it by `Arc`.
#[derive(Debug)]
pub struct Health {
    version: String,
    indicators: Vec<Indicator>,
    draining: AtomicBool,
}

impl Health {
    /// A process without dependencies, of this version.
    pub fn new(version: impl Into<String>) -> Self {
        Self {
            version: version.into(),
            indicators: Vec::new(),
            draining: AtomicBool::new(false),
        }
    }

    /// The same with one more indicator.
    ///
    /// # Panics
    /// If there is one of that name already: a report has one place for each.
    pub fn with(mut self, indicator: Indicator) -> Self {
        let name = indicator.name();
        assert!(
            self.indicators.iter().all(|known| known.name() != name),
            "two indicators are called `{name}`"
        );
        self.indicators.push(indicator);
        self
    }

    /// The version of the process.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Always `true`: a process that can ask this is alive. Never looks at a dependency.
    pub fn is_alive(&self) -> bool {
        true
    }

    /// Makes every report from now on `unready`. There is no way back.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether [`Health::drain`] was called.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Asks all indicators and sums up. It takes as long as the slowest of them, its timeout at most.
    ///
    /// While draining nobody is asked: the answer is known, and must come at once.
    pub async fn report(&self) -> Report {
        let checks = if self.is_draining() {
            Vec::new()
        } else {
            join_all(self.indicators.iter().map(Indicator::check)).await
        };
        // Draining may have begun meanwhile.
        Report::of(
            self.version.clone(),
            Timestamp::now(),
            self.is_draining(),
            checks,
        )
    }
}
