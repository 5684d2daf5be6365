//! Work across tenants: under a name, by a connection of its own, and written down.

use bastide_context::{Cx, System};
use bastide_db::{Database, Dialect, Row, Value};
use jiff::Timestamp;
use uuid::Uuid;

use crate::access::Who;
use crate::audit::AuditEntry;
use crate::entity::Entity;
use crate::error::{RepoError, Result};
use crate::tenant_db::TenantDb;
use crate::tenant_tx::TenantTx;
use crate::write::{assignments, insert_rows};
use crate::{raw, statement};

impl TenantDb {
    /// With a connection for work across tenants. Without one there is none.
    ///
    /// On Postgres it is that of another role, one with `BYPASSRLS` and the rights of
    /// [`Schema::grant`](crate::Schema::grant): so no statement of a call, whatever stands in it, can become one across
    /// tenants. On `SQLite` it is the same database.
    pub fn with_across(mut self, database: Database) -> Self {
        self.across = Some(database);
        self
    }

    /// Runs the body in a transaction in which the rows of all tenants are seen. An entry in `bastide_audit`, of no tenant,
    /// says that this was done, by whom and for which purpose, in the same transaction; the table has to be in the schema
    /// ([`Schema::with::<AuditEntry>`](crate::Schema::with)).
    ///
    /// # Errors
    /// The body's own, or what the database said. [`RepoError::Invalid`] without [`TenantDb::with_across`], and if row-level
    /// security holds for its role too: then it would see nothing.
    pub async fn across_tenants<T, E, F>(
        &self,
        purpose: &'static str,
        cx: &Cx<System>,
        body: F,
    ) -> Result<T, E>
    where
        F: AsyncFnOnce(&AcrossTx) -> Result<T, E>,
        E: From<RepoError>,
    {
        let Some(database) = &self.across else {
            let reason = "there is no connection for work across tenants; give one by `TenantDb::with_across`";
            return Err(RepoError::invalid(reason).into());
        };
        let who = Who {
            call: cx.call().clone(),
            tenant: None,
            actor: cx.actor().map(str::to_owned),
            is_across: true,
        };
        self.transaction_on(database, who, async |transaction| {
            refuse_without_bypass(transaction).await?;
            write_down(transaction, purpose).await?;
            body(&AcrossTx { transaction }).await
        })
        .await
    }
}

async fn refuse_without_bypass(transaction: &TenantTx) -> Result<()> {
    if transaction.dialect() == Dialect::Sqlite {
        return Ok(());
    }
    let sql =
        "SELECT 1 AS one FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolbypassrls)";
    if transaction.run(sql, &[]).await?.is_empty() {
        return Err(RepoError::invalid(
            "the role of the connection for work across tenants is held to row-level security and would see nothing: ALTER ROLE .. BYPASSRLS",
        ));
    }
    Ok(())
}

async fn write_down(transaction: &TenantTx, purpose: &str) -> Result<()> {
    let who = transaction.who();
    let entry = AuditEntry {
        id: Uuid::now_v7(),
        at: Timestamp::now(),
        actor: who.actor.clone(),
        request: who.call.request_id().to_string(),
        action: "across_tenants".to_owned(),
        entity: purpose.to_owned(),
        row: String::new(),
        before: None,
        after: None,
    };
    let row = assignments(AuditEntry::TABLE, who, entry.values());
    insert_rows(transaction, AuditEntry::TABLE, &[row]).await
}

/// A transaction across tenants, as the body of [`TenantDb::across_tenants`] sees it.
#[derive(Debug)]
pub struct AcrossTx<'a> {
    transaction: &'a TenantTx,
}

impl AcrossTx<'_> {
    /// Runs a statement that returns rows, as [`TenantTx::query`], on the rows of all tenants; [`Entity::from_row`] reads them.
    ///
    /// # Errors
    /// As [`TenantTx::query`].
    pub async fn query(&self, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
        raw::check(sql)?;
        statement::check(params)?;
        let rows = self.transaction.run(sql, params).await;
        rows.map_err(|error| self.transaction.who().judge(error))
    }

    /// Like [`AcrossTx::query`]; returns how many rows were changed. A statement names the tenant of what it inserts.
    ///
    /// # Errors
    /// As [`TenantTx::query`].
    pub async fn execute(&self, sql: &str, params: &[Value]) -> Result<u64> {
        raw::check(sql)?;
        statement::check(params)?;
        let changed = self.transaction.change(sql, params).await;
        changed.map_err(|error| self.transaction.who().judge(error))
    }
}
