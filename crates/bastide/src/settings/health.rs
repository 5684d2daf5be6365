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
    /// `rpc`: whether `health@1.0.0/check` answers services with the report too; on.
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
    let lag = fields.object("runtime_lag", |fields| {
        let time = parse::duration(SOME_TIME);
        let degraded = fields.or("degraded", Duration::from_millis(50), &time);
        let unhealthy = fields.or("unhealthy", Duration::from_millis(200), &time);
        let millis = |time: Duration| time.as_secs_f64() * 1_000.0;
        thresholds(fields, millis(degraded), millis(unhealthy))
    });
    Some(HealthSettings {
        memory,
        runtime_lag: lag.unwrap_or(Thresholds {
            degraded: 50.0,
            unhealthy: 200.0,
        }),
        timeout: fields.or(
            "timeout",
            Duration::from_secs(3),
            parse::duration(SOME_TIME),
        ),
        cache_ttl: fields.or(
            "cache_ttl",
            Duration::from_secs(1),
            parse::duration(ANY_TIME),
        ),
        rpc: fields.or("rpc", true, parse::boolean),
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
