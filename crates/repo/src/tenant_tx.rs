//! A transaction for one tenant.

use bastide_db::{Dialect, Row, Transaction, Value};
use tokio::sync::Mutex;

use crate::access::Who;
use crate::error::Result;
use crate::raw;
use crate::statement;

/// A transaction for one tenant, as the body of [`TenantDb::transaction`](crate::TenantDb::transaction) sees it.
///
/// Statements run one after the other. After one failed, or was cancelled, the transaction can only be rolled back.
pub struct TenantTx {
    transaction: Mutex<Transaction>,
    dialect: Dialect,
    who: Who,
}

impl TenantTx {
    pub(crate) fn new(transaction: Transaction, who: Who) -> Self {
        Self {
            dialect: transaction.dialect(),
            transaction: Mutex::new(transaction),
            who,
        }
    }

    pub(crate) fn who(&self) -> &Who {
        &self.who
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(crate) fn into_inner(self) -> Transaction {
        self.transaction.into_inner()
    }

    /// A statement that this crate has written.
    pub(crate) async fn run(
        &self,
        sql: &str,
        params: &[Value],
    ) -> Result<Vec<Row>, bastide_db::DbError> {
        self.transaction.lock().await.query(sql, params).await
    }

    /// A statement that is known to be allowed; how many rows it changed.
    pub(crate) async fn change(
        &self,
        sql: &str,
        params: &[Value],
    ) -> Result<u64, bastide_db::DbError> {
        self.transaction.lock().await.execute(sql, params).await
    }

    /// Many rows for one statement that this crate has written.
    pub(crate) async fn run_each(
        &self,
        sql: &str,
        rows: Vec<Vec<Value>>,
    ) -> Result<(), bastide_db::BatchError> {
        let mut transaction = self.transaction.lock().await;
        transaction.execute_each(sql, rows).await.map(drop)
    }

    /// Runs a statement of your own that returns rows, with `$1`, `$2`, ... for its parameters: `SELECT`, `INSERT`, `UPDATE`,
    /// `DELETE`, `WITH` or `VALUES`.
    ///
    /// On Postgres row-level security shows it the tenant's rows only and lets it write no others. `SQLite` has nothing like
    /// it, so there a statement that touches a table with a column `tenant_id` is refused: ask by a repository instead.
    ///
    /// # Errors
    /// [`RepoError::Invalid`](crate::RepoError::Invalid) for any other kind of statement, and for one that would change the transaction's tenant.
    pub async fn query(&self, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
        raw::check(sql)?;
        statement::check(params)?;
        let mut transaction = self.transaction.lock().await;
        if self.dialect == Dialect::Sqlite {
            raw::refuse_tenant_tables(&mut transaction, sql).await?;
        }
        let rows = transaction.query(sql, params).await;
        rows.map_err(|error| self.who.judge(error))
    }

    /// Like [`TenantTx::query`]; returns how many rows were changed.
    ///
    /// # Errors
    /// As [`TenantTx::query`].
    pub async fn execute(&self, sql: &str, params: &[Value]) -> Result<u64> {
        raw::check(sql)?;
        statement::check(params)?;
        let mut transaction = self.transaction.lock().await;
        if self.dialect == Dialect::Sqlite {
            raw::refuse_tenant_tables(&mut transaction, sql).await?;
        }
        let changed = transaction.execute(sql, params).await;
        changed.map_err(|error| self.who.judge(error))
    }
}

impl std::fmt::Debug for TenantTx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TenantTx")
            .field("who", &self.who)
            .finish_non_exhaustive()
    }
}
