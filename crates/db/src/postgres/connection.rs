//! A connection of the pool and how one is made.

use deadpool::managed::{self, Metrics, RecycleResult};
use deadpool_postgres::ClientWrapper;
use tokio_postgres::{Client, Error};

use super::direct;
use super::prepared::{Prepared, Ready};
use crate::Value;

pub(super) struct Connection {
    client: ClientWrapper,
    /// `None` where statements are not to be prepared.
    prepared: Option<Prepared>,
}

impl Connection {
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Whether it can be used no more.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// What is to be sent for this statement; where it pays, it is prepared first, in a round trip of its own.
    pub(super) async fn ready<'a>(
        &'a self,
        sql: &'a str,
        params: &'a [Value],
    ) -> Result<Ready<'a>, Error> {
        match &self.prepared {
            Some(prepared) => prepared.ready(&self.client, sql, params).await,
            None => Ok(Ready::unnamed(sql, params)),
        }
    }

    /// Prepares what will be sent many times.
    pub(super) async fn prepare(&self, sql: &str, params: &[Value]) -> Result<(), Error> {
        match &self.prepared {
            Some(prepared) => prepared.ready_for_many(&self.client, sql, params).await,
            None => Ok(()),
        }
    }

    /// What is to be sent for this statement as things are.
    pub(super) fn as_known<'a>(&'a self, sql: &'a str, params: &'a [Value]) -> Ready<'a> {
        match &self.prepared {
            Some(prepared) => prepared.as_known(sql, params),
            None => Ready::unnamed(sql, params),
        }
    }
}

/// Makes connections.
pub(super) struct Connections {
    pub(super) inner: deadpool_postgres::Manager,
    /// As [`Options::prepared_statements`](crate::Options::prepared_statements).
    pub(super) prepared_statements: Option<bool>,
}

impl managed::Manager for Connections {
    type Type = Connection;
    type Error = Error;

    async fn create(&self) -> Result<Connection, Error> {
        let client = self.inner.create().await?;
        let is_prepared = match self.prepared_statements {
            Some(said) => said,
            None => direct::is_direct(&client).await?,
        };
        Ok(Connection {
            client,
            prepared: is_prepared.then(Prepared::default),
        })
    }

    async fn recycle(
        &self,
        connection: &mut Connection,
        metrics: &Metrics,
    ) -> RecycleResult<Error> {
        self.inner.recycle(&mut connection.client, metrics).await
    }

    fn detach(&self, connection: &mut Connection) {
        self.inner.detach(&mut connection.client);
    }
}
