//! The database, whichever it is.

use std::sync::Arc;

use crate::listen::Changes;
use crate::postgres::Postgres;
use crate::sqlite::Sqlite;
use crate::transaction::{self, Mode, Transaction};
use crate::url::{Target, redact};
use crate::{DbError, Local, Options, Result, Row, Value};

/// Which database is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Postgres; tested with 15.
    Postgres,
    /// The `SQLite` that is built in.
    Sqlite,
}

/// A pool of connections to Postgres, or an `SQLite` file. Clones share it.
#[derive(Clone)]
pub struct Database {
    name: Arc<str>,
    driver: Arc<Driver>,
}

#[expect(
    clippy::large_enum_variant,
    reason = "one per database, behind an `Arc`"
)]
pub(crate) enum Driver {
    Postgres(Postgres),
    Sqlite(Sqlite),
}

impl Database {
    /// Opens `postgres://user:password@host:port/database?sslmode=...`, `sqlite:path`, `sqlite::memory:` or a plain path.
    ///
    /// A Postgres server is first contacted when it is needed, so a program can start while it is down. `sslmode` is
    /// `disable`, `prefer` (default), `require`, `verify-ca` or `verify-full`, as in libpq; `sslrootcert` names a PEM file
    /// with the authorities to trust instead of Mozilla's. An `SQLite` file is made if it is missing, its folder is not.
    ///
    /// # Errors
    /// [`DbError::InvalidUrl`], and for `SQLite` [`DbError::Unavailable`] when the file cannot be opened.
    pub fn open(url: &str) -> Result<Self> {
        Self::open_with(url, Options::default())
    }

    /// Like [`Database::open`], with settings.
    pub fn open_with(url: &str, options: Options) -> Result<Self> {
        let name = redact(url);
        let driver = match Target::parse(url)? {
            Target::Sqlite(target) => Driver::Sqlite(Sqlite::open(&name, &target, options)?),
            Target::Postgres(target) => {
                let direct = match options
                    .direct_url
                    .as_deref()
                    .map(|url| (url, Target::parse(url)))
                {
                    None => None,
                    Some((_, Ok(Target::Postgres(direct)))) => Some(*direct),
                    Some((_, Err(error))) => return Err(error),
                    Some((url, Ok(Target::Sqlite(_)))) => {
                        let reason =
                            "the direct URL has to lead to the same Postgres as the database URL"
                                .to_owned();
                        return Err(DbError::InvalidUrl {
                            url: redact(url),
                            reason,
                        });
                    }
                };
                Driver::Postgres(Postgres::new(name.clone(), *target, direct, options)?)
            }
        };
        Ok(Self {
            name: name.into(),
            driver: Arc::new(driver),
        })
    }

    /// Which database it is.
    pub fn dialect(&self) -> Dialect {
        match *self.driver {
            Driver::Postgres(_) => Dialect::Postgres,
            Driver::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// The URL without its password, for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it answers, within the limits of [`Options`].
    pub async fn ping(&self) -> Result<()> {
        self.query("SELECT 1", &[]).await.map(|_| ())
    }

    /// Keeps [`Options::min_connections`] open and closes those that were idle for too long, until the last clone of this
    /// database is gone. Spawn it once; `SQLite` needs none of it.
    pub fn tend(&self) -> impl Future<Output = ()> + Send + 'static {
        let driver = Arc::downgrade(&self.driver);
        async move {
            while let Some(driver) = driver.upgrade() {
                let Driver::Postgres(postgres) = &*driver else {
                    return;
                };
                postgres.tend().await;
                let interval = postgres.tending_interval();
                drop(driver);
                tokio::time::sleep(interval).await;
            }
        }
    }

    /// Runs one statement that returns rows, in a transaction of its own. Parameters are `$1`, `$2`, ... on both
    /// databases.
    pub async fn query(&self, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
        match &*self.driver {
            Driver::Postgres(postgres) => postgres.query(sql, params).await,
            Driver::Sqlite(sqlite) => sqlite.query(sql, params).await,
        }
    }

    /// Like [`Database::query`], the first row only.
    pub async fn query_opt(&self, sql: &str, params: &[Value]) -> Result<Option<Row>> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// Runs one statement in a transaction of its own and returns how many rows it changed.
    ///
    /// Cancelled, it may have been applied or not.
    pub async fn execute(&self, sql: &str, params: &[Value]) -> Result<u64> {
        match &*self.driver {
            Driver::Postgres(postgres) => postgres.execute(sql, params).await,
            Driver::Sqlite(sqlite) => sqlite.execute(sql, params).await,
        }
    }

    /// Runs one statement in a transaction of its own under these settings: on Postgres in one round trip. Writes with
    /// `RETURNING` have rows, others have none.
    ///
    /// # Errors
    /// [`DbError::OutcomeUnknown`] is the one after which a write may still have been applied.
    pub async fn query_within(
        &self,
        local: &Local,
        sql: &str,
        params: &[Value],
    ) -> Result<Vec<Row>> {
        match &*self.driver {
            Driver::Postgres(postgres) => postgres.query_within(local, sql, params).await,
            Driver::Sqlite(sqlite) => sqlite.query_within(local, sql, params).await,
        }
    }

    /// Begins a transaction under these settings. It is rolled back unless [`Transaction::commit`] is called.
    pub async fn begin_within(&self, local: &Local) -> Result<Transaction> {
        let mode = if local.is_read_only {
            Mode::Snapshot
        } else {
            Mode::Write
        };
        self.begin(mode, local).await
    }

    /// Runs the body in a transaction: committed if it returns `Ok`, rolled back if it returns `Err` or is cancelled at
    /// any await. On Postgres it is `READ COMMITTED`; on `SQLite` the only writer.
    ///
    /// # Errors
    /// The body's own, or what the database said. [`DbError::OutcomeUnknown`] is the one after which it may still have
    /// been applied. [`DbError::Aborted`] if the body swallowed the error of a statement.
    pub async fn transaction<T, E, F>(&self, body: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&mut Transaction) -> Result<T, E>,
        E: From<DbError>,
    {
        self.run(Mode::Write, body).await
    }

    /// Runs the body on one consistent state that other people's commits do not change; it cannot write.
    ///
    /// # Errors
    /// The body's own, or what the database said.
    pub async fn snapshot<T, E, F>(&self, body: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&mut Transaction) -> Result<T, E>,
        E: From<DbError>,
    {
        self.run(Mode::Snapshot, body).await
    }

    pub(crate) async fn run<T, E, F>(&self, mode: Mode, body: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&mut Transaction) -> Result<T, E>,
        E: From<DbError>,
    {
        let mut transaction = self.begin(mode, &Local::default()).await?;
        match body(&mut transaction).await {
            Ok(value) => {
                transaction.commit().await?;
                Ok(value)
            }
            Err(error) => {
                transaction.rollback().await;
                Err(error)
            }
        }
    }

    async fn begin(&self, mode: Mode, local: &Local) -> Result<Transaction> {
        let driver = match &*self.driver {
            Driver::Postgres(postgres) => {
                transaction::Driver::Postgres(Box::new(postgres.begin(mode, local).await?))
            }
            Driver::Sqlite(sqlite) => transaction::Driver::Sqlite(sqlite.begin(mode, local).await?),
        };
        Ok(Transaction::new(driver))
    }

    /// A signal for every change that somebody [announced](Transaction::notify) on this channel, and for some that nobody
    /// did. To be called within a tokio runtime.
    pub fn listen(&self, channel: &str) -> Changes {
        Changes::start(&self.driver, channel)
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Database").field(&self.name).finish()
    }
}
