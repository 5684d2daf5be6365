//! The process itself, from `/proc`.

use std::fs;

use super::Registry;

/// `USER_HZ`: the unit of times in `/proc/*/stat`. It is part of the kernel's interface and 100 on every architecture Rust's
/// standard library runs on.
pub(super) const TICKS_PER_SECOND: f64 = 100.0;

pub(super) fn register(registry: &Registry) {
    if fs::metadata("/proc/self/stat").is_err() {
        return;
    }
    let gauge = |name, help, read: fn() -> Option<f64>| {
        registry.gauges(name, help, &[], move |emit| {
            if let Some(value) = read() {
                emit(&[], value);
            }
        });
    };
    registry.counters(
        "process_cpu_seconds",
        "CPU time used, user and system",
        &[],
        |emit| {
            if let Some(value) = cpu_seconds() {
                emit(&[], value);
            }
        },
    );
    gauge(
        "process_resident_memory_bytes",
        "Memory in use (RSS)",
        || status_kib("VmRSS:"),
    );
    gauge(
        "process_virtual_memory_bytes",
        "Address space in use",
        || status_kib("VmSize:"),
    );
    gauge("process_open_fds", "Open file descriptors", open_files);
    gauge(
        "process_max_fds",
        "Most file descriptors the process may open",
        most_files,
    );
    gauge("process_threads", "Threads", || status("Threads:"));
    gauge(
        "process_start_time_seconds",
        "When the process started, seconds since 1970",
        start_time,
    );
}

fn status(label: &str) -> Option<f64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    line.split_whitespace().next()?.parse().ok()
}

fn status_kib(label: &str) -> Option<f64> {
    status(label).map(|kib| kib * 1024.0)
}

/// The numbered field of `/proc/self/stat` as proc(5) counts them. The second one, the name, may hold blanks and brackets, so
/// counting starts behind it.
fn stat(field: usize) -> Option<f64> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, behind_name) = text.rsplit_once(')')?;
    behind_name.split_whitespace().nth(field - 3)?.parse().ok()
}

fn cpu_seconds() -> Option<f64> {
    Some((stat(14)? + stat(15)?) / TICKS_PER_SECOND)
}

fn start_time() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = text
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()?;
    Some(boot + stat(22)? / TICKS_PER_SECOND)
}

fn open_files() -> Option<f64> {
    // The one that lists the folder is not counted.
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(count.saturating_sub(1) as f64)
}

fn most_files() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/limits").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}
