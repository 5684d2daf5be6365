//! A transaction on a lane.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::watch;

use super::lane::Checkout;
use super::{Sqlite, convert};
use crate::transaction::{BatchError, Mode};
use crate::{DbError, Local, Result, Row, Value};

pub(crate) struct SqliteTransaction {
    checkout: Checkout,
    name: Arc<str>,
    limit: Duration,
    /// Told of the commit; `None` when it only reads.
    commits: Option<watch::Sender<u64>>,
}

impl Sqlite {
    pub(crate) async fn begin(&self, mode: Mode, local: &Local) -> Result<SqliteTransaction> {
        let acquire = self.options.acquire_timeout;
        let (lanes, begin, limit) = match mode {
            // The write lock at once: a transaction that took it later could find its snapshot outdated and fail.
            Mode::Write => (
                &self.writer,
                "BEGIN IMMEDIATE",
                self.options.statement_timeout,
            ),
            Mode::Migration => (
                &self.writer,
                "BEGIN IMMEDIATE",
                self.options.migration_timeout,
            ),
            Mode::Snapshot => (
                &self.readers,
                "BEGIN DEFERRED",
                self.options.statement_timeout,
            ),
        };
        let limit = local.limit(limit);
        let checkout = lanes.checkout(acquire).await?;
        let name = Arc::clone(&self.name);
        let job = move |session: &mut super::lane::Session| {
            convert::ours(
                session.connection(limit)?.execute_batch(begin),
                &name,
                acquire,
            )
        };
        checkout.lane().run(job).await?;
        let commits = (mode != Mode::Snapshot).then(|| self.commits.clone());
        Ok(SqliteTransaction {
            checkout,
            name: Arc::clone(&self.name),
            limit,
            commits,
        })
    }
}

impl SqliteTransaction {
    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (name, limit) = (Arc::clone(&self.name), self.limit);
        let job = move |session: &mut super::lane::Session| {
            let connection = session.connection(limit)?;
            // SQLite itself rolls back on some failures (disk full, interrupt); on its own the statement would then be
            // committed at once.
            if connection.is_autocommit() {
                return Err(DbError::Aborted);
            }
            convert::ours(job(connection), &name, limit)
        };
        self.checkout.lane().run(job).await
    }

    pub(crate) async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
        let (sql, params) = (sql.to_owned(), params.to_vec());
        self.run(move |connection| convert::query(connection, &sql, &params))
            .await
    }

    pub(crate) async fn query_map<T: Send + 'static>(
        &mut self,
        sql: &str,
        params: &[Value],
        decode: impl Fn(&Row) -> T + Send + 'static,
    ) -> Result<Vec<T>> {
        let (sql, params) = (sql.to_owned(), params.to_vec());
        self.run(move |connection| convert::query_map(connection, &sql, &params, decode))
            .await
    }

    pub(crate) async fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64> {
        let (sql, params) = (sql.to_owned(), params.to_vec());
        self.run(move |connection| convert::execute(connection, &sql, &params))
            .await
    }

    pub(crate) async fn execute_each(
        &mut self,
        sql: &str,
        rows: Vec<Vec<Value>>,
    ) -> Result<Vec<u64>, BatchError> {
        let (sql, name, limit) = (sql.to_owned(), Arc::clone(&self.name), self.limit);
        let job = move |connection: &Connection| {
            let mut counts = Vec::with_capacity(rows.len());
            for (index, row) in rows.iter().enumerate() {
                match convert::execute(connection, &sql, row) {
                    Ok(changed) => counts.push(changed),
                    Err(error) => {
                        return Ok(Err(BatchError {
                            index,
                            error: convert::error(&error, &name, limit),
                        }));
                    }
                }
            }
            Ok(Ok(counts))
        };
        self.run(job)
            .await
            .unwrap_or_else(|error| Err(BatchError { index: 0, error }))
    }

    pub(crate) async fn batch(&mut self, sql: &str) -> Result<()> {
        let sql = sql.to_owned();
        self.run(move |connection| connection.execute_batch(&sql))
            .await
    }

    pub(crate) async fn commit(self) -> Result<()> {
        self.run(|connection| connection.execute_batch("COMMIT"))
            .await?;
        if let Some(commits) = &self.commits {
            commits.send_modify(|count| *count += 1);
        }
        Ok(())
    }

    /// Returning the lane rolls back; waiting until that is done makes the file free for others when this returns.
    pub(crate) async fn rollback(self) {
        let reset = |session: &mut super::lane::Session| {
            session.reset();
            Ok(())
        };
        // A lane that has stopped has no transaction either.
        let _ = self.checkout.lane().run(reset).await;
    }
}
