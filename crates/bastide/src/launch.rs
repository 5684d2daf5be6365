//! From the process's start to the author's code, and from its end to an exit code.

#![allow(
    clippy::doc_markdown,
    reason = "the comments on arguments are what `--help` prints"
)]

use std::future::Future;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bastide_config::env::Env;
use bastide_telemetry::lines::{self, Lines};
use bastide_telemetry::log::{self, Adjustable, Filter, Style};
use clap::{Args, Parser, Subcommand};

use crate::app::App;
use crate::configuration::{self, Configuration};
use crate::error::{StartError, with_causes};
use crate::parts::Parts;
use crate::settings::{LogFormat, Settings};

/// Which program this is. `#[bastide::main]` takes both from the package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    /// Its name: `users`.
    pub name: &'static str,
    /// Its version: `1.0.0`.
    pub version: &'static str,
}

/// Something was wrong while it ran.
const FAILED: u8 = 1;
/// It was started wrongly: its arguments or its configuration.
const MISUSED: u8 = 2;

/// Bytes of log lines that may wait for a slow reader; later ones are dropped and counted.
const LOG_BUFFER: usize = 1 << 20;

/// How long the last lines of the log may take to be written.
const LAST_LINES: Duration = Duration::from_secs(2);

#[derive(Debug, Parser)]
#[command(disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

/// What a program can be asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub(crate) enum Command {
    /// Take calls, with the workers as processes beside; what is done without a command
    Run {
        /// Start no workers: somebody else does
        #[arg(long)]
        http_only: bool,
    },
    /// Be one of the workers
    Worker {
        /// Its name
        name: String,
        /// End in order when standard input does; whoever holds its other end can neither forget nor outlive the worker
        #[arg(long)]
        until_input_ends: bool,
    },
    /// List every entry with its policy
    Routes {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the OpenAPI document
    Openapi,
    /// Print the configuration in use, with where each value came from and no secrets
    Config,
    /// Say what the program is, as JSON: entries, workers, tables
    Describe,
    /// Print a token to try the program with, in development
    Token(TokenClaims),
    /// Work on the tables
    #[command(subcommand)]
    Db(Db),
}

/// What a token says of its bearer.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct TokenClaims {
    /// Who it is
    #[arg(long, default_value = "dev")]
    pub(crate) subject: String,
    /// For which tenant
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// A role; may be given several times
    #[arg(long)]
    pub(crate) role: Vec<String>,
    /// A scope; may be given several times
    #[arg(long)]
    pub(crate) scope: Vec<String>,
    /// The tier of rate limits
    #[arg(long)]
    pub(crate) tier: Option<String>,
}

/// What can be asked about the tables.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub(crate) enum Db {
    /// Apply the migrations that are pending
    Migrate,
    /// List the migrations and whether each is applied
    Status,
    /// Say whether the tables are what the program needs, and keep tenants apart
    Check,
    /// Compare the entities with the tables, and print what would mend the difference
    Diff,
    /// Write a migration with that difference
    New {
        /// What it does: `add_phone_to_users`
        name: String,
    },
}

impl Default for Command {
    fn default() -> Self {
        Self::Run { http_only: false }
    }
}

impl Command {
    /// Whether the program works, so that its parts have to be the real ones, and its log is its output.
    fn is_service(&self) -> bool {
        matches!(self, Self::Run { .. } | Self::Worker { .. })
    }
}

/// Runs a program: reads its arguments and its configuration, sets up its log and gives it to its author's code. What
/// `#[bastide::main]` makes of a function is a call of this.
///
/// Exit codes: 0 for an ordered end, 1 for a failure, 2 for wrong arguments or configuration.
pub fn launch<F, E>(program: Program, body: impl FnOnce(App) -> F) -> ExitCode
where
    F: Future<Output = Result<(), E>>,
    E: Into<anyhow::Error>,
{
    #[cfg(feature = "testing")]
    if let Some(stage) = crate::testing::Stage::take() {
        return stage.play(program, body);
    }
    let arguments = Arguments::parse();
    let command = arguments.command.unwrap_or_default();
    let configuration = match configuration::read(program, Path::new(""), &Env::process()) {
        Ok(configuration) => configuration,
        Err(error) => return say_and_end(&error.into(), MISUSED),
    };
    let (lines, log) = match start_log(&command, &configuration.settings) {
        Ok(log) => log,
        Err(error) => return say_and_end(&error, FAILED),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return say_and_end(&error.into(), FAILED),
    };
    let is_serving = command.is_service();
    let Configuration {
        environment,
        settings,
        document,
    } = configuration;
    let parts = Parts::new(program, environment, settings, document, is_serving);
    let lines = Arc::new(lines);
    let result = runtime.block_on(body(App::new(parts, command, lines.clone(), log)));
    // What still runs is nobody's any more; it must not hold the process.
    runtime.shutdown_background();
    let code = match result.map_err(Into::into) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let is_misuse = matches!(
                error.downcast_ref::<StartError>(),
                Some(
                    StartError::Configuration(_)
                        | StartError::StoreUrl(_)
                        | StartError::Cache(_)
                        | StartError::Key(_)
                        | StartError::Tenant(_)
                        | StartError::UnsharedLimits
                        | StartError::NoDatabase
                        | StartError::NoStore
                        | StartError::NoKeys { .. }
                        | StartError::NoAcross
                        | StartError::NoWorker { .. }
                )
            );
            say_and_end(&error, if is_misuse { MISUSED } else { FAILED })
        }
    };
    // Others have it too, and none of them may be waited for.
    lines.flush(LAST_LINES);
    code
}

/// A service's log is what it prints; a command prints its answer, and only what went wrong beside it.
fn start_log(
    command: &Command,
    settings: &Settings,
) -> anyhow::Result<(Lines, Option<Adjustable>)> {
    let is_watched = settings.config.watch && command.is_service();
    let settings = &settings.log;
    let (lines, filter) = if command.is_service() {
        let out = lines::stdout()?;
        (Lines::start(out, LOG_BUFFER)?, settings.level.clone())
    } else {
        let warnings = Filter::parse("warn").expect("a level");
        (Lines::start(std::io::stderr(), LOG_BUFFER)?, warnings)
    };
    let style = match settings.format {
        LogFormat::Json => Style::Json,
        LogFormat::Pretty => Style::Pretty {
            color: std::io::IsTerminal::is_terminal(&std::io::stdout()),
        },
    };
    let (redaction, source) = (settings.redaction(), lines.source());
    let adjustable = if is_watched {
        Some(log::init_adjustable(&filter, style, redaction, source)?)
    } else {
        log::init(&filter, style, redaction, source)?;
        None
    };
    Ok((lines, adjustable))
}

#[expect(
    clippy::print_stderr,
    reason = "the log may not be there yet, and an operator looks here first"
)]
fn say_and_end(error: &anyhow::Error, code: u8) -> ExitCode {
    eprintln!("error: {}", with_causes(error));
    ExitCode::from(code)
}
