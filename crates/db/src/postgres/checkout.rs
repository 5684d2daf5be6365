//! A pooled connection that is used by one caller, and goes back to the pool only in a known state.

use std::future::Future;
use std::time::Duration;

use deadpool::managed::Object;
use tokio_postgres::Client;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::connection::{Connection, Connections};
use super::{convert, prepared};
use crate::{DbError, Result};

/// A connection out of the pool.
///
/// It is *dirty* from before the first message of a statement or transaction until the answer to the last one was read.
/// Dropped while dirty, which is what cancellation at any await amounts to, it is closed instead of returned, so nobody
/// ever gets a connection in the middle of somebody else's transaction or behind somebody else's statement.
pub(super) struct Checkout {
    /// `None` only while dropping.
    connection: Option<Object<Connections>>,
    dirty: bool,
    tls: MakeRustlsConnect,
    connect_timeout: Duration,
}

impl Checkout {
    pub(super) fn new(
        connection: Object<Connections>,
        tls: MakeRustlsConnect,
        connect_timeout: Duration,
    ) -> Self {
        Self {
            connection: Some(connection),
            dirty: false,
            tls,
            connect_timeout,
        }
    }

    pub(super) fn client(&self) -> &Client {
        self.connection().client()
    }

    pub(super) fn connection(&self) -> &Connection {
        self.connection
            .as_ref()
            .expect("a checkout holds its connection until it is dropped")
    }

    /// To be called before the first message goes out.
    pub(super) fn mark_dirty(&mut self) {
        self.dirty = true;
    }

    /// To be called after the answer to the last message was read.
    pub(super) fn mark_clean(&mut self) {
        self.dirty = false;
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        if !self.dirty {
            return;
        }
        let abandoned = Object::take(connection);
        if abandoned.is_closed() {
            return;
        }
        // Closing does not stop a running statement: the server notices only when it wants to answer, and until then
        // the statement holds its locks. Cancelling is a courtesy, so its failure is of no interest.
        let token = abandoned.client().cancel_token();
        let (tls, limit) = (self.tls.clone(), self.connect_timeout);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = tokio::time::timeout(limit, token.cancel_query(tls)).await;
                drop(abandoned);
            });
        }
    }
}

/// Waits for an answer, at most so long.
pub(super) enum Answer<T> {
    /// The server answered, well or badly: the connection is in step.
    InStep(Result<T>),
    /// It did not run a prepared statement, as the schema has changed: the connection is in step, and the statement is
    /// prepared no more.
    Outdated(DbError),
    /// It did not answer: the connection is of no further use.
    Lost(DbError),
}

impl<T> Answer<T> {
    pub(super) fn into_result(self) -> Result<T> {
        match self {
            Self::InStep(result) => result,
            Self::Outdated(error) | Self::Lost(error) => Err(error),
        }
    }

    pub(super) fn map<U>(self, to: impl FnOnce(T) -> U) -> Answer<U> {
        match self {
            Self::InStep(result) => Answer::InStep(result.map(to)),
            Self::Outdated(error) => Answer::Outdated(error),
            Self::Lost(error) => Answer::Lost(error),
        }
    }

    pub(super) fn is_lost(&self) -> bool {
        matches!(self, Self::Lost(_))
    }
}

pub(super) async fn answer<T>(
    database: &str,
    limit: Duration,
    call: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Answer<T> {
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(value)) => Answer::InStep(Ok(value)),
        Ok(Err(error))
            if error.code() == Some(&tokio_postgres::error::SqlState::QUERY_CANCELED) =>
        {
            Answer::InStep(Err(DbError::Timeout {
                what: "a statement",
                after: limit,
            }))
        }
        Ok(Err(error))
            if error.code() == Some(&tokio_postgres::error::SqlState::LOCK_NOT_AVAILABLE) =>
        {
            Answer::InStep(Err(DbError::Timeout {
                what: "waiting for a lock",
                after: limit,
            }))
        }
        Ok(Err(error)) if prepared::is_outdated(&error) => {
            Answer::Outdated(convert::error(&error, database))
        }
        Ok(Err(error)) if convert::was_answered(&error) => {
            Answer::InStep(Err(convert::error(&error, database)))
        }
        Ok(Err(error)) => Answer::Lost(convert::error(&error, database)),
        Err(_) => Answer::Lost(DbError::Timeout {
            what: "a statement",
            after: limit,
        }),
    }
}
