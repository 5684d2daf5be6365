//! Work across tenants has a name, a connection of its own, and an entry in the audit.

#![allow(clippy::unwrap_used, reason = "a failed test")]

mod support;

use bastide_context::{Call, Cx, System};
use bastide_db::{Database, Dialect, values};
use bastide_repo::{RepoError, TenantDb};

use support::{Fixture, Repos, team, tenant, user};

on_both!(
    all_tenants_are_seen_and_it_is_written_down,
    without_a_connection_of_its_own_there_is_none,
);

fn program() -> Cx<System> {
    Cx::system("report", Call::new())
}

/// As a role that bypasses row-level security.
fn across(fixture: &Fixture) -> Database {
    let Fixture::Postgres(database) = fixture else {
        return fixture.app();
    };
    let role = format!("{}_across", database.name());
    database
        .sql(&format!(
            "DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN BYPASSRLS"
        ))
        .unwrap();
    for grant in support::schema().grant(&role) {
        database.sql(&grant).unwrap();
    }
    let url = database
        .url()
        .replacen("//postgres@", &format!("//{role}@"), 1);
    Database::open(&url).unwrap()
}

async fn entries(db: &TenantDb) -> Vec<(String, String, String)> {
    let sql = "SELECT tenant_id, actor, entity FROM bastide_audit WHERE action = 'across_tenants' ORDER BY at, id";
    let rows: Result<_, RepoError> = db
        .across_tenants("to look", &program(), async |tx| tx.query(sql, &[]).await)
        .await;
    let text = |row: &bastide_db::Row, name| row.get::<String>(name).unwrap();
    rows.unwrap()
        .iter()
        .map(|row| {
            (
                text(row, "tenant_id"),
                text(row, "actor"),
                text(row, "entity"),
            )
        })
        .collect()
}

async fn all_tenants_are_seen_and_it_is_written_down(fixture: &Fixture) {
    let repos = Repos::new(fixture).await;
    let db = repos.db.clone().with_across(across(fixture));
    for name in ["a", "b"] {
        repos
            .teams
            .insert(&tenant(name), team("one"))
            .await
            .unwrap();
    }
    let found: Result<u64, RepoError> = db
        .across_tenants("to rename", &program(), async |tx| {
            let rows = tx
                .query("SELECT tenant_id FROM teams ORDER BY tenant_id", &[])
                .await?;
            assert_eq!(rows[1].get::<&str>("tenant_id")?, "b");
            tx.execute("UPDATE teams SET name = $1", &values!["two"])
                .await
        })
        .await;
    assert_eq!(found.unwrap(), 2);
    // What is rolled back was not done.
    let undone: Result<(), RepoError> = db
        .across_tenants("to fail", &program(), async |tx| {
            tx.execute("DELETE FROM teams", &[]).await?;
            Err(RepoError::Invalid("never mind".into()))
        })
        .await;
    undone.unwrap_err();
    let ended: Result<u64, RepoError> = db
        .across_tenants("to end it", &program(), async |tx| {
            tx.execute("COMMIT", &[]).await
        })
        .await;
    assert_eq!(ended.unwrap_err().code(), "invalid");
    let entry = |purpose: &str| {
        (
            "*".to_owned(),
            "system:report".to_owned(),
            purpose.to_owned(),
        )
    };
    assert_eq!(entries(&db).await, [entry("to rename"), entry("to look")]);
    assert_eq!(fixture.count_of_all("teams").await, 2);
    // No tenant sees that it was done.
    repos
        .users
        .insert(&tenant("a"), user("ada@x"))
        .await
        .unwrap();
    let audit = db.repo::<bastide_repo::AuditEntry>();
    let own = audit
        .list(&tenant("a"), bastide_repo::Query::new())
        .await
        .unwrap();
    assert!(own.iter().all(|entry| entry.action == "insert"), "{own:?}");
}

async fn without_a_connection_of_its_own_there_is_none(fixture: &Fixture) {
    let db = fixture.db().await;
    let look = async |db: &TenantDb| -> RepoError {
        let sql = "SELECT 1 AS one";
        let rows: Result<_, RepoError> = db
            .across_tenants("to look", &program(), async |tx| tx.query(sql, &[]).await)
            .await;
        rows.unwrap_err()
    };
    assert!(look(&db).await.to_string().contains("with_across"));
    if fixture.dialect() == Dialect::Postgres {
        let same_role = db.with_across(fixture.app());
        let error = look(&same_role).await.to_string();
        assert!(error.contains("BYPASSRLS"), "{error}");
    }
}
