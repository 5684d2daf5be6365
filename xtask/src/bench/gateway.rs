//! The gateway with its whole pipeline beside bare proxies and beside nginx with Lua doing the like.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use bastide_testkit::{Redis, TestFolder, free_port};

use super::load::{self, LOAD_CORE, SUBJECT_CORE};
use super::subject::Subject;
use super::table::Table;
use crate::install;

pub(super) const ADMIN_KEY: &str = "bench-admin-key-0123456789";
const API_KEY: &str = "bench-api-key-0123456789abcdef";
const SECONDS: u32 = 5;
const ROUNDS: usize = 3;
const ROUTES: usize = 1_000;

/// Every subject in turn, several rounds, so that the machine's moods fall on all alike.
pub(crate) fn run() -> anyhow::Result<bool> {
    install::ensure(|package| {
        package.for_tests
            || package
                .programs
                .iter()
                .any(|p| ["nginx", "haproxy", "wrk"].contains(p))
    })?;
    let folder = TestFolder::new()?;
    let bench = Bench::prepare(folder.path())?;
    let key = key_field();

    let mut table = Table::default();
    for round in 1..=ROUNDS {
        for subject in SUBJECTS {
            eprintln!("round {round}/{ROUNDS}: {}", subject.name);
            let running = (subject.start)(&bench)?;
            let url = url(running.port);
            load::run(&url, &[&key], 1, &running.processes())?;
            table.add(
                subject.name,
                load::run(&url, &[&key], SECONDS, &running.processes())?,
            );
        }
    }
    let text = table.markdown();
    eprintln!("\n{text}");
    fs::write("target/bench-gateway.md", text)
        .context("the table cannot be written to target/bench-gateway.md")?;
    eprintln!("written to target/bench-gateway.md");
    Ok(true)
}

/// Lookup cost by number of routes: an example of the crate that does it.
pub(crate) fn routes() -> anyhow::Result<bool> {
    let mut cargo = Command::new("cargo");
    cargo.args([
        "run",
        "--release",
        "--quiet",
        "-p",
        "bastide-routing",
        "--example",
        "lookup",
    ]);
    Ok(crate::interrupt::run(&mut cargo)?.success())
}

/// What every subject stands in front of, and the folder of their configurations.
pub(super) struct Bench<'a> {
    dir: &'a Path,
    binary: PathBuf,
    tcp: String,
    socket: String,
    redis: Redis,
    pub(super) upstream_port: u16,
    _upstream: Subject,
}

impl<'a> Bench<'a> {
    /// Builds the gateway and starts the upstream.
    pub(super) fn prepare(dir: &'a Path) -> anyhow::Result<Self> {
        let binary = build()?;
        let upstream_port = free_port();
        let config = render(
            dir,
            "upstream.conf",
            "upstream",
            &[("port", &upstream_port.to_string())],
        )?;
        Ok(Self {
            dir,
            binary,
            tcp: format!("127.0.0.1:{upstream_port}"),
            socket: format!("unix:{}/upstream.sock", dir.display()),
            redis: Redis::start()?,
            upstream_port,
            _upstream: Subject::nginx(LOAD_CORE, upstream_port, dir, &config)?,
        })
    }

    /// Starts the subject of this name.
    pub(super) fn start(&self, name: &str) -> anyhow::Result<Subject> {
        let kind = SUBJECTS.iter().find(|kind| kind.name == name);
        (kind
            .with_context(|| format!("there is no subject {name}"))?
            .start)(self)
    }
}

/// What is asked for: one of the thousand routes.
pub(super) fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}/api/r500/users/42")
}

/// The header field with the key.
pub(super) fn key_field() -> String {
    format!("X-API-Key: {API_KEY}")
}

