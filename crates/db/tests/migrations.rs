//! Migrations: once, in order, by whoever comes first, and never silently something else.

#![allow(clippy::unwrap_used, reason = "a failed test")]

mod support;

use bastide_db::{Database, DbError, Migration, MigrationError, Migrations};

use support::Fixture;

on_both!(
    migrations_are_applied_once_and_in_order,
    nodes_may_migrate_at_the_same_time,
    a_changed_migration_is_named,
    a_newer_database_is_refused,
    a_forgotten_migration_is_refused,
    a_failed_migration_leaves_nothing,
    components_share_a_database,
);

const fn step(name: &'static str, sql: &'static str) -> Migration {
    Migration {
        name,
        postgres: sql,
        sqlite: sql,
    }
}

const FIRST: Migration = step(
    "0001_a",
    "CREATE TABLE a (id bigint PRIMARY KEY); INSERT INTO a VALUES (1);",
);
const SECOND: Migration = step(
    "0002_b",
    "CREATE TABLE b (id bigint PRIMARY KEY); INSERT INTO b SELECT id + 1 FROM a;",
);
const BOTH: Migrations = Migrations {
    component: "test",
    steps: &[FIRST, SECOND],
};
const ONLY_FIRST: Migrations = Migrations {
    component: "test",
    steps: &[FIRST],
};

fn problem<T: std::fmt::Debug>(result: Result<T, DbError>) -> MigrationError {
    match result {
        Err(DbError::Migration(problem)) => problem,
        other => panic!("expected a migration error, got {other:?}"),
    }
}

async fn rows(database: &Database, table: &str) -> usize {
    database
        .query(&format!("SELECT id FROM {table}"), &[])
        .await
        .unwrap()
        .len()
}

async fn migrations_are_applied_once_and_in_order(fixture: &Fixture) {
    let database = fixture.open();
    let pending = problem(BOTH.check(&database).await);
    assert!(
        matches!(&pending, MigrationError::Pending { count: 2, first, .. } if first == "0001_a"),
        "{pending}"
    );
    assert_eq!(ONLY_FIRST.migrate(&database).await.unwrap(), ["0001_a"]);
    let applied: Vec<bool> = BOTH
        .status(&database)
        .await
        .unwrap()
        .iter()
        .map(|step| step.is_applied)
        .collect();
    assert_eq!(applied, [true, false]);
    assert_eq!(BOTH.migrate(&database).await.unwrap(), ["0002_b"]);
    assert!(BOTH.migrate(&database).await.unwrap().is_empty());
    BOTH.check(&database).await.unwrap();
    assert_eq!(
        (rows(&database, "a").await, rows(&database, "b").await),
        (1, 1)
    );
}

async fn nodes_may_migrate_at_the_same_time(fixture: &Fixture) {
    let nodes = (0..4).map(|_| {
        let database = fixture.open();
        tokio::spawn(async move { BOTH.migrate(&database).await })
    });
    let mut applied = Vec::new();
    for node in nodes.collect::<Vec<_>>() {
        applied.extend(node.await.unwrap().unwrap());
    }
    applied.sort_unstable();
    assert_eq!(applied, ["0001_a", "0002_b"], "each by one of them");
    assert_eq!(rows(&fixture.open(), "b").await, 1);
}

async fn a_changed_migration_is_named(fixture: &Fixture) {
    const CHANGED: Migrations = Migrations {
        component: "test",
        steps: &[step("0001_a", "CREATE TABLE a (id text)"), SECOND],
    };
    let database = fixture.open();
    BOTH.migrate(&database).await.unwrap();
    for result in [
        CHANGED.check(&database).await,
        CHANGED.migrate(&database).await.map(|_| ()),
    ] {
        let error = problem(result);
        assert!(
            matches!(&error, MigrationError::Changed { name, .. } if name == "0001_a"),
            "{error}"
        );
    }
}

async fn a_newer_database_is_refused(fixture: &Fixture) {
    let database = fixture.open();
    BOTH.migrate(&database).await.unwrap();
    let error = problem(ONLY_FIRST.migrate(&database).await);
    assert!(
        matches!(&error, MigrationError::Unknown { name, .. } if name == "0002_b"),
        "{error}"
    );
}

async fn a_forgotten_migration_is_refused(fixture: &Fixture) {
    const INSERTED: Migrations = Migrations {
        component: "test",
        steps: &[FIRST, step("0001_x", "CREATE TABLE x (id bigint)"), SECOND],
    };
    let database = fixture.open();
    BOTH.migrate(&database).await.unwrap();
    let error = problem(INSERTED.migrate(&database).await);
    assert!(
        matches!(&error, MigrationError::OutOfOrder { name, .. } if name == "0001_x"),
        "{error}"
    );
}

async fn a_failed_migration_leaves_nothing(fixture: &Fixture) {
    const BROKEN: Migrations = Migrations {
        component: "test",
        steps: &[
            FIRST,
            step(
                "0002_broken",
                "CREATE TABLE half (id bigint); INSERT INTO nowhere VALUES (1);",
            ),
        ],
    };
    let database = fixture.open();
    let error = problem(BROKEN.migrate(&database).await);
    assert!(
        matches!(&error, MigrationError::Failed { name, reason, .. } if name == "0002_broken" && reason.contains("nowhere")),
        "{error}"
    );
    assert_eq!(rows(&database, "a").await, 1, "what came before stays");
    assert!(database.query("SELECT id FROM half", &[]).await.is_err());
    assert_eq!(BOTH.migrate(&database).await.unwrap(), ["0002_b"]);
}

async fn components_share_a_database(fixture: &Fixture) {
    const OTHER: Migrations = Migrations {
        component: "other",
        steps: &[step("0001_a", "CREATE TABLE other (id bigint)")],
    };
    let database = fixture.open();
    BOTH.migrate(&database).await.unwrap();
    assert_eq!(OTHER.migrate(&database).await.unwrap(), ["0001_a"]);
    BOTH.check(&database).await.unwrap();
}
