//! The author's program, which is asked with the words that were given here. What it prints and how it ends is passed through.

use std::env;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use clap::{Args, Subcommand};

use crate::say::{failed, refused};

/// Which program is asked.
#[derive(Args)]
pub(crate) struct App {
    /// The program, a binary [default: what `cargo run` runs in this folder]
    #[arg(long, value_name = "PATH", global = true)]
    app: Option<PathBuf>,
}

/// `bastide db ..`
#[derive(Args)]
pub(crate) struct Db {
    #[command(flatten)]
    app: App,
    #[command(subcommand)]
    command: DbCommand,
}

#[derive(Subcommand)]
enum DbCommand {
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
        /// What it does, as `add_phone_to_users`
        name: String,
    },
}

/// `bastide routes`
#[derive(Args)]
pub(crate) struct Routes {
    #[command(flatten)]
    app: App,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// `bastide openapi`
#[derive(Args)]
pub(crate) struct Openapi {
    #[command(flatten)]
    app: App,
}

impl Db {
    pub(crate) fn run(&self) -> ExitCode {
        match &self.command {
            DbCommand::Migrate => self.app.become_it(&["db", "migrate"]),
            DbCommand::Status => self.app.become_it(&["db", "status"]),
            DbCommand::Check => self.app.become_it(&["db", "check"]),
            DbCommand::Diff => self.app.become_it(&["db", "diff"]),
            DbCommand::New { name } => self.app.become_it(&["db", "new", "--", name]),
        }
    }
}

impl Routes {
    pub(crate) fn run(&self) -> ExitCode {
        let words: &[&str] = if self.json {
            &["routes", "--json"]
        } else {
            &["routes"]
        };
        self.app.become_it(words)
    }
}

impl Openapi {
    pub(crate) fn run(&self) -> ExitCode {
        self.app.become_it(&["openapi"])
    }
}

impl App {
    /// The program in place of this process, so that signals, output and exit code are its own.
    fn become_it(&self, words: &[&str]) -> ExitCode {
        match self.command() {
            Ok(mut command) => {
                let error = command.args(words).exec();
                failed(not_run(&command, &error))
            }
            Err(why) => refused(why),
        }
    }

    /// What the program prints when it is asked this. What it says is wrong goes where ours does.
    pub(crate) fn answer(&self, words: &[&str]) -> Result<Vec<u8>, String> {
        let mut command = self.command()?;
        command.args(words).stderr(Stdio::inherit());
        let output = command.output();
        let output = output.map_err(|error| not_run(&command, &error))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let asked = words.join(" ");
        Err(format!(
            "the program did not answer `{asked}`: {}",
            output.status
        ))
    }

    fn command(&self) -> Result<Command, String> {
        let Some(path) = &self.app else {
            if !Path::new("Cargo.toml").is_file() {
                return Err(NOBODY.to_owned());
            }
            let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let mut command = Command::new(cargo);
            command.args(["run", "--quiet", "--"]);
            return Ok(command);
        };
        // With its whole path: a bare name would be looked for in `PATH`.
        match path.canonicalize() {
            Ok(whole) if whole.is_file() => Ok(Command::new(whole)),
            Ok(_) => Err(format!(
                "--app {}: is no file; name the program's binary",
                path.display()
            )),
            Err(error) => Err(format!("--app {}: {error}", path.display())),
        }
    }
}

const NOBODY: &str = "there is no program to ask: this folder has no Cargo.toml; \
                      go to the folder of your service, or name its binary with --app PATH";

fn not_run(command: &Command, error: &std::io::Error) -> String {
    let program = command.get_program().to_string_lossy();
    format!("{program} could not be run: {error}")
}
