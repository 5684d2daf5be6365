//! Transactions: several statements, applied together or not at all.

use crate::postgres::PostgresTransaction;
use crate::sqlite::SqliteTransaction;
use crate::{DbError, Dialect, Result, Row, Value};

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Reads and writes; on `SQLite` it takes the write lock at once.
    Write,
    /// Reads one consistent state.
    Snapshot,
    /// Like `Write`, but its statements may take long.
    Migration,
}

/// A transaction: what the body of [`Database::transaction`](crate::Database::transaction) sees, or
/// [`Database::begin_within`](crate::Database::begin_within) gives.
///
/// After a statement failed, or was cancelled (its future dropped before it was done), the transaction can only be
/// rolled back, on both databases alike.
pub struct Transaction {
    driver: Driver,
    state: State,
}

pub(crate) enum Driver {
    Postgres(Box<PostgresTransaction>),
    Sqlite(SqliteTransaction),
}

#[derive(PartialEq, Eq)]
enum State {
    /// Every statement so far was answered well.
    Sound,
    /// A statement is under way; found at the start of another one, it says that the first was cancelled.
    Busy,
    Failed,
}

/// The statement of a batch that failed, and why. None of the batch was applied.
#[derive(Debug, Clone, thiserror::Error)]
#[error("row {index}: {error}")]
pub struct BatchError {
    /// Position among the rows, from 0.
    pub index: usize,
    /// Why.
    pub error: DbError,
}

impl From<BatchError> for DbError {
    fn from(batch: BatchError) -> Self {
        batch.error
    }
}

impl Transaction {
    pub(crate) fn new(driver: Driver) -> Self {
        Self {
            driver,
            state: State::Sound,
        }
    }

    /// Which database it runs on, for the few statements that have to differ.
    pub fn dialect(&self) -> Dialect {
        match self.driver {
            Driver::Postgres(_) => Dialect::Postgres,
            Driver::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// Runs a statement that returns rows. Parameters are `$1`, `$2`, ... on both databases.
    pub async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
        self.enter()?;
        let result = match &mut self.driver {
            Driver::Postgres(transaction) => transaction.query(sql, params).await,
            Driver::Sqlite(transaction) => transaction.query(sql, params).await,
        };
        self.leave(result)
    }

    /// Like [`Transaction::query`] for many rows: each is decoded as it comes and let go, so that only what `decode` makes
    /// of them is held. On `SQLite` it runs on the connection's thread.
    pub async fn query_map<T: Send + 'static>(
        &mut self,
        sql: &str,
        params: &[Value],
        decode: impl Fn(&Row) -> T + Send + 'static,
    ) -> Result<Vec<T>> {
        self.enter()?;
        let result = match &mut self.driver {
            Driver::Postgres(transaction) => transaction.query_map(sql, params, decode).await,
            Driver::Sqlite(transaction) => transaction.query_map(sql, params, decode).await,
        };
        self.leave(result)
    }

    /// Like [`Transaction::query`], the first row only.
    pub async fn query_opt(&mut self, sql: &str, params: &[Value]) -> Result<Option<Row>> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// Runs a statement and returns how many rows it changed.
    pub async fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64> {
        self.enter()?;
        let result = match &mut self.driver {
            Driver::Postgres(transaction) => transaction.execute(sql, params).await,
            Driver::Sqlite(transaction) => transaction.execute(sql, params).await,
        };
        self.leave(result)
    }

    /// Runs one statement for many rows of parameters, in order, at the cost of few round trips; returns how many rows
    /// each changed.
    ///
    /// # Errors
    /// [`BatchError`] says which row failed first.
    pub async fn execute_each(
        &mut self,
        sql: &str,
        rows: Vec<Vec<Value>>,
    ) -> Result<Vec<u64>, BatchError> {
        self.enter()
            .map_err(|error| BatchError { index: 0, error })?;
        let result = match &mut self.driver {
            Driver::Postgres(transaction) => transaction.execute_each(sql, &rows).await,
            Driver::Sqlite(transaction) => transaction.execute_each(sql, rows).await,
        };
        self.leave(result)
    }

    /// Tells everyone who [listens](crate::Database::listen) on this channel, if and when the transaction commits.
    ///
    /// The payload is for people who watch the channel; listeners are told only that something changed.
    pub async fn notify(&mut self, channel: &str, payload: &str) -> Result<()> {
        match &mut self.driver {
            Driver::Postgres(_) => self
                .query(
                    "SELECT pg_notify($1, $2)",
                    &crate::values![channel, payload],
                )
                .await
                .map(|_| ()),
            // Every commit is seen by every listener.
            Driver::Sqlite(_) => Ok(()),
        }
    }

    /// Several statements without parameters.
    pub(crate) async fn batch(&mut self, sql: &str) -> Result<()> {
        self.enter()?;
        let result = match &mut self.driver {
            Driver::Postgres(transaction) => transaction.batch(sql).await,
            Driver::Sqlite(transaction) => transaction.batch(sql).await,
        };
        self.leave(result)
    }

    fn enter(&mut self) -> Result<()> {
        match std::mem::replace(&mut self.state, State::Busy) {
            State::Sound => Ok(()),
            State::Busy | State::Failed => {
                self.state = State::Failed;
                Err(DbError::Aborted)
            }
        }
    }

    fn leave<T, E>(&mut self, result: Result<T, E>) -> Result<T, E> {
        self.state = if result.is_ok() {
            State::Sound
        } else {
            State::Failed
        };
        result
    }

    /// Applies all of it.
    ///
    /// # Errors
    /// [`DbError::Aborted`] if a statement failed or was cancelled; then it is rolled back.
    pub async fn commit(self) -> Result<()> {
        if self.state != State::Sound {
            self.rollback().await;
            return Err(DbError::Aborted);
        }
        match self.driver {
            Driver::Postgres(transaction) => transaction.commit().await,
            Driver::Sqlite(transaction) => transaction.commit().await,
        }
    }

    /// Applies nothing of it. Dropping it does the same at the cost of the connection.
    pub async fn rollback(self) {
        // Behind a cancelled statement a ROLLBACK would wait; dropping the transaction ends both.
        if self.state == State::Busy {
            return;
        }
        match self.driver {
            Driver::Postgres(transaction) => transaction.rollback().await,
            Driver::Sqlite(transaction) => transaction.rollback().await,
        }
    }
}
