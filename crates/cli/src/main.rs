//! The binary `bastide`: arguments in, text out. What it does stands in the crates below.

mod gateway;
mod say;
mod sys;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A backend platform: the services you write, the processes they need, and the gate in front of them.
#[derive(Parser)]
#[command(name = "bastide", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The multi-tenant API gateway
    Gateway(gateway::Arguments),
}

fn main() -> ExitCode {
    sys::return_freed_pages();
    match Cli::parse().command {
        Command::Gateway(arguments) => gateway::main(&arguments),
    }
}
