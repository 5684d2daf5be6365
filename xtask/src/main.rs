//! `cargo xtask`: everything that continuous integration does, by name.
//!
//! What is missing is installed, what is needed is started on free ports, and all of it is gone afterwards: a fresh clone and
//! one command are enough. To add a subcommand, add a module and an arm in [`main`].
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stderr,
    reason = "it is a command; telling what it does is its work"
)]

mod bench;
mod install;
mod interrupt;
mod servers;
mod steps;
mod style;
mod test;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND

  test [--no-lint] [-p CRATE].. [FILTER..]
      Installs what is missing, starts private servers, checks format, lints and style, runs every test, stops the servers.
      --no-lint   only the tests
      -p CRATE    only this package
      FILTER      only tests whose names contain it
  install [--all]
      Installs what the tests need; with --all also what benchmarks compare with.
  bench gateway
      The gateway beside nginx, HAProxy and nginx with Lua, pinned to cores; writes a table.
  bench latency
      What the gateway, nginx and HAProxy add to the time of an answer at 70 % of their load.
  bench memory
      The gateway's memory: idle, with 10 000 routes of 1 000 tenants from each source, and over 200 reloads.
  bench routes
      Lookup cost at 10, 1 000 and 100 000 routes.
  bench service [NAME..]
      A service's calls beside axum, hyper, tokio-postgres and Fastify, and a mixed load; writes tables.
      NAME        only subjects whose names contain it
";

fn main() -> ExitCode {
    interrupt::watch();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.split_first() {
        Some((&"test", rest)) => test::run(rest),
        Some((&"install", rest)) => install::run(rest),
        Some((&"bench", rest)) => bench::run(rest),
        None | Some((&("help" | "-h" | "--help"), _)) => {
            eprint!("{HELP}");
            Ok(true)
        }
        Some((unknown, _)) => Err(anyhow::anyhow!("unknown command `{unknown}`\n\n{HELP}")),
    };
    match outcome {
        _ if interrupt::was_asked() => ExitCode::from(130),
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
