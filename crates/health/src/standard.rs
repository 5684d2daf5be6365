//! Indicators that any process can have.

use std::time::Duration;

use tokio::time::Instant;

use crate::indicator::Indicator;
use crate::verdict::{Thresholds, Verdict};

const MEGABYTE: f64 = 1e6;
const TICK: Duration = Duration::from_millis(1);

/// The process's resident memory, thresholds in megabytes (10^6 bytes). Where there is no `/proc` it is always healthy.
pub fn memory(thresholds: Thresholds) -> Indicator {
    Indicator::new("memory", move || async move {
        match resident_bytes() {
            Some(bytes) => thresholds.judge("memory", bytes / MEGABYTE, "MB"),
            None => Verdict::Healthy,
        }
    })
}

fn resident_bytes() -> Option<f64> {
    // procfs answers from memory; this does not block.
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024.0)
}

/// How late the runtime that makes the report wakes a timer, thresholds in milliseconds. Lateness means that tasks hold the
/// thread for long, or that the machine has no CPU time to give.
pub fn runtime_lag(thresholds: Thresholds) -> Indicator {
    Indicator::new("runtime", move || async move {
        let begun = Instant::now();
        tokio::time::sleep(TICK).await;
        let late = begun.elapsed().saturating_sub(TICK);
        thresholds.judge("timer lag", late.as_secs_f64() * 1e3, "ms")
    })
}
