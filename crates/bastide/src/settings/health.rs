//! `[health]`: when the program is well.

use std::time::Duration;

use bastide_config::parse;
use bastide_config::read::Fields;
use bastide_health::Thresholds;

use super::{ANY_TIME, SOME_TIME};

/// The standard indicators. Those of the database and the store are there when the program uses them.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthSettings {
    /// `memory = {degraded = "400MB", unhealthy = "500MB"}`: resident memory; not looked at unless given.
    pub memory: Option<Thresholds>,
    /// `runtime_lag = {degraded = "50ms", unhealthy = "200ms"}`: how late the runtime wakes a timer; these are the defaults.
    pub runtime_lag: Thresholds,
    /// `timeout`: no answer within this time is a failure; 3 s.
    pub timeout: Duration,
    /// `cache_ttl`: for how long a result is given again; 1 s.
    pub cache_ttl: Duration,
    /// `rpc`: whether the method `health@1.0.0/check` gives the report to services, by their keys; on.
    pub rpc: bool,
}

const MEGABYTE: f64 = 1_000_000.0;

pub(super) fn read(fields: &mut Fields<'_, '_>) -> Option<HealthSettings> {
    let memory = fields.object("memory", |fields| {
        let bytes = parse::bytes(1..=1 << 50);
        let degraded = fields.required("degraded", &bytes)?;
        let unhealthy = fields.required("unhealthy", &bytes)?;
        thresholds(
            fields,
            degraded as f64 / MEGABYTE,
            unhealthy as f64 / MEGABYTE,
        )
    });
    let lag = fields.object_or_empty("runtime_lag", |fields| {
        let time = parse::duration(SOME_TIME);
        let degraded = fields.setting("degraded", Duration::from_millis(50), &time);
        let unhealthy = fields.setting("unhealthy", Duration::from_millis(200), &time);
        let millis = |time: Duration| time.as_secs_f64() * 1_000.0;
        thresholds(fields, millis(degraded), millis(unhealthy))
    });
    Some(HealthSettings {
        memory,
        timeout: fields.setting(
            "timeout",
            Duration::from_secs(3),
            parse::duration(SOME_TIME),
        ),
        cache_ttl: fields.setting(
            "cache_ttl",
            Duration::from_secs(1),
            parse::duration(ANY_TIME),
        ),
        rpc: fields.setting("rpc", true, parse::boolean),
        runtime_lag: lag?,
    })
}

fn thresholds(fields: &mut Fields<'_, '_>, degraded: f64, unhealthy: f64) -> Option<Thresholds> {
    if degraded > unhealthy {
        return fields.reject_field("degraded", "comes after `unhealthy`; give a smaller value");
    }
    Some(Thresholds {
        degraded,
        unhealthy,
    })
}
