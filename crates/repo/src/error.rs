//! What can go wrong, sorted by what the caller can do about it.

use bastide_context::DeadlinePassed;
use bastide_db::{Constraint, DbError};

use crate::Table;

/// Result of everything here.
pub type Result<T, E = RepoError> = std::result::Result<T, E>;

/// Why a repository did not do it. [`RepoError::code`] is stable.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RepoError {
    /// There is no such row, or none that this tenant may see.
    #[error("there is no such {table}")]
    NotFound {
        /// The table.
        table: &'static str,
    },
    /// Another row holds the same, where no two may.
    #[error("another {table} has the same `{field}`")]
    Conflict {
        /// The table.
        table: &'static str,
        /// Which field it is; empty if the database does not say.
        field: String,
    },
    /// What is referred to does not exist, or what was to go is referred to.
    #[error(
        "a reference of {table} {} leads to nothing, or something still refers to this",
        quoted(field)
    )]
    Reference {
        /// The table.
        table: &'static str,
        /// Which field it is; `SQLite` does not say.
        field: String,
    },
    /// Somebody else has changed the row since it was read. Read it again.
    #[error("this {table} was changed by somebody else since it was read; read it again")]
    Stale {
        /// The table.
        table: &'static str,
    },
    /// What was asked for cannot be done.
    #[error("{0}")]
    Invalid(String),
    /// The database cannot be reached, is too slow, has no room on its disk, or another transaction was in the way. Try again later.
    #[error("{0}")]
    Unavailable(DbError),
    /// The program or its schema is wrong, or the database is out of order. The text is for the log.
    #[error("{0}")]
    Failed(DbError),
    /// The answer is no longer wanted. A write may have been applied.
    #[error("the deadline of this call has passed")]
    DeadlinePassed,
}

fn quoted(field: &str) -> String {
    if field.is_empty() {
        String::new()
    } else {
        format!("(`{field}`)")
    }
}

impl RepoError {
    /// The code under which programs know it: `not_found`, `conflict`, `reference`, `stale_version`, `invalid`, `unavailable`,
    /// `internal`, `deadline_passed`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not_found",
            Self::Conflict { .. } => "conflict",
            Self::Reference { .. } => "reference",
            Self::Stale { .. } => "stale_version",
            Self::Invalid(_) => "invalid",
            Self::Unavailable(_) => "unavailable",
            Self::Failed(_) => "internal",
            Self::DeadlinePassed => "deadline_passed",
        }
    }

    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid(reason.into())
    }

    /// The same, where the constraint of the database has the name of a field of this table.
    pub(crate) fn of(error: DbError, table: &'static Table) -> Self {
        let DbError::Conflict { kind, constraint } = &error else {
            return error.into();
        };
        let field = field_of(constraint, table);
        let table = table.name;
        match kind {
            Constraint::Unique => Self::Conflict { table, field },
            Constraint::ForeignKey => Self::Reference { table, field },
            Constraint::NotNull | Constraint::Check => Self::Invalid(error.to_string()),
        }
    }
}

/// `users_email_key`, `users_team_id_fkey` and `users_pkey` of Postgres, `users.tenant_id, users.email` of `SQLite`.
fn field_of(constraint: &str, table: &Table) -> String {
    if let Some((_, column)) = constraint.rsplit_once('.') {
        return column.to_owned();
    }
    let Some(rest) = constraint
        .strip_prefix(table.name)
        .and_then(|rest| rest.strip_prefix('_'))
    else {
        return String::new();
    };
    if rest == "pkey" {
        return table.id.to_owned();
    }
    let stem = rest.strip_suffix("_fkey").or(rest.strip_suffix("_key"));
    stem.unwrap_or_default().to_owned()
}

impl From<DbError> for RepoError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Conflict {
                kind: Constraint::Unique,
                constraint,
            } => Self::Conflict {
                table: "row",
                field: constraint,
            },
            DbError::Conflict {
                kind: Constraint::ForeignKey,
                constraint,
            } => Self::Reference {
                table: "row",
                field: constraint,
            },
            DbError::Unavailable { .. }
            | DbError::Timeout { .. }
            | DbError::OutcomeUnknown { .. }
            | DbError::Disk { .. }
            | DbError::Contention(_) => Self::Unavailable(error),
            DbError::Conflict {
                kind: Constraint::NotNull | Constraint::Check,
                ..
            } => Self::Invalid(error.to_string()),
            other => Self::Failed(other),
        }
    }
}

impl From<DeadlinePassed> for RepoError {
    fn from(_: DeadlinePassed) -> Self {
        Self::DeadlinePassed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_without_room_is_a_database_that_is_away_for_now() {
        let full = DbError::Disk {
            database: "sqlite:test.db".to_owned(),
            reason: "database or disk is full".to_owned(),
        };
        assert_eq!(RepoError::from(full).code(), "unavailable");
    }
}
