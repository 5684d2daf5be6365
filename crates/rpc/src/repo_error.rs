//! What callers are told of a repository's errors. It stands here because a repository knows nothing of calls.

use std::time::Duration;

use bastide_context::DeadlinePassed;
use bastide_repo::RepoError;

use crate::problem::{ApiError, Declared, Problem};

/// After how long a database that was away is worth asking again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Under [`RepoError::code`]: `not_found` 404, `conflict`, `reference` and `stale_version` 409, `invalid` 400, `unavailable` 503,
/// `deadline_passed` 504, and `internal` 500 for what is wrong in the program or its schema. Texts of the database stay in the
/// log.
impl ApiError for RepoError {
    const DECLARED: &'static [Declared] = &[
        of(404, "not_found"),
        of(409, "conflict"),
        of(409, "reference"),
        of(409, "stale_version"),
        of(400, "invalid"),
        of(503, "unavailable"),
        of(504, "deadline_passed"),
        of(500, "internal"),
    ];

    fn into_problem(self) -> Problem {
        let (code, text) = (self.code(), self.to_string());
        match self {
            Self::NotFound { .. } => Problem::new(404, code, text),
            Self::Conflict { .. } | Self::Reference { .. } | Self::Stale { .. } => {
                Problem::new(409, code, text)
            }
            Self::Invalid(_) => Problem::new(400, code, text),
            Self::Unavailable(error) => {
                tracing::warn!(%error, "the database did not do it");
                let detail = "the database cannot be reached or is too slow; try again later";
                Problem::new(503, code, detail).retry_after(RETRY_AFTER)
            }
            Self::DeadlinePassed => DeadlinePassed.into(),
            error => {
                tracing::error!(%error, "a repository failed");
                Problem::internal()
            }
        }
    }
}

const fn of(status: u16, code: &'static str) -> Declared {
    Declared { status, code }
}
