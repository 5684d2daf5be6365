//! The sum of all checks.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::verdict::{Condition, Verdict};

/// Whether the process should be sent work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It should.
    Ready,
    /// It should, but something is not as it should be.
    Degraded,
    /// It should not.
    Unready,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// How the thing is.
    pub status: Condition,
    /// Why it is not healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How long the check took, in milliseconds.
    pub latency_ms: f64,
    /// Whether the process can work without it.
    pub required: bool,
}

impl Check {
    pub(crate) fn new(verdict: Verdict, latency: std::time::Duration, required: bool) -> Self {
        Self {
            status: verdict.condition(),
            message: verdict.into_message(),
            latency_ms: (latency.as_secs_f64() * 1e5).round() / 1e2,
            required,
        }
    }
}

/// The answer to "are you ready?". Serialized in camel case.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The sum.
    pub status: Status,
    /// When it was made.
    pub timestamp: Timestamp,
    /// The version of the process.
    pub version: String,
    /// Whether the process is about to stop.
    pub draining: bool,
    /// The checks by name. None while draining.
    pub checks: BTreeMap<String, Check>,
}

impl Report {
    pub(crate) fn of(
        version: String,
        timestamp: Timestamp,
        draining: bool,
        checks: Vec<(String, Check)>,
    ) -> Self {
        let status = if draining {
            Status::Unready
        } else {
            sum(checks.iter().map(|(_, check)| check))
        };
        Self {
            status,
            timestamp,
            version,
            draining,
            checks: checks.into_iter().collect(),
        }
    }

    /// Whether the process should be sent work: HTTP 200 if so, else 503.
    pub fn is_ready(&self) -> bool {
        self.status != Status::Unready
    }
}

fn sum<'c>(checks: impl Iterator<Item = &'c Check>) -> Status {
    let mut status = Status::Ready;
    for check in checks {
        match (check.status, check.required) {
            (Condition::Healthy, _) => {}
            (Condition::Unhealthy, true) => return Status::Unready,
            (Condition::Degraded, _) | (Condition::Unhealthy, false) => status = Status::Degraded,
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn check(verdict: Verdict, required: bool) -> Check {
        Check::new(verdict, Duration::from_micros(1234), required)
    }

    #[test]
    fn only_a_required_check_makes_unready() {
        let bad = || Verdict::unhealthy("x");
        let sum_of = |checks: &[Check]| sum(checks.iter());
        assert_eq!(sum_of(&[]), Status::Ready);
        assert_eq!(sum_of(&[check(Verdict::Healthy, true)]), Status::Ready);
        assert_eq!(sum_of(&[check(bad(), false)]), Status::Degraded);
        assert_eq!(
            sum_of(&[check(Verdict::degraded("x"), true)]),
            Status::Degraded
        );
        assert_eq!(
            sum_of(&[check(bad(), false), check(bad(), true)]),
            Status::Unready
        );
    }

    #[test]
    fn serializes_as_operators_read_it() {
        let checks = vec![
            ("database".to_owned(), check(Verdict::Healthy, true)),
            (
                "redis".to_owned(),
                check(Verdict::unhealthy("connection refused"), false),
            ),
        ];
        let report = Report::of("1.0.0".to_owned(), Timestamp::UNIX_EPOCH, false, checks);
        let expected = serde_json::json!({
            "status": "degraded",
            "timestamp": "1970-01-01T00:00:00Z",
            "version": "1.0.0",
            "draining": false,
            "checks": {
                "database": {"status": "healthy", "latencyMs": 1.23, "required": true},
                "redis": {"status": "unhealthy", "message": "connection refused", "latencyMs": 1.23, "required": false},
            },
        });
        assert_eq!(serde_json::to_value(&report).unwrap(), expected);
    }
}
