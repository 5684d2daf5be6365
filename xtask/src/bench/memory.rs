//! What the gateway's memory is: idle, with a large configuration from each source, and over many reloads.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bastide_testkit::{Postgres, TestFolder, free_port};

use super::gateway;
use super::load::{self, Memory, SUBJECT_CORE};
use super::subject::Subject;
use crate::install;

const TENANTS: usize = 1_000;
const ROUTES_EACH: usize = 10;
const RELOADS: usize = 200;
/// The table shows every so manieth reload.
const SHOWN: usize = 50;
/// What the log says after each application of the file.
const APPLIED: &str = "the declarative file is in force";
/// For one application of the file; other work may be under way on the machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Measures each situation in a process of its own; the reloads in one.
pub(crate) fn run() -> anyhow::Result<bool> {
    install::ensure(|package| package.for_tests)?;
    let binary = gateway::build()?;
    let folder = TestFolder::new()?;
    let postgres = Postgres::start()?;
    let mut table = Table::default();

    let idle = folder.path().join("idle");
    table.add("idle", start(&binary, &idle, None, None)?.settled()?);
    for (name, database) in [("SQLite", None), ("Postgres", Some(postgres.url()))] {
        let data = folder.path().join(name);
        let running = start(&binary, &data, Some(0), database.as_deref())?;
        table.add(&format!("file applied, {name}"), running.settled()?);
        drop(running);
        let running = start(&binary, &data, None, database.as_deref())?;
        table.add(&format!("restarted from {name}"), running.settled()?);
    }

    let running = start(&binary, &folder.path().join("reloads"), Some(0), None)?;
    running.settled()?;
    for reload in 1..=RELOADS {
        running.reload(reload)?;
        if reload == 1 || reload % SHOWN == 0 {
            table.add(&format!("reload {reload}"), running.settled()?);
        }
    }

    let text = table.markdown();
    eprintln!("\n{text}");
    fs::write("target/bench-memory.md", text)
        .context("the table cannot be written to target/bench-memory.md")?;
    eprintln!("written to target/bench-memory.md");
    Ok(true)
}

struct Running {
    subject: Subject,
    file: PathBuf,
    log: PathBuf,
}

/// Starts a gateway over `data`, with a file of that `round` if one is given.
fn start(
    binary: &Path,
    data: &Path,
    round: Option<usize>,
    database: Option<&str>,
) -> anyhow::Result<Running> {
    fs::create_dir_all(data)?;
    let (port, file, log) = (free_port(), data.join("gateway.json"), data.join("log"));
    let mut program = Command::new(binary);
    program
        .args(["gateway", "--workers", "1", "--admin-listen", "same"])
        .args(["--listen", &format!("127.0.0.1:{port}")])
        .arg("--data-dir")
        .arg(data)
        .env("ADMIN_API_KEY", gateway::ADMIN_KEY)
        .env("LOG_LEVEL", "info");
    if let Some(round) = round {
        fs::write(&file, declaration(round))?;
        program.arg("--config").arg(&file);
    }
    if let Some(url) = database {
        program.args(["--database-url", url]);
    }
    let running = Running {
        subject: Subject::start(SUBJECT_CORE, port, &mut program, &log)?,
        file,
        log,
    };
    if round.is_some() {
        running.applied(1)?;
    }
    Ok(running)
}

impl Running {
    /// Applies the file of another round in place of the one in force.
    fn reload(&self, round: usize) -> anyhow::Result<()> {
        let beside = self.file.with_extension("new");
        fs::write(&beside, declaration(round))?;
        fs::rename(&beside, &self.file)?;
        self.applied(round + 1)
    }

    /// Waits until a file was applied for the `count`th time.
    fn applied(&self, count: usize) -> anyhow::Result<()> {
        let log = || fs::read_to_string(&self.log).unwrap_or_default();
        if bastide_testkit::until(PATIENCE, || log().matches(APPLIED).count() >= count) {
            Ok(())
        } else {
            bail!("the file is not applied; the gateway's log:\n{}", log())
        }
    }

    /// The memory when it no longer changes: within 1 % over a second and a half, or after half a minute.
    fn settled(&self) -> anyhow::Result<Memory> {
        let memory = || load::memory(&self.subject.processes());
        let (mut last, mut since) = (memory()?, Instant::now());
        bastide_testkit::until(Duration::from_secs(30), || {
            let resident = memory().unwrap_or_default().resident;
            if resident.abs_diff(last.resident) > last.resident / 100 {
                last.resident = resident;
                since = Instant::now();
            }
            since.elapsed() > Duration::from_millis(1_500)
        });
        memory()
    }
}

/// A thousand tenants with a key and ten routes each. From round to round one route of each tenant changes, so that
/// every tenant's table is built anew.
fn declaration(round: usize) -> String {
    let route = |number: usize| {
        let priority = if number == 0 { round % 2 } else { 0 };
        format!(
            r#"{{"method":"GET","path":"/api/r{number}","pathType":"prefix","priority":{priority},
            "loadBalancing":"weighted","upstreams":[{{"url":"http://127.0.0.1:{}","weight":3}},
            {{"url":"http://127.0.0.1:{}","weight":1}}]}}"#,
            9_000 + number,
            9_100 + number,
        )
    };
    let routes: Vec<String> = (0..ROUTES_EACH).map(route).collect();
    let routes = routes.join(",");
    let tenant = |number: usize| {
        format!(
            r#"{{"name":"tenant-{number}","rateLimit":{{"limit":1000,"windowMs":1000}},
            "keys":[{{"name":"main","key":"bench-key-{number:06}-0123456789"}}],"routes":[{routes}]}}"#
        )
    };
    let tenants: Vec<String> = (0..TENANTS).map(tenant).collect();
    format!(r#"{{"tenants":[{}]}}"#, tenants.join(","))
}

#[derive(Default)]
struct Table(Vec<(String, Memory)>);

impl Table {
    fn add(&mut self, name: &str, memory: Memory) {
        eprintln!("{name}: {:.1} MB", memory.resident as f64 / 1e6);
        self.0.push((name.to_owned(), memory));
    }

    fn markdown(&self) -> String {
        let mut text = String::from("| | RSS MB | its own | of files |\n|---|---|---|---|\n");
        for (name, memory) in &self.0 {
            writeln!(
                text,
                "| {name} | {:.1} | {:.1} | {:.1} |",
                memory.resident as f64 / 1e6,
                memory.anonymous as f64 / 1e6,
                memory.file as f64 / 1e6,
            )
            .expect("writing to a string cannot fail");
        }
        text
    }
}
