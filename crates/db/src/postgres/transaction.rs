//! A transaction on a pooled connection.

use std::future::{Future as _, poll_fn, ready};
use std::task::Poll;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use futures_util::future::join;

use super::checkout::{Answer, Checkout, answer};
use super::{Postgres, convert};
use crate::transaction::{BatchError, Mode};
use crate::{DbError, Local, Result, Row, Value};

/// How many statements of a batch are on their way at once: enough to hide the round trip, little enough to buffer.
const PIPELINE: usize = 128;

pub(crate) struct PostgresTransaction {
    checkout: Checkout,
    name: String,
    limit: Duration,
    /// A statement was not answered: what the connection does now is unknown.
    is_lost: bool,
}

impl Postgres {
    pub(crate) async fn begin(&self, mode: Mode, local: &Local) -> Result<PostgresTransaction> {
        let limit = local.limit(match mode {
            Mode::Migration => self.options.migration_timeout,
            Mode::Write | Mode::Snapshot => self.options.statement_timeout,
        });
        let mut checkout = self.checkout().await?;
        checkout.mark_dirty();
        let mut transaction = PostgresTransaction {
            checkout,
            name: self.name.clone(),
            limit,
            is_lost: false,
        };
        let kind = match mode {
            Mode::Snapshot => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Mode::Write | Mode::Migration => "BEGIN ISOLATION LEVEL READ COMMITTED",
        };
        // `LOCAL` ends with the transaction, so it is safe behind a pooler. The server holds the limits too: should this
        // process freeze, its locks go.
        let begin = format!(
            "{kind}; SET LOCAL idle_in_transaction_session_timeout = {}",
            self.options.idle_transaction_timeout.as_millis(),
        );
        transaction.start(&begin, local).await?;
        Ok(transaction)
    }
}

impl PostgresTransaction {
    /// In one round trip.
    async fn start(&mut self, begin: &str, local: &Local) -> Result<()> {
        let (settings, values) = local.set_config(self.limit);
        let (name, limit) = (&self.name, self.limit);
        let (client, connection) = (self.checkout.client(), self.checkout.connection());
        let ready = answer(name, limit, connection.ready(&settings, &values)).await;
        let settings = ready.into_result()?;
        let (begin, settings) = join(
            answer(name, limit, client.batch_execute(begin)),
            answer(name, limit, settings.run(client)),
        )
        .await;
        self.settle(begin)?;
        self.settle(settings).map(drop)
    }

    fn settle<T>(&mut self, answer: Answer<T>) -> Result<T> {
        self.is_lost |= answer.is_lost();
        answer.into_result()
    }

    pub(crate) async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
        convert::rows(&self.run(sql, params).await?.0)
    }

    pub(crate) async fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64> {
        Ok(self.run(sql, params).await?.1)
    }

    /// The rows, and how many were changed.
    async fn run(
        &mut self,
        sql: &str,
        params: &[Value],
    ) -> Result<(Vec<tokio_postgres::Row>, u64)> {
        let answer = answer(&self.name, self.limit, self.checkout.run(sql, params)).await;
        self.settle(answer)
    }

    pub(crate) async fn query_map<T>(
        &mut self,
        sql: &str,
        params: &[Value],
        decode: impl Fn(&Row) -> T,
    ) -> Result<Vec<T>> {
        let stream = async {
            let ready = self.checkout.connection().ready(sql, params).await?;
            let mut stream = std::pin::pin!(ready.stream(self.checkout.client()).await?);
            let (mut columns, mut rows) = (None, Ok(Vec::new()));
            while let Some(row) = stream.try_next().await? {
                // To the end in any case: the connection is in step only when the whole answer was read.
                if let Ok(done) = &mut rows {
                    match convert::row(&row, &mut columns) {
                        Ok(row) => done.push(decode(&row)),
                        Err(error) => rows = Err(error),
                    }
                }
            }
            Ok(rows)
        };
        let answer = answer(&self.name, self.limit, stream).await;
        self.settle(answer)?
    }

    /// Several statements without parameters, in the simple protocol.
    pub(crate) async fn batch(&mut self, sql: &str) -> Result<()> {
        let answer = answer(
            &self.name,
            self.limit,
            self.checkout.client().batch_execute(sql),
        )
        .await;
        self.settle(answer)
    }

    /// One statement for many rows, pipelined: a chunk is sent whole before its first answer is awaited.
    pub(crate) async fn execute_each(
        &mut self,
        sql: &str,
        rows: &[Vec<Value>],
    ) -> Result<Vec<u64>, BatchError> {
        let mut counts = Vec::with_capacity(rows.len());
        if let [first, _, ..] = rows {
            let connection = self.checkout.connection();
            let prepared = answer(&self.name, self.limit, connection.prepare(sql, first)).await;
            self.settle(prepared)
                .map_err(|error| BatchError { index: 0, error })?;
        }
        for chunk in rows.chunks(PIPELINE) {
            for answer in self.pipeline(sql, chunk).await {
                let index = counts.len();
                counts.push(
                    self.settle(answer)
                        .map_err(|error| BatchError { index, error })?,
                );
            }
        }
        Ok(counts)
    }

    async fn pipeline(&self, sql: &str, rows: &[Vec<Value>]) -> Vec<Answer<u64>> {
        let (client, connection) = (self.checkout.client(), self.checkout.connection());
        let mut calls: Vec<_> = rows
            .iter()
            .map(|row| Box::pin(connection.as_known(sql, row).changed(client)))
            .collect();
        // A call sends its messages when it is first polled; one pass in this order puts them on the wire in it.
        let early: Vec<_> = poll_fn(|context| {
            Poll::Ready(
                calls
                    .iter_mut()
                    .map(|call| call.as_mut().poll(context))
                    .collect(),
            )
        })
        .await;
        let mut answers = Vec::with_capacity(calls.len());
        for (call, early) in calls.into_iter().zip(early) {
            answers.push(match early {
                Poll::Ready(result) => answer(&self.name, self.limit, ready(result)).await,
                Poll::Pending => answer(&self.name, self.limit, call).await,
            });
            // What follows a failure fails because of it, or is never answered.
            if answers.last().is_some_and(Answer::is_lost) {
                break;
            }
        }
        answers
    }

    pub(crate) async fn commit(mut self) -> Result<()> {
        match answer(
            &self.name,
            self.limit,
            self.checkout.client().batch_execute("COMMIT"),
        )
        .await
        {
            Answer::InStep(result) => {
                self.checkout.mark_clean();
                result
            }
            Answer::Outdated(error) => Err(error),
            Answer::Lost(_) => Err(DbError::OutcomeUnknown {
                database: self.name.clone(),
            }),
        }
    }

    /// Failing to roll back is no error: the connection is closed then, and the server rolls back.
    pub(crate) async fn rollback(mut self) {
        if self.is_lost {
            return;
        }
        let call = self.checkout.client().batch_execute("ROLLBACK");
        if let Answer::InStep(Ok(())) = answer(&self.name, self.limit, call).await {
            self.checkout.mark_clean();
        }
    }
}
