//! Load by wrk on one core, and the CPU time that the subject used meanwhile.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};

/// The core of load and upstream; the subject has [`SUBJECT_CORE`].
pub(crate) const LOAD_CORE: &str = "0";
pub(crate) const SUBJECT_CORE: &str = "1";

/// What a run showed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) requests_per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// User and system time of the subject, per request.
    pub(crate) cpu_per_request: Duration,
    pub(crate) resident_bytes: u64,
    pub(crate) failed: u64,
}

/// Loads the URL for some seconds. `processes` are the subject's.
pub(crate) fn run(
    url: &str,
    headers: &[&str],
    seconds: u32,
    processes: &[u32],
) -> anyhow::Result<Figures> {
    let headers = headers.iter().flat_map(|header| ["-H", header]);
    let arguments: Vec<&str> = headers.chain([url]).collect();
    wrk(&arguments, seconds, processes)
}

/// The same with a script for wrk: its path, the URL, and what else the script wants.
pub(crate) fn run_script(
    script: &[&str],
    seconds: u32,
    processes: &[u32],
) -> anyhow::Result<Figures> {
    wrk(&[&["-s"], script].concat(), seconds, processes)
}

fn wrk(arguments: &[&str], seconds: u32, processes: &[u32]) -> anyhow::Result<Figures> {
    let before = cpu_time(processes)?;
    let mut wrk = Command::new("taskset");
    wrk.args([
        "-c",
        LOAD_CORE,
        "wrk",
        "-t1",
        "-c64",
        "--latency",
        &format!("-d{seconds}s"),
    ]);
    let output = wrk
        .args(arguments)
        .output()
        .context("wrk cannot be started")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!(
            "wrk failed: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let cpu = cpu_time(processes)?.saturating_sub(before);
    let requests = number_before(&text, " requests in").context("wrk said no count")?;
    let failed = number_after(&text, "Non-2xx or 3xx responses: ").unwrap_or(0.0);
    Ok(Figures {
        requests_per_second: requests / f64::from(seconds),
        p50: latency(&text, "50%")?,
        p99: latency(&text, "99%")?,
        cpu_per_request: cpu.div_f64(requests.max(1.0)),
        resident_bytes: memory(processes)?.resident,
        failed: failed as u64,
    })
}

fn number_before(text: &str, mark: &str) -> Option<f64> {
    text.lines().find_map(|line| {
        line.split_once(mark)?
            .0
            .split_whitespace()
            .last()?
            .parse()
            .ok()
    })
}

pub(crate) fn number_after(text: &str, mark: &str) -> Option<f64> {
    text.lines().find_map(|line| {
        line.split_once(mark)?
            .1
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    })
}

fn latency(text: &str, quantile: &str) -> anyhow::Result<Duration> {
    let value = text
        .lines()
        .find_map(|line| line.trim().strip_prefix(quantile).map(str::trim))
        .with_context(|| format!("wrk said no {quantile} latency"))?;
    let digits = value
        .find(|c: char| c.is_alphabetic())
        .unwrap_or(value.len());
    let amount: f64 = value[..digits]
        .parse()
        .context("wrk's latency is not a number")?;
    let scale = match &value[digits..] {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        unit => bail!("wrk's latency has the unit {unit}"),
    };
    Ok(Duration::from_secs_f64(amount * scale))
}

/// User and system time of the processes.
pub(crate) fn cpu_time(processes: &[u32]) -> anyhow::Result<Duration> {
    let ticks = processes.iter().try_fold(0, |sum, pid| {
        let stat =
            fs::read_to_string(format!("/proc/{pid}/stat")).context("the subject has ended")?;
        // The name, in parentheses, may hold spaces; fields 14 and 15 are counted from behind it.
        let fields: Vec<&str> = stat
            .rsplit(") ")
            .next()
            .unwrap_or_default()
            .split(' ')
            .collect();
        let field = |index: usize| {
            fields
                .get(index)
                .and_then(|text| text.parse::<u64>().ok())
                .unwrap_or(0)
        };
        anyhow::Ok(sum + field(11) + field(12))
    })?;
    // The kernel counts processor time in hundredths of a second for user space.
    Ok(Duration::from_millis(ticks * 10))
}

/// Memory that is in RAM, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    /// The processes' own part of it.
    pub(crate) anonymous: u64,
    /// Pages of files, such as the binary, that other processes can share.
    pub(crate) file: u64,
}

/// The memory of all the processes.
pub(crate) fn memory(processes: &[u32]) -> anyhow::Result<Memory> {
    let mut sum = Memory::default();
    for pid in processes {
        let status =
            fs::read_to_string(format!("/proc/{pid}/status")).context("the subject has ended")?;
        let bytes = |name| number_after(&status, name).unwrap_or(0.0) as u64 * 1024;
        sum.resident += bytes("VmRSS:");
        sum.anonymous += bytes("RssAnon:");
        sum.file += bytes("RssFile:");
    }
    Ok(sum)
}

/// A process and its descendants.
pub(crate) fn family(pid: u32) -> Vec<u32> {
    let mut family = vec![pid];
    let mut next = 0;
    while next < family.len() {
        // A child belongs to the thread that started it.
        let threads = fs::read_dir(format!("/proc/{}/task", family[next]));
        for thread in threads.into_iter().flatten().flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            family.extend(
                children
                    .split_whitespace()
                    .filter_map(|pid| pid.parse::<u32>().ok()),
            );
        }
        next += 1;
    }
    family
}
