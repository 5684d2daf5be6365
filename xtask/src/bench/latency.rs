//! What a proxy adds to the time of an answer when it is busy but not overloaded.
//!
//! A closed loop, as wrk's, always loads fully; there, latency says only how many requests were in flight. So the load comes at
//! a steady pace: seven tenths of what the same generator got through the subject at most. The same pace without the subject is
//! the base, and what is added is the difference of the quantiles.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bastide_testkit::TestFolder;

use super::gateway::{self, Bench};
use super::load::LOAD_CORE;
use super::table::median;
use crate::install;

const CLIENTS: u32 = 64;
const SECONDS: u32 = 5;
const ROUNDS: usize = 3;
const SHARE: f64 = 0.7;

/// One paced run.
#[derive(Clone, Copy)]
struct Times {
    p50: Duration,
    p99: Duration,
    failed: u64,
}

/// A subject's rounds.
struct Row {
    name: &'static str,
    rates: Vec<f64>,
    direct: Vec<Times>,
    through: Vec<Times>,
}

pub(super) fn run() -> anyhow::Result<bool> {
    install::ensure(|package| {
        package
            .programs
            .iter()
            .any(|program| ["nginx", "haproxy", "h2load", "redis-server"].contains(program))
    })?;
    let folder = TestFolder::new()?;
    let bench = Bench::prepare(folder.path())?;
    let log = folder.path().join("requests.tsv");
    let names = ["nginx proxy_pass", "HAProxy http", "bastide, full pipeline"];
    let mut rows: Vec<Row> = names.map(Row::new).into();
    for round in 1..=ROUNDS {
        for row in &mut rows {
            eprintln!("round {round}/{ROUNDS}: {}", row.name);
            let subject = bench.start(row.name)?;
            let through = gateway::url(subject.port);
            let (most, _) = load(&through, None, &log)?;
            let rate = most * SHARE;
            let (_, direct) = load(&gateway::url(bench.upstream_port), Some(rate), &log)?;
            let (_, through) = load(&through, Some(rate), &log)?;
            row.rates.push(rate);
            row.direct.push(direct);
            row.through.push(through);
        }
    }
    let text = markdown(&rows);
    eprintln!("\n{text}");
    fs::write("target/bench-latency.md", text)
        .context("the table cannot be written to target/bench-latency.md")?;
    eprintln!("written to target/bench-latency.md");
    Ok(true)
}

impl Row {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            rates: Vec::new(),
            direct: Vec::new(),
            through: Vec::new(),
        }
    }
}

/// Loads the URL at this many requests per second, or as fast as it goes. Gives what went through, and the times.
fn load(url: &str, rate: Option<f64>, log: &Path) -> anyhow::Result<(f64, Times)> {
    fs::remove_file(log).ok();
    let mut h2load = Command::new("taskset");
    h2load.args(["-c", LOAD_CORE, "h2load", "--h1", "-t1"]);
    h2load
        .arg(format!("-c{CLIENTS}"))
        .arg(format!("-D{SECONDS}"));
    if let Some(rate) = rate {
        h2load.arg(format!("--rps={:.1}", rate / f64::from(CLIENTS)));
    }
    h2load.arg("-H").arg(gateway::key_field());
    h2load.arg("--log-file").arg(log).arg(url);
    let output = h2load.output().context("h2load cannot be started")?;
    if !output.status.success() {
        bail!("h2load failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text = fs::read_to_string(log).context("h2load wrote no log")?;
    let mut micros = Vec::new();
    let mut failed = 0;
    for line in text.lines() {
        let mut columns = line.split('\t').skip(1);
        let status = columns.next();
        let time = columns.next().and_then(|time| time.parse::<u64>().ok());
        match (status, time) {
            (Some("200"), Some(time)) => micros.push(time),
            _ => failed += 1,
        }
    }
    if micros.is_empty() {
        bail!("no request to {url} succeeded");
    }
    micros.sort_unstable();
    let quantile =
        |share: f64| Duration::from_micros(micros[((micros.len() - 1) as f64 * share) as usize]);
    let times = Times {
        p50: quantile(0.5),
        p99: quantile(0.99),
        failed,
    };
    Ok((micros.len() as f64 / f64::from(SECONDS), times))
}

/// Medians over the rounds; differences are taken within a round.
fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| | requests/s | p50 us without | p50 us | added p50 us | p99 us without | p99 us | added p99 us | failed |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let rounds: Vec<(Times, Times)> = row
            .direct
            .iter()
            .copied()
            .zip(row.through.iter().copied())
            .collect();
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let of = |pick: fn(&Times) -> Duration| {
            let without = median(&rounds, |(direct, _)| micros(pick(direct)));
            let with = median(&rounds, |(_, through)| micros(pick(through)));
            let added = median(&rounds, |(direct, through)| {
                micros(pick(through)) - micros(pick(direct))
            });
            format!("{without:.0} | {with:.0} | {added:.0}")
        };
        writeln!(
            text,
            "| {} | {:.0} | {} | {} | {} |",
            row.name,
            median(&row.rates, |rate| *rate),
            of(|times| times.p50),
            of(|times| times.p99),
            row.through.iter().map(|times| times.failed).sum::<u64>(),
        )
        .expect("writing to a string cannot fail");
    }
    text
}
