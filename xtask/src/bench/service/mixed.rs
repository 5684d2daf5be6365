//! Many users of several tenants at once: reads of what is kept, reads of the database, and writes that make void what was kept.

use std::process::Command;

use anyhow::{Context as _, bail};

use super::super::load;
use super::super::table::median;
use super::subjects::Bench;

const SCRIPT: &str = "bench/service/mixed.lua";
const SECONDS: u32 = 10;
const ROUNDS: usize = 3;

/// What one round showed.
struct Round {
    figures: load::Figures,
    /// Milliseconds that a statement took on average, as the service saw it.
    statement_ms: f64,
    hit_rate: f64,
}

pub(super) fn run(bench: &Bench<'_>) -> anyhow::Result<String> {
    let tokens = bench.tokens_file().display().to_string();
    let mut rounds = Vec::new();
    for round in 1..=ROUNDS {
        eprintln!("round {round}/{ROUNDS}: mixed load");
        let subject = bench.service(&bench.postgres("bench_app"), true)?;
        let url = format!("http://127.0.0.1:{}", subject.port);
        let seed = round.to_string();
        let script = [SCRIPT, &url, "--", &tokens, &seed];
        load::run_script(&script, 3, &subject.processes())?;
        let before = Counts::read(&url)?;
        let figures = load::run_script(&script, SECONDS, &subject.processes())?;
        let after = Counts::read(&url)?;
        let hits = after.hits - before.hits;
        rounds.push(Round {
            figures,
            statement_ms: (after.micros - before.micros)
                / (after.statements - before.statements)
                / 1e3,
            hit_rate: hits / (hits + after.misses - before.misses),
        });
    }
    let figure = |pick: fn(&load::Figures) -> f64| median(&rounds, |round| pick(&round.figures));
    Ok(format!(
        "Mixed load.\n\n\
         | requests/s | p50 ms | p99 ms | CPU us/request | statement ms | hit rate | RSS MB | failed |\n\
         |---|---|---|---|---|---|---|---|\n\
         | {:.0} | {:.2} | {:.2} | {:.1} | {:.2} | {:.1} % | {:.1} | {} |\n",
        figure(|figures| figures.requests_per_second),
        figure(|figures| figures.p50.as_secs_f64() * 1e3),
        figure(|figures| figures.p99.as_secs_f64() * 1e3),
        figure(|figures| figures.cpu_per_request.as_secs_f64() * 1e6),
        median(&rounds, |round| round.statement_ms),
        median(&rounds, |round| round.hit_rate * 100.0),
        figure(|figures| figures.resident_bytes as f64 / 1e6),
        rounds.iter().map(|round| round.figures.failed).sum::<u64>(),
    ))
}

/// What the service has counted so far.
struct Counts {
    statements: f64,
    micros: f64,
    hits: f64,
    misses: f64,
}

impl Counts {
    fn read(url: &str) -> anyhow::Result<Self> {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--fail", "--json", "{}"]);
        let output = curl.arg(format!("{url}/rpc/bench/figures")).output()?;
        if !output.status.success() {
            bail!("the service says nothing about its database and cache");
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let count = |name: &str| {
            let mark = format!("{name} ");
            load::number_after(&text, &mark).with_context(|| format!("no {name} in {text}"))
        };
        Ok(Self {
            statements: count("statements")?,
            micros: count("micros")?,
            hits: count("hits")?,
            misses: count("misses")?,
        })
    }
}
