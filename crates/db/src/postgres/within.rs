//! One statement in a transaction of its own, with settings, in one round trip.

use std::time::Duration;

use futures_util::future::join4;

use super::checkout::{Answer, Checkout, answer};
use super::{Postgres, convert};
use crate::{DbError, Local, Result, Row, Value};

/// How much longer the answer is waited for than the server lets the statement run: a statement that the server ends leaves
/// a sound connection, one that is given up here costs it.
pub(super) const GRACE: Duration = Duration::from_millis(100);

impl Postgres {
    /// `BEGIN`, the settings, the statement and `COMMIT` are sent before the first answer is awaited, and what is to be
    /// prepared before them. A transaction whose statement failed is rolled back by its `COMMIT`.
    pub(crate) async fn query_within(
        &self,
        local: &Local,
        sql: &str,
        params: &[Value],
    ) -> Result<Vec<Row>> {
        let mut checkout = self.checkout().await?;
        match self.once_within(&mut checkout, local, sql, params).await {
            // It was rolled back, and is not prepared any more.
            Answer::Outdated(_) => self.once_within(&mut checkout, local, sql, params).await,
            answer => answer,
        }
        .into_result()
    }

    async fn once_within(
        &self,
        checkout: &mut Checkout,
        local: &Local,
        sql: &str,
        params: &[Value],
    ) -> Answer<Vec<Row>> {
        let limit = local.limit(self.options.statement_timeout);
        let (name, wait) = (&self.name, limit + GRACE);
        let (settings, values) = local.set_config(limit);
        let begin = if local.is_read_only {
            "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"
        } else {
            "BEGIN ISOLATION LEVEL READ COMMITTED"
        };
        checkout.mark_dirty();
        let (client, connection) = (checkout.client(), checkout.connection());
        let ready = async {
            let settings = connection.ready(&settings, &values).await?;
            Ok((settings, connection.ready(sql, params).await?))
        };
        let (settings, statement) = match answer(name, wait, ready).await {
            Answer::InStep(Ok(ready)) => ready,
            Answer::InStep(Err(error)) | Answer::Outdated(error) => {
                checkout.mark_clean();
                return Answer::InStep(Err(error));
            }
            Answer::Lost(error) => return Answer::Lost(error),
        };
        // A call sends its messages when it is first polled, and they are first polled in this order.
        let (begin, settings, rows, commit) = join4(
            answer(name, wait, client.batch_execute(begin)),
            answer(name, wait, settings.run(client)),
            answer(name, wait, statement.run(client)),
            answer(name, wait, client.batch_execute("COMMIT")),
        )
        .await;
        if !commit.is_lost() {
            checkout.mark_clean();
        }
        for first in [begin.map(drop), settings.map(drop)] {
            if !matches!(first, Answer::InStep(Ok(()))) {
                return first.map(|()| Vec::new());
            }
        }
        match (rows, commit) {
            (Answer::InStep(Ok((rows, _))), Answer::InStep(Ok(()))) => {
                Answer::InStep(convert::rows(&rows))
            }
            (Answer::InStep(Err(error)), _) => Answer::InStep(Err(error)),
            (Answer::InStep(Ok(_)), Answer::InStep(Err(error)) | Answer::Outdated(error)) => {
                Answer::InStep(Err(error))
            }
            // Rolled back for certain only if its `COMMIT` was answered.
            (Answer::Outdated(error), Answer::InStep(_)) => Answer::Outdated(error),
            (Answer::Lost(error), _) | (_, Answer::Lost(error)) if local.is_read_only => {
                Answer::Lost(error)
            }
            // The COMMIT was on its way.
            (Answer::Lost(_), _) | (_, Answer::Lost(_)) => Answer::Lost(DbError::OutcomeUnknown {
                database: self.name.clone(),
            }),
            (Answer::Outdated(error), Answer::Outdated(_)) => Answer::InStep(Err(error)),
        }
    }
}
