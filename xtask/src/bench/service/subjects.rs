//! What is measured, and how each is started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use bastide_testkit::{Database, Postgres, Redis, free_port};

use super::super::load::SUBJECT_CORE;
use super::super::subject::Subject;

const SECRET: &str = "a secret of at least thirty-two bytes";
const USERS: usize = 1_000;
const NAME: &str = r#"{"name":"Ada"}"#;
const ID: &str = r#"{"id":"00000000-0000-0000-0001-000000000007"}"#;

/// Subjects that do the same; the first is what the others are compared with.
pub(super) struct Subjects {
    pub(super) title: &'static str,
    pub(super) kinds: &'static [Kind],
}

/// One subject, and the call that it gets.
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) start: fn(&Bench<'_>) -> anyhow::Result<Subject>,
    pub(super) path: &'static str,
    body: &'static str,
    has_token: bool,
}

pub(super) const SUBJECTS: &[Subjects] = &[
    Subjects {
        title: "A call: JSON in, JSON out.",
        kinds: &[
            Kind {
                name: "axum, hello",
                start: axum,
                path: "/hello",
                body: NAME,
                has_token: false,
            },
            Kind {
                name: "hyper, hello",
                start: hyper,
                path: "/",
                body: NAME,
                has_token: false,
            },
            Kind {
                name: "bastide, hello",
                start: on_postgres,
                path: "/rpc/bench/hello",
                body: NAME,
                has_token: false,
            },
            Kind {
                name: "axum, token, limit and kept output by hand",
                start: axum,
                path: "/greet",
                body: NAME,
                has_token: true,
            },
            Kind {
                name: "bastide, token, limit and kept output",
                start: on_postgres,
                path: "/rpc/bench/greet",
                body: NAME,
                has_token: true,
            },
            Kind {
                name: "Fastify, hello",
                start: fastify,
                path: "/hello",
                body: NAME,
                has_token: false,
            },
            Kind {
                name: "Fastify, token",
                start: fastify,
                path: "/greet",
                body: NAME,
                has_token: true,
            },
        ],
    },
    Subjects {
        title: "A row by its id, of one tenant.",
        kinds: &[
            Kind {
                name: "axum, tokio-postgres, unnamed statement",
                start: axum,
                path: "/find",
                body: ID,
                has_token: true,
            },
            Kind {
                name: "axum, tokio-postgres, prepared statement",
                start: axum,
                path: "/find-prepared",
                body: ID,
                has_token: true,
            },
            Kind {
                name: "bastide, Postgres",
                start: on_postgres,
                path: "/rpc/bench/find",
                body: ID,
                has_token: true,
            },
            Kind {
                name: "bastide, SQLite",
                start: on_sqlite,
                path: "/rpc/bench/find",
                body: ID,
                has_token: true,
            },
            Kind {
                name: "Fastify, token, pg",
                start: fastify,
                path: "/find",
                body: ID,
                has_token: true,
            },
        ],
    },
];

/// Programs and databases.
pub(super) struct Bench<'a> {
    pub(super) dir: &'a Path,
    service: PathBuf,
    peers: PathBuf,
    fastify: PathBuf,
    tokens: Vec<String>,
    sqlite: String,
    // Before its server.
    database: Database,
    _postgres: Postgres,
    redis: Redis,
}

