//! Why a call brought no output.

use std::time::Duration;

use serde::Deserialize;

/// A call that brought no output.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The service answered with a problem.
    #[error(transparent)]
    Problem(Box<Problem>),
    /// No connection was made: nothing was sent.
    #[error("{address} cannot be reached: {reason}")]
    Unreachable {
        /// Where.
        address: String,
        /// What the system says.
        reason: String,
    },
    /// The connection ended before the answer did.
    #[error("the connection to {address} broke off ({reason}); the call may have been carried out")]
    BrokenOff {
        /// Where.
        address: String,
        /// What the system says.
        reason: String,
    },
    /// The answer was not ready in time, by this side's clock or the service's.
    #[error("the answer was not ready in time; the call may have been carried out")]
    TimedOut,
    /// The answer is not what was agreed on. The call was carried out if the status is 200.
    #[error("the answer (status {status}) is not what was agreed on: {reason}")]
    Malformed {
        /// The HTTP status.
        status: u16,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing was sent, because it could not be: the input has no JSON form, or the method's name no place in a path.
    #[error("the call cannot be sent: {reason}")]
    Unsendable {
        /// Why.
        reason: String,
    },
    /// The source of tokens gave none.
    #[error("there is no token to call with: {reason}")]
    NoToken {
        /// What the source says.
        reason: String,
    },
}

/// A problem that a service answered with (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code} ({status}): {detail}")]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The stable code: programs may compare it.
    pub code: String,
    /// For people: what to do.
    pub detail: String,
    /// What is wrong with the input, member by member.
    pub errors: Vec<FieldError>,
    /// Under which the call stands in the service's log.
    pub request_id: Option<String>,
    /// When it is worth trying again.
    pub retry_after: Option<Duration>,
}

/// One wrong member of an input.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FieldError {
    /// Where: `address.lines[2]`; empty for the whole.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

#[derive(Deserialize)]
struct Document {
    code: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    errors: Vec<FieldError>,
    #[serde(default, rename = "requestId")]
    request_id: Option<String>,
}

impl CallError {
    /// The stable code: the problem's own, or one for each other way to fail (`unreachable`, `broken_off`, `timed_out`,
    /// `malformed_answer`, `unsendable`, `no_token`).
    pub fn code(&self) -> &str {
        match self {
            Self::Problem(problem) => &problem.code,
            Self::Unreachable { .. } => "unreachable",
            Self::BrokenOff { .. } => "broken_off",
            Self::TimedOut => "timed_out",
            Self::Malformed { .. } => "malformed_answer",
            Self::Unsendable { .. } => "unsendable",
            Self::NoToken { .. } => "no_token",
        }
    }

    /// The problem, if the service answered with one.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            _ => None,
        }
    }

    /// What this problem document says.
    pub(crate) fn read(status: u16, retry_after: Option<Duration>, document: &[u8]) -> Self {
        let document: Document = match serde_json::from_slice(document) {
            Ok(document) => document,
            Err(error) => {
                return Self::Malformed {
                    status,
                    reason: format!("it is no problem document: {error}"),
                };
            }
        };
        // Whose clock was the first to say so is chance; a caller need not look for both.
        if status == 504 && document.code == "deadline_passed" {
            return Self::TimedOut;
        }
        Self::Problem(Box::new(Problem {
            status,
            code: document.code,
            detail: document.detail,
            errors: document.errors,
            request_id: document.request_id,
            retry_after,
        }))
    }

    pub(crate) fn malformed(status: u16, reason: &dyn std::fmt::Display) -> Self {
        Self::Malformed {
            status,
            reason: reason.to_string(),
        }
    }
}
