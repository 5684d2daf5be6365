//! `bastide gateway`: run it, or work on what it keeps.

#![allow(
    clippy::doc_markdown,
    reason = "the comments on arguments are what `--help` prints"
)]

mod serve;
mod storage;

use std::path::PathBuf;
use std::process::ExitCode;

use bastide_config::env::Env;
use bastide_gateway::settings::Flags;
use clap::{Args, Subcommand};

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(Subcommand)]
enum Command {
    /// Check a declarative file and change nothing
    Check {
        /// TOML, YAML or JSON
        file: PathBuf,
    },
    /// Bring the database's tables up to date
    Migrate(Storage),
    /// Make a demo tenant and route
    Seed(Storage),
    /// Work with API keys
    #[command(subcommand)]
    Keys(Keys),
}

#[derive(Subcommand)]
enum Keys {
    /// Read a key from standard input and print its hash, for a declarative file
    Hash(Storage),
}

#[derive(Args)]
struct Run {
    /// Address of the public listener [default: 0.0.0.0:3000; PORT changes the port]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Address of the Admin API, or `same` [env: ADMIN_LISTEN] [default: 127.0.0.1:3001]
    #[arg(long, value_name = "ADDRESS|same")]
    admin_listen: Option<String>,
    #[command(flatten)]
    storage: Storage,
    /// Shared store for several nodes [env: REDIS_URL] [default: this process's memory]
    #[arg(long, value_name = "URL")]
    redis_url: Option<String>,
    /// Declarative file of tenants and routes, applied and watched
    #[arg(long, value_name = "FILE")]
    config: Option<String>,
    /// Threads that carry requests [env: BASTIDE_WORKERS] [default: one per core]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    workers: Option<String>,
    /// Networks whose X-Forwarded-* are believed [env: TRUSTED_PROXIES] [default: none]
    #[arg(long, value_name = "CIDR,...")]
    trusted_proxies: Option<String>,
    /// HTML page of maintenance mode [env: MAINTENANCE_PAGE]
    #[arg(long, value_name = "FILE")]
    maintenance_page: Option<String>,
    /// Connections of clients at a time [env: MAX_CONNECTIONS] [default: as many as there are descriptors for]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    max_connections: Option<String>,
    /// How long a client's connection is kept without a request [env: KEEP_ALIVE_TIMEOUT] [default: 75s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    keep_alive_timeout: Option<String>,
    /// How long a client may take nothing of a response that waits for it [env: SEND_TIMEOUT] [default: 60s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    send_timeout: Option<String>,
    /// How long to accept connections after SIGTERM [env: DRAIN_DELAY] [default: 5s in production, else 0s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    drain_delay: Option<String>,
    /// How long requests in flight may take after that [env: DRAIN_TIMEOUT] [default: 30s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    drain_timeout: Option<String>,
    /// A line on standard output for every request, `off` or `json` [env: ACCESS_LOG] [default: off]
    #[arg(long, value_name = "off|json")]
    access_log: Option<String>,
    /// How long the new process may take after SIGUSR2 until it accepts connections [env: UPGRADE_TIMEOUT] [default: 30s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    upgrade_timeout: Option<String>,
    /// Certificate chain of the public listener, PEM [env: TLS_CERT]
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<String>,
    /// Private key of the public listener, PEM [env: TLS_KEY]
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// Roots for upstreams' certificates beside the public ones, PEM [env: UPSTREAM_CA]
    #[arg(long, value_name = "FILE")]
    upstream_ca: Option<String>,
}

#[derive(Args, Clone)]
struct Storage {
    /// postgres://... or sqlite:PATH [env: DATABASE_URL] [default: SQLite in the data directory]
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Directory for what the gateway keeps [env: BASTIDE_DATA_DIR] [default: .bastide]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
}

impl Storage {
    fn flags(&self) -> Flags {
        Flags {
            database_url: self.database_url.clone(),
            data_dir: self.data_dir.clone(),
            ..Flags::default()
        }
    }
}

impl Run {
    fn flags(&self) -> Flags {
        Flags {
            listen: self.listen.clone(),
            admin_listen: self.admin_listen.clone(),
            redis_url: self.redis_url.clone(),
            config: self.config.clone(),
            workers: self.workers.clone(),
            trusted_proxies: self.trusted_proxies.clone(),
            maintenance_page: self.maintenance_page.clone(),
            max_connections: self.max_connections.clone(),
            keep_alive_timeout: self.keep_alive_timeout.clone(),
            send_timeout: self.send_timeout.clone(),
            drain_delay: self.drain_delay.clone(),
            drain_timeout: self.drain_timeout.clone(),
            access_log: self.access_log.clone(),
            upgrade_timeout: self.upgrade_timeout.clone(),
            tls_cert: self.tls_cert.clone(),
            tls_key: self.tls_key.clone(),
            upstream_ca: self.upstream_ca.clone(),
            ..self.storage.flags()
        }
    }
}

/// Runs the command.
pub(crate) fn main(arguments: &Arguments) -> ExitCode {
    let env = Env::process();
    match &arguments.command {
        None => serve::serve(&arguments.run.flags(), &env),
        Some(Command::Check { file }) => storage::check(file),
        Some(Command::Migrate(storage)) => storage::migrate(&storage.flags(), &env),
        Some(Command::Seed(storage)) => storage::seed(&storage.flags(), &env),
        Some(Command::Keys(Keys::Hash(storage))) => storage::hash_key(&storage.flags(), &env),
    }
}
