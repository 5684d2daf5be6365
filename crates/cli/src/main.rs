//! The binary `bastide`: arguments in, text out. What it does stands in the crates below.

mod client;
mod gateway;
mod new;
mod program;
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
    Gateway(Box<gateway::Arguments>),
    /// Make a service of one's own
    New(new::Arguments),
    /// Work on the tables of a service
    Db(program::Db),
    /// List every entry of a service with its policy
    Routes(program::Routes),
    /// Print the description of a service, as it has it at /openapi.json
    Openapi(program::Openapi),
    /// Make clients of a service, and see what would break them
    Client(client::Arguments),
}

fn main() -> ExitCode {
    sys::return_freed_pages();
    match Cli::parse().command {
        Command::Gateway(arguments) => gateway::main(&arguments),
        Command::New(arguments) => new::main(&arguments),
        Command::Db(db) => db.run(),
        Command::Routes(routes) => routes.run(),
        Command::Openapi(openapi) => openapi.run(),
        Command::Client(arguments) => client::main(&arguments),
    }
}
