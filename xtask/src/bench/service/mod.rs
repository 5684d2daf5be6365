//! What a call of a service costs, beside the same calls answered by others.
//!
//! Databases and load share a core, the subject has the other. The databases' own time is shown too: what a statement within a
//! tenant costs more is paid there.

mod mixed;
mod rows;
mod subjects;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bastide_testkit::TestFolder;

use super::load::{self, LOAD_CORE};
use crate::{install, interrupt};
use rows::Rows;
use subjects::{Bench, SUBJECTS, Subjects};

const SECONDS: u32 = 4;
const ROUNDS: usize = 3;
const PROGRAMS: [&str; 6] = ["postgres", "redis-server", "wrk", "curl", "node", "npm"];

/// Every subject in turn, several rounds; then the mixed load. With names, only the subjects whose name has one of them.
pub(super) fn run(names: &[&str]) -> anyhow::Result<bool> {
    install::ensure(|package| package.programs.iter().any(|p| PROGRAMS.contains(p)))?;
    let folder = TestFolder::new()?;
    let service = build("bench/service/Cargo.toml", "bench-service")?;
    let peers = build("bench/peers/Cargo.toml", "bench-peers")?;
    let fastify = install_fastify(folder.path())?;
    share_core_with_load()?;
    let bench = Bench::prepare(folder.path(), service, peers, fastify)?;

    let is_wanted = |name: &str| names.is_empty() || names.iter().any(|part| name.contains(part));
    let mut text = String::new();
    for Subjects { title, kinds } in SUBJECTS {
        let mut rows = Rows::default();
        for round in 1..=ROUNDS {
            for kind in kinds.iter().filter(|kind| is_wanted(kind.name)) {
                if interrupt::was_asked() {
                    bail!("interrupted");
                }
                eprintln!("round {round}/{ROUNDS}: {}", kind.name);
                let subject = (kind.start)(&bench)?;
                let script = bench.script(kind)?;
                let url = format!("http://127.0.0.1:{}{}", subject.port, kind.path);
                let script = [script.as_str(), &url];
                load::run_script(&script, 1, &subject.processes())?;
                let before = database_times();
                let figures = load::run_script(&script, SECONDS, &subject.processes())?;
                let requests = figures.requests_per_second * f64::from(SECONDS);
                let in_database = used_since(&before).div_f64(requests);
                rows.add(kind.name, figures, in_database);
            }
        }
        text += &[*title, "\n\n", &rows.markdown(), "\n"].concat();
    }
    if is_wanted("mixed") {
        text += &mixed::run(&bench)?;
    }
    eprintln!("\n{text}");
    fs::write("target/bench-service.md", text)
        .context("the tables cannot be written to target/bench-service.md")?;
    eprintln!("written to target/bench-service.md");
    Ok(true)
}

/// Builds the program of a package and gives its path.
fn build(manifest: &str, program: &str) -> anyhow::Result<PathBuf> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let mut cargo = Command::new("cargo");
    cargo.args([
        "build",
        "--release",
        "--locked",
        "--manifest-path",
        manifest,
    ]);
    cargo.arg("--target-dir").arg(&target);
    if !interrupt::run(&mut cargo)?.success() {
        bail!("the release build of {program} failed");
    }
    Ok(target.join("release").join(program))
}

/// Fastify and its plugins in this folder. Gives the path of the server.
fn install_fastify(folder: &Path) -> anyhow::Result<PathBuf> {
    let folder = folder.join("fastify");
    fs::create_dir(&folder)?;
    for file in ["package.json", "server.js"] {
        let source = Path::new("bench/peers/fastify").join(file);
        fs::copy(&source, folder.join(file))
            .with_context(|| format!("{} cannot be copied", source.display()))?;
    }
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--loglevel=error"]);
    if !interrupt::run(npm.current_dir(&folder))?.success() {
        bail!("Fastify cannot be installed by npm");
    }
    Ok(folder.join("server.js"))
}

/// What this process starts from now on, as databases, runs on the load's core unless it says otherwise.
fn share_core_with_load() -> anyhow::Result<()> {
    let mut taskset = Command::new("taskset");
    taskset.args(["-a", "-c", "-p", LOAD_CORE, &std::process::id().to_string()]);
    let output = taskset.output().context("taskset cannot be started")?;
    if !output.status.success() {
        bail!(
            "taskset failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// How much of the processor each process of Postgres below this one has used.
fn database_times() -> HashMap<u32, Duration> {
    let is_postgres = |pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "postgres")
    };
    let postgres = load::family(std::process::id())
        .into_iter()
        .filter(is_postgres);
    postgres
        .filter_map(|pid| Some((pid, load::cpu_time(&[pid]).ok()?)))
        .collect()
}

/// What they have used since. Some are new: calls that were cut off at the end of a run cost their connections.
fn used_since(before: &HashMap<u32, Duration>) -> Duration {
    let used = |(pid, now): (u32, Duration)| {
        now.saturating_sub(before.get(&pid).copied().unwrap_or_default())
    };
    database_times().into_iter().map(used).sum()
}