impl<'a> Bench<'a> {
    /// Starts the databases and fills them.
    pub(super) fn prepare(
        dir: &'a Path,
        service: PathBuf,
        peers: PathBuf,
        fastify: PathBuf,
    ) -> anyhow::Result<Self> {
        let postgres = Postgres::start()?;
        let database = postgres.database()?;
        database.sql(
            "CREATE ROLE bench_owner LOGIN; CREATE ROLE bench_app LOGIN NOBYPASSRLS; \
             GRANT CREATE ON SCHEMA public TO bench_owner",
        )?;
        let mut bench = Self {
            dir,
            service,
            peers,
            fastify,
            tokens: Vec::new(),
            sqlite: format!("sqlite:{}", dir.join("bench.db").display()),
            database,
            _postgres: postgres,
            redis: Redis::start()?,
        };
        for url in [bench.postgres("bench_owner"), bench.sqlite.clone()] {
            bench.ask(&["prepare", "bench_app"], &url)?;
        }
        let tokens = bench.ask(&["tokens", &USERS.to_string()], "")?;
        fs::write(bench.tokens_file(), &tokens)?;
        bench.tokens = tokens.lines().map(str::to_owned).collect();
        Ok(bench)
    }

    /// Tokens, one a line.
    pub(super) fn tokens_file(&self) -> PathBuf {
        self.dir.join("tokens")
    }

    /// A script that makes the call of this subject.
    pub(super) fn script(&self, kind: &Kind) -> anyhow::Result<String> {
        let token = if kind.has_token {
            let token = self.tokens.first().context("there is no token")?;
            format!("wrk.headers[\"Authorization\"] = \"Bearer {token}\"\n")
        } else {
            String::new()
        };
        let text = format!(
            "wrk.method = \"POST\"\nwrk.headers[\"Content-Type\"] = \"application/json\"\n{token}wrk.body = '{}'\n",
            kind.body
        );
        let path = self.dir.join("call.lua");
        fs::write(&path, text)?;
        Ok(path.display().to_string())
    }

    /// Our service over the database at this URL.
    pub(super) fn service(&self, url: &str, has_redis: bool) -> anyhow::Result<Subject> {
        let mut program = Command::new(&self.service);
        program.env("SECRET", SECRET).env("DATABASE_URL", url);
        if has_redis {
            program.env("REDIS_URL", self.redis.url());
        }
        self.start(&mut program, &["serve"])
    }

    /// The URL of the Postgres for this role.
    pub(super) fn postgres(&self, role: &str) -> String {
        let url = self.database.url();
        url.replacen("//postgres@", &format!("//{role}@"), 1)
    }

    fn peer(&self, program: &Path, arguments: &[&str]) -> anyhow::Result<Subject> {
        let mut program = Command::new(program);
        program
            .env("SECRET", SECRET)
            .env("DATABASE_URL", self.database.url());
        self.start(&mut program, arguments)
    }

    /// Starts a program whose last argument is the port.
    fn start(&self, program: &mut Command, arguments: &[&str]) -> anyhow::Result<Subject> {
        let port = free_port();
        program.args(arguments).arg(port.to_string());
        let log = self.dir.join(format!("subject-{port}.log"));
        Subject::start(SUBJECT_CORE, port, program, &log)
    }

    /// What our program prints for these arguments.
    fn ask(&self, arguments: &[&str], url: &str) -> anyhow::Result<String> {
        let mut program = Command::new(&self.service);
        program.args(arguments);
        let output = program
            .env("SECRET", SECRET)
            .env("DATABASE_URL", url)
            .output()?;
        if !output.status.success() {
            let reason = String::from_utf8_lossy(&output.stderr);
            bail!("bench-service {} failed: {reason}", arguments.join(" "));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

fn axum(bench: &Bench<'_>) -> anyhow::Result<Subject> {
    bench.peer(&bench.peers, &["axum"])
}

fn hyper(bench: &Bench<'_>) -> anyhow::Result<Subject> {
    bench.peer(&bench.peers, &["hyper"])
}

fn fastify(bench: &Bench<'_>) -> anyhow::Result<Subject> {
    let server = bench.fastify.display().to_string();
    bench.peer(Path::new("node"), &[&server])
}

fn on_postgres(bench: &Bench<'_>) -> anyhow::Result<Subject> {
    bench.service(&bench.postgres("bench_app"), false)
}

fn on_sqlite(bench: &Bench<'_>) -> anyhow::Result<Subject> {
    bench.service(&bench.sqlite, false)
}
