//! One statement in a transaction of its own, with settings, in one round trip.

use std::time::Duration;

use futures_util::future::join4;

use super::checkout::{Answer, answer};
use super::{Postgres, convert};
use crate::{DbError, Local, Result, Row, Value};

/// How much longer the answer is waited for than the server lets the statement run: a statement that the server ends leaves
/// a sound connection, one that is given up here costs it.
pub(super) const GRACE: Duration = Duration::from_millis(100);

impl Postgres {
    /// `BEGIN`, the settings, the statement and `COMMIT` are sent before the first answer is awaited. A transaction whose
    /// statement failed is rolled back by its `COMMIT`.
    pub(crate) async fn query_within(
        &self,
        local: &Local,
        sql: &str,
        params: &[Value],
    ) -> Result<Vec<Row>> {
        let limit = local.limit(self.options.statement_timeout);
        let mut checkout = self.checkout().await?;
        checkout.mark_dirty();
        let (settings, values) = local.set_config(limit);
        let (values, types) = (convert::typed(&values), convert::typed(params));
        let begin = if local.is_read_only {
            "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"
        } else {
            "BEGIN ISOLATION LEVEL READ COMMITTED"
        };
        let (name, wait) = (&self.name, limit + GRACE);
        let client = checkout.client();
        // A call sends its messages when it is first polled, and they are first polled in this order.
        let (begin, settings, rows, commit) = join4(
            answer(name, wait, client.batch_execute(begin)),
            answer(name, wait, client.query_typed(&settings, &values)),
            answer(name, wait, client.query_typed(sql, &types)),
            answer(name, wait, client.batch_execute("COMMIT")),
        )
        .await;
        if let Answer::InStep(_) = commit {
            checkout.mark_clean();
        }
        begin.into_result()?;
        settings.into_result()?;
        match (rows, commit) {
            (Answer::InStep(Ok(rows)), Answer::InStep(Ok(()))) => convert::rows(&rows),
            (Answer::InStep(Err(error)), _) => Err(error),
            (Answer::InStep(Ok(_)), Answer::InStep(Err(error))) => Err(error),
            (Answer::Lost(error), _) | (_, Answer::Lost(error)) if local.is_read_only => Err(error),
            // The COMMIT was on its way.
            (Answer::Lost(_), _) | (_, Answer::Lost(_)) => Err(DbError::OutcomeUnknown {
                database: self.name.clone(),
            }),
        }
    }
}
