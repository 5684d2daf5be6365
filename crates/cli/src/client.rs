//! `bastide client`: typed clients made from a service's description, and what a new description breaks.

#![allow(
    clippy::doc_markdown,
    reason = "the comments on arguments are what `--help` prints"
)]

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use bastide_client::Client;
use bastide_client::generate::{self, GenerateError};
use clap::{Args, Subcommand};
use serde_json::Value;

use crate::program::App;
use crate::say::{failed, refused, say};

/// What a service serves its description as.
const DOCUMENT: &str = "/openapi.json";

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write a client in TypeScript: one file without dependencies
    Typescript(Generate),
    /// Write a client in Rust, over the crate bastide-client
    Rust(Generate),
    /// Tell which changes between two descriptions break callers; the exit code is 1 if there are any
    Check {
        /// The description that callers know: http://.., unix:/.., a file, or - for standard input
        old: String,
        /// The description that is to take its place
        new: String,
    },
}

#[derive(Args)]
struct Generate {
    /// Where the description is: a service at http://.. or unix:/.., a file, or - for standard input [default: the program's]
    #[arg(long, value_name = "URL|FILE|-", conflicts_with = "app")]
    from: Option<String>,
    /// The file to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    app: App,
}

/// Runs the command.
pub(crate) fn main(arguments: &Arguments) -> ExitCode {
    match &arguments.command {
        Command::Typescript(wanted) => wanted.write(generate::typescript),
        Command::Rust(wanted) => wanted.write(generate::rust),
        Command::Check { old, new } => check(old, new),
    }
}

impl Generate {
    fn write(&self, language: fn(&Value) -> Result<String, GenerateError>) -> ExitCode {
        let document = match &self.from {
            Some(source) => read(source),
            None => self
                .app
                .answer(&["openapi"])
                .and_then(|text| parse(&text, "the program's description")),
        };
        let document = match document {
            Ok(document) => document,
            Err(why) => return refused(why),
        };
        let client = match language(&document) {
            Ok(client) => client,
            Err(error) => return refused(format!("the description: {error}")),
        };
        let Some(path) = &self.out else {
            return say(client.trim_end());
        };
        match fs::write(path, client) {
            Ok(()) => say(format!("written: {}", path.display())),
            Err(error) => failed(format!("{}: {error}", path.display())),
        }
    }
}

/// 0 if nothing breaks, 1 if something does, 2 if it cannot be told.
fn check(old: &str, new: &str) -> ExitCode {
    if old == "-" && new == "-" {
        return refused("only one of the two can come from standard input");
    }
    let documents = read(old).and_then(|old| Ok((old, read(new)?)));
    let (old, new) = match documents {
        Ok(documents) => documents,
        Err(why) => return refused(why),
    };
    let changes = match generate::breaking(&old, &new) {
        Ok(changes) => changes,
        Err(error) => return refused(error),
    };
    if changes.is_empty() {
        return say("nothing breaks callers");
    }
    for change in &changes {
        say(change);
    }
    ExitCode::FAILURE
}

/// The description from a running service, a file, or standard input.
fn read(source: &str) -> Result<Value, String> {
    let of_source = |error: &dyn std::fmt::Display| format!("{source}: {error}");
    if source == "-" {
        let mut text = Vec::new();
        let read = std::io::stdin().read_to_end(&mut text);
        read.map_err(|error| format!("standard input: {error}"))?;
        return parse(&text, "standard input");
    }
    if source.contains("://") || source.starts_with("unix:") {
        let address = source.strip_suffix(DOCUMENT).unwrap_or(source);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| of_source(&error))?;
        return runtime.block_on(async {
            let client = Client::new(address).map_err(|error| of_source(&error))?;
            let description = client.description().await;
            description.map_err(|error| of_source(&error))
        });
    }
    let text = fs::read(source).map_err(|error| of_source(&error))?;
    parse(&text, source)
}

fn parse(text: &[u8], what: &str) -> Result<Value, String> {
    serde_json::from_slice(text).map_err(|error| format!("{what} is not JSON: {error}"))
}