struct Kind {
    name: &'static str,
    start: fn(&Bench<'_>) -> anyhow::Result<Subject>,
}

const SUBJECTS: &[Kind] = &[
    Kind {
        name: "nginx proxy_pass",
        start: |b| nginx(b, "proxy.conf", &b.tcp),
    },
    Kind {
        name: "nginx proxy_pass, Unix socket",
        start: |b| nginx(b, "proxy.conf", &b.socket),
    },
    Kind {
        name: "HAProxy http",
        start: haproxy,
    },
    Kind {
        name: "nginx + Lua: key, local limit",
        start: |b| nginx(b, "lua.conf", &b.tcp),
    },
    Kind {
        name: "nginx + Lua + Redis per request",
        start: |b| nginx(b, "lua-redis.conf", &b.tcp),
    },
    Kind {
        name: "bastide, full pipeline",
        start: |b| bastide(b, &format!("http://{}", b.tcp), false),
    },
    Kind {
        name: "bastide, full pipeline, Unix socket",
        start: |b| bastide(b, &b.socket, false),
    },
    Kind {
        name: "bastide, full pipeline, limit shared over Redis",
        start: |b| bastide(b, &format!("http://{}", b.tcp), true),
    },
];

pub(super) fn build() -> anyhow::Result<PathBuf> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "-p", "bastide-cli"]);
    if !crate::interrupt::run(&mut cargo)?.success() {
        bail!("the release build failed");
    }
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    Ok(target.join("release/bastide"))
}

/// Fills in a configuration of `bench/gateway`.
fn render(
    dir: &Path,
    template: &str,
    name: &str,
    values: &[(&str, &str)],
) -> anyhow::Result<PathBuf> {
    let source = Path::new("bench/gateway").join(template);
    let mut text = fs::read_to_string(&source)
        .with_context(|| format!("{} cannot be read", source.display()))?;
    let own = [
        ("dir", dir.to_str().unwrap_or_default()),
        ("name", name),
        ("key", API_KEY),
    ];
    for (key, value) in own.iter().chain(values) {
        text = text.replace(&format!("{{{{{key}}}}}"), value);
    }
    let path = dir.join(format!("{name}-{template}"));
    fs::write(&path, text)?;
    Ok(path)
}

fn nginx(bench: &Bench<'_>, template: &str, upstream: &str) -> anyhow::Result<Subject> {
    let port = free_port();
    let values = [
        ("port", port.to_string()),
        ("upstream", upstream.to_owned()),
        ("modules", "/usr/lib/nginx/modules".to_owned()),
        ("redis", bench.redis.port().to_string()),
    ];
    let values: Vec<(&str, &str)> = values
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect();
    let config = render(bench.dir, template, &format!("subject-{port}"), &values)?;
    Subject::nginx(SUBJECT_CORE, port, bench.dir, &config)
}

fn haproxy(bench: &Bench<'_>) -> anyhow::Result<Subject> {
    let port = free_port();
    let values = [("port", port.to_string()), ("upstream", bench.tcp.clone())];
    let values: Vec<(&str, &str)> = values
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect();
    let config = render(
        bench.dir,
        "haproxy.cfg",
        &format!("subject-{port}"),
        &values,
    )?;
    let program = bastide_testkit::binaries::find("haproxy")?;
    let log = config.with_extension("out");
    Subject::start(
        SUBJECT_CORE,
        port,
        Command::new(program).arg("-f").arg(&config),
        &log,
    )
}

/// Our gateway: a key, a limit that is never reached, a thousand routes, weighted upstreams, metrics.
fn bastide(bench: &Bench<'_>, upstream: &str, shared: bool) -> anyhow::Result<Subject> {
    let port = free_port();
    let data = bench.dir.join(format!("bastide-{port}"));
    fs::create_dir(&data)?;
    let config = data.join("gateway.json");
    fs::write(&config, declaration(upstream))?;
    let mut program = Command::new(&bench.binary);
    program
        .args([
            "gateway",
            "--workers",
            "1",
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--admin-listen",
            "same",
        ])
        .arg("--data-dir")
        .arg(&data)
        .arg("--config")
        .arg(&config)
        .env("ADMIN_API_KEY", ADMIN_KEY)
        .env("LOG_LEVEL", "warn");
    if shared {
        program.env("REDIS_URL", bench.redis.url());
    }
    Subject::start(SUBJECT_CORE, port, &mut program, &data.join("log"))
}

fn declaration(upstream: &str) -> String {
    let routes: Vec<String> = (0..ROUTES)
        .map(|number| {
            format!(
                r#"{{"method":"GET","path":"/api/r{number}","pathType":"prefix","loadBalancing":"weighted",
                "upstreams":[{{"url":"{upstream}","weight":3}},{{"url":"{upstream}","weight":1}}]}}"#
            )
        })
        .collect();
    format!(
        r#"{{"tenants":[{{"name":"bench","rateLimit":{{"limit":1000000000,"windowMs":1000}},
        "keys":[{{"name":"bench","key":"{API_KEY}"}}],"routes":[{}]}}]}}"#,
        routes.join(",")
    )
}
