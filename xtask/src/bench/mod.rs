//! `cargo xtask bench NAME`: ours beside its peers, in one run, pinned, as ratios.

mod gateway;
mod latency;
mod load;
mod memory;
mod service;
mod subject;
mod table;

use anyhow::bail;

/// Runs a benchmark by name.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<bool> {
    match arguments {
        ["gateway"] => gateway::run(),
        ["latency"] => latency::run(),
        ["memory"] => memory::run(),
        ["routes"] => gateway::routes(),
        ["service", names @ ..] => service::run(names),
        _ => bail!(
            "name a benchmark: `cargo xtask bench gateway`, `latency`, `memory`, `routes` or `service`"
        ),
    }
}
