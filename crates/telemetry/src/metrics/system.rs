//! The machine around the process, from `/proc`.

use std::fs;

use super::Registry;
use super::process::TICKS_PER_SECOND;

/// What the first line of `/proc/stat` counts, in its order.
const MODES: [&str; 8] = [
    "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal",
];

pub(super) fn register(registry: &Registry) {
    if fs::metadata("/proc/meminfo").is_err() {
        return;
    }
    registry.gauges(
        "system_memory_bytes",
        "Memory of the machine, all of it and what programs could still get",
        &["kind"],
        |emit| {
            let Ok(text) = fs::read_to_string("/proc/meminfo") else {
                return;
            };
            for (kind, label) in [("total", "MemTotal:"), ("available", "MemAvailable:")] {
                if let Some(bytes) = kib(&text, label) {
                    emit(&[kind], bytes);
                }
            }
        },
    );
    registry.gauges(
        "system_load_average",
        "Tasks that run or wait to, on average over so many minutes",
        &["minutes"],
        |emit| {
            let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
            for (minutes, load) in ["1", "5", "15"].into_iter().zip(text.split_whitespace()) {
                if let Ok(load) = load.parse() {
                    emit(&[minutes], load);
                }
            }
        },
    );
    registry.counters(
        "system_cpu_seconds",
        "CPU time of the machine, all processors together",
        &["mode"],
        |emit| {
            let text = fs::read_to_string("/proc/stat").unwrap_or_default();
            let first = text.lines().next().unwrap_or_default();
            let counts = first.split_whitespace().skip(1);
            for (mode, ticks) in MODES.into_iter().zip(counts) {
                if let Ok(ticks) = ticks.parse::<f64>() {
                    emit(&[mode], ticks / TICKS_PER_SECOND);
                }
            }
        },
    );
}

fn kib(text: &str, label: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024.0)
}
