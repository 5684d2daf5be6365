//! The same by statements of one's own, as an author may write them within a tenant's transaction.

use bastide_context::{Cx, Tenant};
use bastide_db::{Database, Row};
use bastide_repo::{RepoError, TenantDb};

/// A table with a column `tenant_id`.
struct Guarded {
    name: String,
    columns: Vec<String>,
}

/// In every table with a column `tenant_id` that the program's role can see.
pub(super) async fn on_postgres(
    db: &TenantDb,
    connection: &Database,
    one: &Cx<Tenant>,
    other: &Cx<Tenant>,
) -> Result<Vec<String>, String> {
    let mut reached = Vec::new();
    for table in guarded(connection).await? {
        let before = count(db, one, &table.name).await?;
        reached.extend(table.read(db, connection, one, other).await?);
        reached.extend(table.write(db, one, other).await?);
        let after = count(db, one, &table.name).await?;
        if before != after {
            let (name, one, other) = (&table.name, one.tenant(), other.tenant());
            reached.push(format!(
                "{name}: {one} had {before} rows before statements of {other}, and {after} after"
            ));
        }
    }
    Ok(reached)
}

/// A statement that names a tenant's table is refused there, whatever it does.
pub(super) async fn on_sqlite(
    db: &TenantDb,
    other: &Cx<Tenant>,
    tables: &[&str],
) -> Result<Vec<String>, String> {
    let mut reached = Vec::new();
    for table in tables {
        for sql in [
            format!("SELECT * FROM \"{table}\""),
            format!("DELETE FROM \"{}\"", table.to_uppercase()),
            format!("WITH x AS (SELECT * FROM main.\"{table}\") SELECT count(*) FROM x"),
        ] {
            match query(db, other, &sql).await {
                Err(RepoError::Invalid(_)) => {}
                Err(error) => return Err(format!("{sql}: {error}")),
                Ok(_) => reached.push(format!("{table}: a statement was not refused: {sql}")),
            }
        }
    }
    Ok(reached)
}

impl Guarded {
    /// Nothing of another tenant, and nothing at all without one.
    async fn read(
        &self,
        db: &TenantDb,
        connection: &Database,
        one: &Cx<Tenant>,
        other: &Cx<Tenant>,
    ) -> Result<Vec<String>, String> {
        let (name, owner) = (&self.name, one.tenant());
        let mut reached = Vec::new();
        let foreign = format!("\"{name}\" WHERE tenant_id = '{owner}'");
        let joined = format!(
            "\"{name}\" AS own JOIN \"{name}\" AS foreign_row ON own.tenant_id <> foreign_row.tenant_id"
        );
        for from in [&foreign, &joined] {
            let sql = format!("SELECT 1 AS one FROM {from}");
            let rows = query(db, other, &sql).await;
            let rows = rows.map_err(|error| format!("{sql}: {error}"))?;
            if !rows.is_empty() {
                let other = other.tenant();
                reached.push(format!(
                    "{name}: {other} reads {} rows by {sql}",
                    rows.len()
                ));
            }
        }
        let sql = format!("SELECT 1 AS one FROM \"{name}\"");
        let rows = connection.query(&sql, &[]).await;
        let rows = rows.map_err(|error| format!("{sql}: {error}"))?;
        if !rows.is_empty() {
            reached.push(format!(
                "{name}: without a tenant {} rows are read by {sql}",
                rows.len()
            ));
        }
        Ok(reached)
    }

