//! Statements that the author of a service writes.

use bastide_db::{Transaction, values};

use crate::error::{RepoError, Result};

const ALLOWED: [&str; 6] = ["select", "insert", "update", "delete", "with", "values"];

/// Statements on rows only: none that ends the transaction, or changes its role, its settings or the schema. Against mistakes,
/// not against an author who means to: functions are not looked into.
pub(crate) fn check(sql: &str) -> Result<()> {
    let lower = sql.trim_start().to_ascii_lowercase();
    let word = lower
        .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .next()
        .unwrap_or_default();
    if !ALLOWED.contains(&word) {
        return Err(RepoError::invalid(format!(
            "a statement in a tenant's transaction begins with SELECT, INSERT, UPDATE, DELETE, WITH or VALUES, not with `{word}`"
        )));
    }
    if lower.contains("set_config") {
        return Err(RepoError::invalid(
            "the tenant of a transaction is set when it begins; take `set_config` out of the statement",
        ));
    }
    Ok(())
}

/// `SQLite` has no row-level security. A statement that has the name of a tenant's table in it, or of a view, anywhere, is
/// taken to touch it; that is too strict for a text that happens to be the same, and never too lax: whatever a statement
/// touches it has to name, and views and triggers cannot be made here.
pub(crate) async fn refuse_tenant_tables(transaction: &mut Transaction, sql: &str) -> Result<()> {
    let find = "SELECT m.name AS name FROM sqlite_master AS m WHERE m.type = 'view' OR m.type = 'table' AND \
                EXISTS (SELECT 1 FROM pragma_table_info(m.name) AS c WHERE c.name = $1)";
    let lower = sql.to_lowercase();
    for row in transaction.query(find, &values!["tenant_id"]).await? {
        let name: &str = row.get("name")?;
        if lower.contains(&name.to_lowercase()) {
            return Err(RepoError::invalid(format!(
                "`{name}` holds rows of tenants, which SQLite cannot keep apart in a statement of your own; use a repository, or \
                 Postgres"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_on_rows_only() {
        for good in [
            "SELECT 1",
            " \n with x AS (SELECT 1) SELECT * FROM x",
            "select(1)",
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in [
            "COMMIT",
            "ROLLBACK",
            "SET LOCAL app.tenant_id = 'b'",
            "RESET ROLE",
            "DO $$ $$",
            "DROP TABLE t",
            "",
            "/* */ COMMIT",
            "SELECT Set_Config('app.tenant_id', 'b', true)",
        ] {
            assert_eq!(check(bad).unwrap_err().code(), "invalid", "{bad}");
        }
    }
}
