//! `[metrics]`: what is counted without being asked.

use bastide_config::parse;
use bastide_config::read::Fields;

/// The parts of `/metrics`. What the program counts itself is there whatever these say, unless nothing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricsSettings {
    /// `enabled`: whether `/metrics` shows anything; on.
    pub enabled: bool,
    /// `process`: memory, CPU time and open files of the process; on.
    pub process: bool,
    /// `system`: load, memory and CPU time of the machine; on.
    pub system: bool,
    /// `rpc`: every method's calls and every route's requests, with their times; on.
    pub rpc: bool,
}

pub(super) fn read(fields: &mut Fields<'_, '_>) -> Option<MetricsSettings> {
    Some(MetricsSettings {
        enabled: fields.setting("enabled", true, parse::boolean),
        process: fields.setting("process", true, parse::boolean),
        system: fields.setting("system", true, parse::boolean),
        rpc: fields.setting("rpc", true, parse::boolean),
    })
}