    /// Rows of the other are not changed, and none is moved from or to it.
    async fn write(
        &self,
        db: &TenantDb,
        one: &Cx<Tenant>,
        other: &Cx<Tenant>,
    ) -> Result<Vec<String>, String> {
        let (name, owner, thief) = (&self.name, one.tenant(), other.tenant());
        let mut reached = Vec::new();
        for sql in [
            format!("UPDATE \"{name}\" SET tenant_id = '{thief}' WHERE tenant_id = '{owner}'"),
            format!("DELETE FROM \"{name}\" WHERE tenant_id = '{owner}'"),
        ] {
            match undone(db, other, &sql).await {
                Ok(0) | Err(Refused::ByTheDatabase) => {}
                Ok(rows) => reached.push(format!("{name}: {thief} changes {rows} rows by {sql}")),
                Err(Refused::Otherwise(error)) => return Err(format!("{sql}: {error}")),
            }
        }
        // Its own rows, in the other's name. What has none of its own could show nothing.
        let rest = self.columns.iter().filter(|column| *column != "tenant_id");
        let rest: Vec<_> = rest.map(|column| format!("\"{column}\"")).collect();
        let rest = rest.join(", ");
        let copy = format!(
            "INSERT INTO \"{name}\" (tenant_id, {rest}) SELECT '{owner}', {rest} FROM \"{name}\" WHERE tenant_id = '{thief}'"
        );
        let moved =
            format!("UPDATE \"{name}\" SET tenant_id = '{owner}' WHERE tenant_id = '{thief}'");
        for sql in [copy, moved] {
            match undone(db, other, &sql).await {
                Ok(0) | Err(Refused::ByTheDatabase) => {}
                Ok(rows) => {
                    reached.push(format!("{name}: {thief} gives {owner} {rows} rows by {sql}"));
                }
                // A reference that does not lead to the other's rows has stopped it after the policy did not.
                Err(Refused::Otherwise(error)) => reached.push(format!(
                    "{name}: no policy stops {thief} from writing in the name of {owner} by {sql}: {error}"
                )),
            }
        }
        Ok(reached)
    }
}

enum Refused {
    /// By row-level security, or by rights that were not given.
    ByTheDatabase,
    Otherwise(RepoError),
}

/// How many rows a statement changes. It is rolled back.
async fn undone(db: &TenantDb, cx: &Cx<Tenant>, sql: &str) -> Result<u64, Refused> {
    /// What rolls a transaction back though all went well.
    enum Ended {
        Changed(u64),
        Failed(RepoError),
    }
    impl From<RepoError> for Ended {
        fn from(error: RepoError) -> Self {
            Self::Failed(error)
        }
    }
    let changed: Result<(), Ended> = db
        .transaction(cx, async |tx| {
            Err(Ended::Changed(tx.execute(sql, &[]).await?))
        })
        .await;
    match changed {
        Ok(()) => Ok(0),
        Err(Ended::Changed(rows)) => Ok(rows),
        Err(Ended::Failed(error)) => {
            let text = error.to_string();
            let is_refused =
                text.contains("row-level security") || text.contains("permission denied");
            Err(if is_refused {
                Refused::ByTheDatabase
            } else {
                Refused::Otherwise(error)
            })
        }
    }
}

async fn query(db: &TenantDb, cx: &Cx<Tenant>, sql: &str) -> Result<Vec<Row>, RepoError> {
    db.transaction(cx, async |tx| tx.query(sql, &[]).await)
        .await
}

async fn count(db: &TenantDb, cx: &Cx<Tenant>, table: &str) -> Result<usize, String> {
    let sql = format!(
        "SELECT 1 AS one FROM \"{table}\" WHERE tenant_id = '{}'",
        cx.tenant()
    );
    let rows = query(db, cx, &sql).await;
    Ok(rows.map_err(|error| format!("{sql}: {error}"))?.len())
}

/// Tables that the role may read. What it may not read it cannot leak.
async fn guarded(connection: &Database) -> Result<Vec<Guarded>, String> {
    let sql = "SELECT c.table_name::text AS name, string_agg(c.column_name::text, ',' ORDER BY c.ordinal_position) AS columns \
               FROM information_schema.columns AS c JOIN information_schema.tables AS t USING (table_schema, table_name) \
               WHERE t.table_type = 'BASE TABLE' AND c.table_schema = current_schema() AND c.is_generated = 'NEVER' \
               AND has_table_privilege(format('%I.%I', c.table_schema, c.table_name), 'SELECT') \
               GROUP BY c.table_name HAVING bool_or(c.column_name = 'tenant_id') ORDER BY 1";
    let failed = |error: &dyn std::fmt::Display| format!("the tables cannot be listed: {error}");
    let rows = connection.query(sql, &[]).await;
    let of = |row: &Row| {
        let columns: String = row.get("columns")?;
        Ok(Guarded {
            name: row.get("name")?,
            columns: columns.split(',').map(str::to_owned).collect(),
        })
    };
    let rows = rows.map_err(|error| failed(&error))?;
    let tables: Result<Vec<_>, bastide_db::DbError> = rows.iter().map(of).collect();
    tables.map_err(|error| failed(&error))
}
