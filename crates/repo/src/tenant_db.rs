//! The database, reached only for a tenant.

use std::marker::PhantomData;
use std::sync::Arc;

use bastide_context::{Cx, Tenant};
use bastide_db::{Database, Dialect, Row, Value};

use crate::access::{Way, Who};
use crate::error::{RepoError, Result};
use crate::tenant_tx::TenantTx;
use crate::{Entity, Repo, Table};

/// A database whose tables are reached for one tenant at a time. Cheap to clone.
///
/// On Postgres the URL has to be that of a role that neither owns the tables nor bypasses row-level security;
/// [`Schema::check`](crate::Schema::check) says so if it does.
#[derive(Clone, Debug)]
pub struct TenantDb {
    database: Database,
    pub(crate) across: Option<Database>,
}

impl TenantDb {
    /// By this connection. Whoever has the `Database` can go past the tenants on `SQLite`, so that it is handed over here and
    /// kept nowhere else.
    pub fn new(database: Database) -> Self {
        Self {
            database,
            across: None,
        }
    }

    /// The repository of an entity.
    pub fn repo<E: Entity>(&self) -> Repo<E> {
        Repo {
            db: self.clone(),
            find: Arc::default(),
            of: PhantomData,
        }
    }

    /// Runs the body in a transaction for the caller's tenant: committed if it returns `Ok`, rolled back if it returns `Err`,
    /// is cancelled at any await, or is not done by the deadline.
    ///
    /// # Errors
    /// The body's own, or what the database said.
    pub async fn transaction<T, E, F>(&self, cx: &Cx<Tenant>, body: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&TenantTx) -> Result<T, E>,
        E: From<RepoError>,
    {
        self.transaction_of(Who::tenant(cx), body).await
    }

    pub(crate) async fn transaction_of<T, E, F>(&self, who: Who, body: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&TenantTx) -> Result<T, E>,
        E: From<RepoError>,
    {
        self.transaction_on(&self.database, who, body).await
    }

    pub(crate) async fn transaction_on<T, E, F>(
        &self,
        database: &Database,
        who: Who,
        body: F,
    ) -> Result<T, E>
    where
        F: AsyncFnOnce(&TenantTx) -> Result<T, E>,
        E: From<RepoError>,
    {
        let local = who.local(false)?;
        let judge = who.clone();
        let work = async {
            let begun = database.begin_within(&local).await;
            let transaction = TenantTx::new(begun.map_err(|error| judge.judge(error))?, who);
            match body(&transaction).await {
                Ok(value) => {
                    let committed = transaction.into_inner().commit().await;
                    committed.map_err(|error| judge.judge(error))?;
                    Ok(value)
                }
                Err(error) => {
                    transaction.into_inner().rollback().await;
                    Err(error)
                }
            }
        };
        // Large: it holds what the body holds.
        judge.until_deadline(Box::pin(work)).await
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.database.dialect()
    }

    /// One statement that this crate has written.
    pub(crate) async fn run(
        &self,
        way: &Way<'_>,
        table: &'static Table,
        is_read_only: bool,
        (sql, params): (String, Vec<Value>),
    ) -> Result<Vec<Row>> {
        self.run_text(way, table, is_read_only, &sql, &params).await
    }

    /// Like [`TenantDb::run`], with parameters that were [checked](crate::statement::check).
    pub(crate) async fn run_text(
        &self,
        way: &Way<'_>,
        table: &'static Table,
        is_read_only: bool,
        sql: &str,
        params: &[Value],
    ) -> Result<Vec<Row>> {
        let who = way.who();
        let judge = |error| who.judge_of(error, table);
        match way {
            Way::Call(who) => {
                let local = who.local(is_read_only)?;
                let rows = Box::pin(self.database.query_within(&local, sql, params));
                let rows = async { rows.await.map_err(judge) };
                who.until_deadline(rows).await
            }
            Way::Transaction(transaction) => transaction.run(sql, params).await.map_err(judge),
        }
    }
}
