//! How many connections, and how long to wait for what.

use std::fmt;
use std::time::Duration;

use crate::url::redact;

/// Settings of a [`Database`](crate::Database). Every wait is bounded.
#[derive(Clone)]
pub struct Options {
    /// Connections to Postgres, or readers of an `SQLite` file (which has one writer besides). Default 8.
    pub max_connections: usize,
    /// Connections to Postgres that are kept open while nobody needs them, by whoever runs [`Database::tend`]. Default 0.
    ///
    /// [`Database::tend`]: crate::Database::tend
    pub min_connections: usize,
    /// To reach the server and log in. Default 3 s.
    pub connect_timeout: Duration,
    /// To get a connection out of the pool, a new one included; on `SQLite` also for the lock that other processes hold.
    /// Default 5 s.
    pub acquire_timeout: Duration,
    /// For one statement, `COMMIT` included. Default 10 s.
    pub statement_timeout: Duration,
    /// For one migration, which may rewrite a large table. Default 15 min.
    pub migration_timeout: Duration,
    /// How long a transaction may do nothing before Postgres ends it, so that a frozen process holds no lock for ever.
    /// Default 30 s.
    pub idle_transaction_timeout: Duration,
    /// An idle connection older than this is replaced instead of trusted, and closed by [`Database::tend`]. Default 5 min.
    ///
    /// [`Database::tend`]: crate::Database::tend
    pub idle_timeout: Duration,
    /// How [`Changes`](crate::Changes) looks for itself, besides being told: the longest delay of a change when
    /// notifications get lost (on Postgres behind `PgBouncer` without `direct_url`). Default 500 ms; on `SQLite` 250 ms.
    pub poll_interval: Option<Duration>,
    /// Where `LISTEN` connects, when the URL leads to a `PgBouncer` in transaction mode. Default: the same URL.
    pub direct_url: Option<String>,
    /// Whether a connection to Postgres prepares the statements that it is asked for again, up to 256 of them, so that the
    /// server plans them once. Default `None`: where the connection is direct, which each finds out when it is made, by one
    /// round trip; behind a pooler it does not. A pooler that gives each transaction another connection must know prepared
    /// statements (`PgBouncer` since 1.21 with `max_prepared_statements`) before `Some(true)` is right: with one that does not,
    /// statements fail with [`DbError::StatementLost`](crate::DbError::StatementLost), or another program's run in their place.
    pub prepared_statements: Option<bool>,
    /// What `pg_stat_activity` shows. Default `bastide`; the URL's `application_name` wins.
    pub application_name: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_connections: 8,
            min_connections: 0,
            connect_timeout: Duration::from_secs(3),
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(10),
            migration_timeout: Duration::from_mins(15),
            idle_transaction_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_mins(5),
            poll_interval: None,
            direct_url: None,
            prepared_statements: None,
            application_name: "bastide".to_owned(),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("max_connections", &self.max_connections)
            .field("min_connections", &self.min_connections)
            .field("connect_timeout", &self.connect_timeout)
            .field("acquire_timeout", &self.acquire_timeout)
            .field("statement_timeout", &self.statement_timeout)
            .field("migration_timeout", &self.migration_timeout)
            .field("idle_transaction_timeout", &self.idle_transaction_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("poll_interval", &self.poll_interval)
            // Derived, it would show the password.
            .field("direct_url", &self.direct_url.as_deref().map(redact))
            .field("prepared_statements", &self.prepared_statements)
            .field("application_name", &self.application_name)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_direct_url_is_shown_without_its_password() {
        let options = Options {
            direct_url: Some("postgres://u:s3cret@h/d".to_owned()),
            ..Options::default()
        };
        let shown = format!("{options:?}");
        assert!(
            shown.contains("u:***@h") && !shown.contains("s3cret"),
            "{shown}"
        );
    }
}
