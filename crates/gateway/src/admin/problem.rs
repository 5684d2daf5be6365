//! Errors of the Admin API: problem details (RFC 9457) with stable codes. Those that any service answers with, as
//! `method_not_allowed`, `bastide_rpc` has; every other is listed here.

use std::borrow::Cow;
use std::time::Duration;

use bastide_config::Problems;
use bastide_config::document::Document;
use bastide_rpc::{FieldError, Position, Problem};

use crate::repository::CommitError;

/// What went wrong. The names and statuses are stable: programs may compare them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    AdminKeyMissing,
    AdminKeyInvalid,
    MalformedBody,
    InvalidParameter,
    ValidationFailed,
    NotFound,
    NameTaken,
    ApiKeyTaken,
    RouteExists,
    ManagedByFile,
    KeyRevoked,
    KeyRotated,
    EditConflict,
    PreconditionFailed,
    BodyTooLarge,
    UnsupportedMediaType,
    DatabaseUnavailable,
    DatabaseUnusable,
    DatabaseDisk,
    StoreUnavailable,
    Internal,
}

impl Code {
    const fn parts(self) -> (u16, &'static str) {
        match self {
            Self::AdminKeyMissing => (401, "admin_key_missing"),
            Self::AdminKeyInvalid => (401, "admin_key_invalid"),
            Self::MalformedBody => (400, "malformed_body"),
            Self::InvalidParameter => (400, "invalid_parameter"),
            Self::ValidationFailed => (400, "validation_failed"),
            Self::NotFound => (404, "not_found"),
            Self::NameTaken => (409, "name_taken"),
            Self::ApiKeyTaken => (409, "api_key_taken"),
            Self::RouteExists => (409, "route_exists"),
            Self::ManagedByFile => (409, "managed_by_file"),
            Self::KeyRevoked => (409, "key_revoked"),
            Self::KeyRotated => (409, "key_rotated"),
            Self::EditConflict => (409, "edit_conflict"),
            Self::PreconditionFailed => (412, "precondition_failed"),
            Self::BodyTooLarge => (413, "body_too_large"),
            Self::UnsupportedMediaType => (415, "unsupported_media_type"),
            Self::DatabaseUnavailable => (503, "database_unavailable"),
            Self::DatabaseUnusable => (503, "database_unusable"),
            Self::DatabaseDisk => (503, "database_disk"),
            Self::Internal => (500, "internal_error"),
            Self::StoreUnavailable => (503, "store_unavailable"),
        }
    }

    /// `detail` says what happened and what to do; it never holds anything secret.
    pub(super) fn problem(self, detail: impl Into<Cow<'static, str>>) -> Problem {
        let (status, code) = self.parts();
        Problem::new(status, code, detail)
    }

    /// The same about one member of the request.
    pub(super) fn at(self, field: &str, message: impl Into<String>) -> Problem {
        let message = message.into();
        self.problem(format!("{field}: {message}"))
            .with_errors(vec![FieldError::new(field, message)])
    }

    /// Whether this is the problem's.
    fn is_of(self, problem: &Problem) -> bool {
        self.parts().1 == problem.code()
    }
}

/// Whether a problem says that something is not as this node knew it.
pub(super) fn may_be_outdated(problem: &Problem) -> bool {
    Code::EditConflict.is_of(problem) || Code::PreconditionFailed.is_of(problem)
}

/// The mistakes of a body.
pub(super) fn validation(problems: &Problems) -> Problem {
    located(problems, |_| None)
}

/// The mistakes of a document, each with its line and column.
pub(super) fn document(document: &Document, problems: &Problems) -> Problem {
    located(problems, |path| {
        let at = document.locate(path);
        Some(Position {
            line: at.line,
            column: at.column,
        })
    })
}

fn located(
    problems: &Problems,
    locate: impl Fn(&bastide_config::Path) -> Option<Position>,
) -> Problem {
    let errors: Vec<FieldError> = problems
        .iter()
        .map(|problem| {
            let error = FieldError::new(problem.field(), problem.text());
            match locate(&problem.path) {
                Some(position) => error.at(position),
                None => error,
            }
        })
        .collect();
    let detail = match problems.len() {
        1 => "one member of the request is wrong; `errors` names it".to_owned(),
        count if problems.unlisted() > 0 => {
            format!(
                "{count} members of the request are wrong; `errors` names the first {}",
                errors.len()
            )
        }
        count => format!("{count} members of the request are wrong; `errors` names them"),
    };
    Code::ValidationFailed.problem(detail).with_errors(errors)
}

/// After how long a database that is away is worth asking again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

impl From<CommitError> for Problem {
    fn from(error: CommitError) -> Self {
        let detail = error.to_string();
        match error {
            CommitError::VersionMismatch(..) => Code::EditConflict.problem(detail),
            CommitError::NotFound(..) => Code::NotFound.problem(detail),
            CommitError::NameTaken(_) => Code::NameTaken.at("name", detail),
            CommitError::KeyTaken => Code::ApiKeyTaken.at("apiKey", detail),
            CommitError::Unusable(_) | CommitError::Damaged(_) => {
                tracing::error!(error = %detail, "a change could not be written");
                Code::DatabaseUnusable.problem("the database cannot be used until somebody has repaired it; nothing was changed, the gateway's log says \
                     what is wrong",
                )
            }
            CommitError::Disk(_) => {
                tracing::error!(error = %detail, "a change could not be written");
                Code::DatabaseDisk.problem("the disk that the database is on is full or fails; nothing was changed, free space on it and try again",
                )
            }
            CommitError::Unavailable(_) | CommitError::Refused(_) => {
                // The database's own words may hold addresses and names that are no client's business.
                tracing::error!(error = %detail, "a change could not be written");
                Code::DatabaseUnavailable
                    .problem("the database cannot be reached; nothing was changed, try again")
                    .retry_after(RETRY_AFTER)
            }
        }
    }
}
