//! What can go wrong, sorted by what the caller can do about it.

use std::time::Duration;

/// Result of everything here.
pub type Result<T, E = DbError> = std::result::Result<T, E>;

/// Why a database operation failed.
///
/// Messages never hold a password: databases are named by their redacted URL.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DbError {
    /// The URL cannot be used. Nothing was tried.
    #[error("the database URL {url} cannot be used: {reason}")]
    InvalidUrl {
        /// The URL without its password.
        url: String,
        /// What is wrong with it and what to write instead.
        reason: String,
    },
    /// The database cannot be reached, refused the connection or went away. Nothing was committed; try again later.
    #[error("the database {database} is unavailable: {reason}")]
    Unavailable {
        /// The URL without its password.
        database: String,
        /// What the driver or the system said.
        reason: String,
    },
    /// The server answers and does not let this role, with this password, into this database. Waiting does not help.
    #[error("the database {database} does not let this program in: {reason}")]
    Refused {
        /// The URL without its password.
        database: String,
        /// What the server said.
        reason: String,
    },
    /// The disk that the database's file is on takes nothing more, or fails. Nothing was committed; try again when it is mended.
    #[error(
        "the disk of the database {database} is full or fails: {reason}; free space on it, or repair it"
    )]
    Disk {
        /// The URL, with the file.
        database: String,
        /// What the driver said.
        reason: String,
    },
    /// The database's file is not what it was written as. Nothing was committed, and waiting does not help.
    #[error(
        "the database {database} is damaged or none at all: {reason}; put a backup in its place, or move it and the files beside it \
         (-wal, -shm) away to begin with an empty one"
    )]
    Damaged {
        /// The URL, with the file.
        database: String,
        /// What the driver said.
        reason: String,
    },
    /// It took too long. Nothing was committed.
    #[error("{what} took longer than {after:?}")]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// The limit that was reached.
        after: Duration,
    },
    /// The connection broke between `COMMIT` and its answer: whether the transaction was applied is unknown.
    #[error(
        "the connection to the database {database} broke during COMMIT; read again to see whether it was applied"
    )]
    OutcomeUnknown {
        /// The URL without its password.
        database: String,
    },
    /// The server does not know a statement that this program has prepared, or knows another under its name. Nothing was
    /// committed.
    #[error(
        "the database {database} lost a prepared statement: {reason}; if the URL leads to a pooler in transaction mode that does not \
         keep them (PgBouncer before 1.21), set `prepared_statements` to false"
    )]
    StatementLost {
        /// The URL without its password.
        database: String,
        /// What the server said.
        reason: String,
    },
    /// A constraint of the schema refused the data.
    #[error("{kind} constraint `{constraint}` refused the data")]
    Conflict {
        /// Which sort of constraint.
        kind: Constraint,
        /// Its name on Postgres; on `SQLite` the columns (`table.column, ...`), the index, or nothing for foreign keys.
        constraint: String,
    },
    /// Another transaction was in the way (deadlock, serialization failure, a change of the schema); run the whole transaction again.
    #[error("another transaction was in the way; repeat the whole transaction ({0})")]
    Contention(String),
    /// A statement of the transaction had failed or was cancelled, so the transaction was rolled back.
    #[error(
        "the transaction was rolled back because one of its statements failed or was cancelled"
    )]
    Aborted,
    /// The statement or a value is wrong: a bug in the caller or a schema that does not fit.
    #[error("the statement is invalid: {0}")]
    Invalid(String),
    /// A column does not hold what was asked of it.
    #[error("column `{column}`: {reason}")]
    Column {
        /// The column's name.
        column: String,
        /// What was expected and what was found.
        reason: String,
    },
    /// The schema and the program's migrations do not agree.
    #[error(transparent)]
    Migration(#[from] MigrationError),
}

/// The sorts of constraint that [`DbError::Conflict`] tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Constraint {
    /// Primary key, unique constraint or unique index.
    Unique,
    /// The row that is referred to does not exist, or is still referred to.
    ForeignKey,
    /// A column that may not be empty.
    NotNull,
    /// A check, exclusion or type constraint.
    Check,
}

impl std::fmt::Display for Constraint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unique => "unique",
            Self::ForeignKey => "foreign key",
            Self::NotNull => "not-null",
            Self::Check => "check",
        })
    }
}

/// Why the schema was not brought up to date, or is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MigrationError {
    /// The SQL of an applied migration is no longer what was applied.
    #[error(
        "migration `{name}` of `{component}` was changed after it had been applied (applied {applied}, now {current}); \
         restore its text and put the change into a new migration"
    )]
    Changed {
        /// Whose migration.
        component: String,
        /// Which one.
        name: String,
        /// Checksum in the database.
        applied: String,
        /// Checksum of the text in this program.
        current: String,
    },
    /// The database is newer than this program.
    #[error(
        "the database has migration `{name}` of `{component}`, which this program does not know; run a newer version"
    )]
    Unknown {
        /// Whose migration.
        component: String,
        /// Which one.
        name: String,
    },
    /// A migration is missing although a later one was applied.
    #[error(
        "migration `{name}` of `{component}` is missing although a later one was applied; append new migrations at the end"
    )]
    OutOfOrder {
        /// Whose migration.
        component: String,
        /// Which one.
        name: String,
    },
    /// Migrations are to be applied first.
    #[error(
        "{count} migrations of `{component}` are pending, first `{first}`; run the migrate command"
    )]
    Pending {
        /// Whose migrations.
        component: String,
        /// How many.
        count: usize,
        /// The first of them.
        first: String,
    },
    /// A migration's SQL failed; it was rolled back.
    #[error("migration `{name}` of `{component}` failed and was rolled back: {reason}")]
    Failed {
        /// Whose migration.
        component: String,
        /// Which one.
        name: String,
        /// What the database said.
        reason: String,
    },
}

impl DbError {
    /// Whether the same call may succeed later without anything being changed.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. }
                | Self::Disk { .. }
                | Self::Timeout { .. }
                | Self::Contention(_)
        )
    }

    /// Whether a constraint of this kind refused the data.
    pub fn is_conflict(&self, kind: Constraint) -> bool {
        matches!(self, Self::Conflict { kind: found, .. } if *found == kind)
    }
}
