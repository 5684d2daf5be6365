//! The Postgres driver: a pool, single statements and what transactions are made of.

mod checkout;
mod connection;
mod convert;
mod direct;
mod idle;
mod listen;
mod prepared;
mod tls;
mod transaction;
mod within;

use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{Hook, HookError, Pool, PoolError, TimeoutType};
use deadpool_postgres::{Manager, ManagerConfig, RecyclingMethod};
use tokio_postgres_rustls::MakeRustlsConnect;

use self::checkout::{Answer, Checkout, answer};
use self::connection::Connections;
pub(crate) use self::transaction::PostgresTransaction;
use crate::url::PostgresTarget;
use crate::{DbError, Options, Result, Row, Value};

/// A half-open connection is found out within `KEEPALIVE_IDLE + KEEPALIVE_RETRIES * KEEPALIVE_INTERVAL`.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;

pub(crate) struct Postgres {
    /// The URL without its password.
    name: String,
    pool: Pool<Connections>,
    tls: MakeRustlsConnect,
    /// For `LISTEN`, past any `PgBouncer`.
    direct: PostgresTarget,
    direct_tls: MakeRustlsConnect,
    options: Options,
}

impl Postgres {
    /// Connects to nothing yet: the program may start while the database is down.
    pub(crate) fn new(
        name: String,
        mut target: PostgresTarget,
        direct: Option<PostgresTarget>,
        options: Options,
    ) -> Result<Self> {
        let invalid = |reason| DbError::InvalidUrl {
            url: name.clone(),
            reason,
        };
        prepare(&mut target.config, &options);
        let mut direct = direct.unwrap_or_else(|| target.clone());
        prepare(&mut direct.config, &options);
        let tls = tls::connector(&target).map_err(invalid)?;
        let direct_tls = tls::connector(&direct).map_err(invalid)?;
        // `Fast` trusts a connection that is not closed. That is enough, because only clean ones come back.
        let method = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let idle = options.idle_timeout;
        let connections = Connections {
            inner: Manager::from_config(target.config, tls.clone(), method),
            prepared_statements: options.prepared_statements,
        };
        let pool = Pool::builder(connections)
            .max_size(options.max_connections.max(1))
            .wait_timeout(Some(options.acquire_timeout))
            .create_timeout(Some(options.connect_timeout))
            .recycle_timeout(Some(options.connect_timeout))
            .pre_recycle(Hook::sync_fn(move |_, metrics| {
                if metrics.last_used() > idle {
                    Err(HookError::message("idle for too long"))
                } else {
                    Ok(())
                }
            }))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| invalid(error.to_string()))?;
        Ok(Self {
            name,
            pool,
            tls,
            direct,
            direct_tls,
            options,
        })
    }

    pub(crate) fn poll_interval(&self) -> Option<Duration> {
        self.options.poll_interval
    }

    async fn checkout(&self) -> Result<Checkout> {
        let limit = self.options.acquire_timeout;
        let unavailable = |reason: String| DbError::Unavailable {
            database: self.name.clone(),
            reason,
        };
        let no_answer = |limit: Duration| unavailable(format!("no connection within {limit:?}"));
        let connection = match tokio::time::timeout(limit, self.pool.get()).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(PoolError::Backend(error))) => return Err(convert::error(&error, &self.name)),
            Ok(Err(PoolError::Timeout(TimeoutType::Wait))) => {
                return Err(DbError::Timeout {
                    what: "waiting for a free database connection",
                    after: limit,
                });
            }
            Ok(Err(PoolError::Timeout(_))) => return Err(no_answer(self.options.connect_timeout)),
            Ok(Err(error)) => return Err(unavailable(error.to_string())),
            Err(_) => return Err(no_answer(limit)),
        };
        Ok(Checkout::new(
            connection,
            self.tls.clone(),
            self.options.connect_timeout,
        ))
    }

    pub(crate) async fn query(&self, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
        convert::rows(&self.single(sql, params).await?.0)
    }

    pub(crate) async fn execute(&self, sql: &str, params: &[Value]) -> Result<u64> {
        Ok(self.single(sql, params).await?.1)
    }

    /// The rows, and how many were changed.
    async fn single(&self, sql: &str, params: &[Value]) -> Result<(Vec<tokio_postgres::Row>, u64)> {
        let (name, limit) = (&self.name, self.options.statement_timeout);
        let mut checkout = self.checkout().await?;
        checkout.mark_dirty();
        let answer = match answer(name, limit, checkout.run(sql, params)).await {
            // It was not run, and is not prepared any more.
            Answer::Outdated(_) => answer(name, limit, checkout.run(sql, params)).await,
            answer => answer,
        };
        checkout.settle(answer)
    }
}

impl Checkout {
    /// A statement by itself.
    async fn run(
        &self,
        sql: &str,
        params: &[Value],
    ) -> Result<(Vec<tokio_postgres::Row>, u64), tokio_postgres::Error> {
        let ready = self.connection().ready(sql, params).await?;
        ready.run(self.client()).await
    }

    /// After a single statement: clean if the server answered.
    fn settle<T>(&mut self, answer: Answer<T>) -> Result<T> {
        if !answer.is_lost() {
            self.mark_clean();
        }
        answer.into_result()
    }
}

/// What the URL leaves open.
fn prepare(config: &mut tokio_postgres::Config, options: &Options) {
    if config.get_application_name().is_none() {
        config.application_name(options.application_name.as_str());
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(options.connect_timeout);
    }
    config
        .keepalives_idle(KEEPALIVE_IDLE)
        .keepalives_interval(KEEPALIVE_INTERVAL)
        .keepalives_retries(KEEPALIVE_RETRIES);
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(KEEPALIVE_IDLE + KEEPALIVE_INTERVAL * KEEPALIVE_RETRIES);
    }
}
