//! What a check says.

use schemars::JsonSchema;
use serde::Serialize;

/// How one thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// As it should be.
    Healthy,
    /// It works, but someone should look.
    Degraded,
    /// It does not work.
    Unhealthy,
}

/// A condition with the reason for it. The reason is shown to whoever may read reports: no secrets, no addresses that are
/// not theirs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Healthy,
    /// It works, but someone should look.
    Degraded(String),
    /// It does not work.
    Unhealthy(String),
}

impl Verdict {
    /// It works, but someone should look.
    pub fn degraded(why: impl Into<String>) -> Self {
        Self::Degraded(why.into())
    }

    /// It does not work.
    pub fn unhealthy(why: impl Into<String>) -> Self {
        Self::Unhealthy(why.into())
    }

    /// The condition alone.
    pub fn condition(&self) -> Condition {
        match self {
            Self::Healthy => Condition::Healthy,
            Self::Degraded(_) => Condition::Degraded,
            Self::Unhealthy(_) => Condition::Unhealthy,
        }
    }

    /// The reason, where there is one.
    pub fn into_message(self) -> Option<String> {
        match self {
            Self::Healthy => None,
            Self::Degraded(why) | Self::Unhealthy(why) => Some(why),
        }
    }

    /// The worse of two; of equals the first.
    pub fn and(self, other: Self) -> Self {
        if other.condition() > self.condition() {
            other
        } else {
            self
        }
    }
}

/// An outcome of work: `Ok` is healthy, the error's text is why not.
impl<T, E: std::fmt::Display> From<Result<T, E>> for Verdict {
    fn from(outcome: Result<T, E>) -> Self {
        match outcome {
            Ok(_) => Self::Healthy,
            Err(error) => Self::Unhealthy(error.to_string()),
        }
    }
}

/// From which value on a measured quantity is degraded, and from which unhealthy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// At this value it is degraded.
    pub degraded: f64,
    /// At this value it is unhealthy.
    pub unhealthy: f64,
}

impl Thresholds {
    /// Judges a value; `what` and `unit` are for the reason: `memory is 812 MB (unhealthy from 800)`.
    ///
    /// A value that is no number is unhealthy: a measurement that failed proves nothing.
    pub fn judge(self, what: &str, value: f64, unit: &str) -> Verdict {
        if value >= self.unhealthy || value.is_nan() {
            Verdict::Unhealthy(format!(
                "{what} is {value:.0} {unit} (unhealthy from {:.0})",
                self.unhealthy
            ))
        } else if value >= self.degraded {
            Verdict::Degraded(format!(
                "{what} is {value:.0} {unit} (degraded from {:.0})",
                self.degraded
            ))
        } else {
            Verdict::Healthy
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: Thresholds = Thresholds {
        degraded: 500.0,
        unhealthy: 800.0,
    };

    #[test]
    fn thresholds_belong_to_the_worse_side() {
        let condition = |value| MEMORY.judge("memory", value, "MB").condition();
        assert_eq!(condition(499.9), Condition::Healthy);
        assert_eq!(condition(500.0), Condition::Degraded);
        assert_eq!(condition(800.0), Condition::Unhealthy);
        assert_eq!(condition(f64::NAN), Condition::Unhealthy);
        let why = MEMORY.judge("memory", 812.0, "MB").into_message();
        assert_eq!(
            why.as_deref(),
            Some("memory is 812 MB (unhealthy from 800)")
        );
    }

    #[test]
    fn the_worse_verdict_stands() {
        let worse = Verdict::Healthy
            .and(Verdict::degraded("a"))
            .and(Verdict::degraded("b"));
        assert_eq!(worse, Verdict::degraded("a"));
        assert_eq!(worse.and(Verdict::unhealthy("c")), Verdict::unhealthy("c"));
    }
}
