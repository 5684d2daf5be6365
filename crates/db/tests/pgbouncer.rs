//! Behind PgBouncer in transaction mode, where a connection belongs to a client only for one transaction.

#![allow(clippy::unwrap_used, reason = "a failed test")]

use std::time::Duration;

use bastide_db::{Database, DbError, Local, Migration, Migrations, Options, values};
use bastide_testkit::{PgBouncer, Postgres};

const SCHEMA: Migrations = Migrations {
    component: "test",
    steps: &[Migration {
        name: "0001_t",
        postgres: "CREATE TABLE t (id bigint PRIMARY KEY)",
        sqlite: "",
    }],
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_works_in_transaction_mode() {
    let server = Postgres::start().unwrap();
    let bouncer = PgBouncer::start(server.port(), "postgres").unwrap();
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", bouncer.port());
    let options = || Options {
        direct_url: Some(server.url()),
        ..Options::default()
    };
    let database = Database::open_with(&url, options()).unwrap();
    let (one, two) = tokio::join!(SCHEMA.migrate(&database), SCHEMA.migrate(&database));
    assert_eq!(one.unwrap().len() + two.unwrap().len(), 1);

    let mut changes = database.listen("news");
    changes.changed().await;
    let tasks = (0..40_i64).map(|id| {
        let database = database.clone();
        tokio::spawn(async move {
            database
                .transaction(async |transaction| -> Result<(), DbError> {
                    let rows = (0..20).map(|n| values![id * 100 + n].to_vec()).collect();
                    transaction
                        .execute_each("INSERT INTO t (id) VALUES ($1)", rows)
                        .await?;
                    let sql = "SELECT id FROM t WHERE id = $1";
                    assert!(
                        transaction
                            .query_opt(sql, &values![id * 100])
                            .await?
                            .is_some()
                    );
                    transaction.notify("news", "").await
                })
                .await?;
            let local = Local {
                settings: vec![("app.tenant_id", id.to_string())],
                ..Local::default()
            };
            let own = "SELECT count(*) AS n FROM t WHERE id / 100 = current_setting('app.tenant_id')::bigint";
            let rows = database.query_within(&local, own, &[]).await?;
            let left = "SELECT coalesce(current_setting('app.tenant_id', true), '') AS tenant";
            assert_eq!(database.query(left, &[]).await?[0].get::<&str>("tenant")?, "");
            rows[0].get::<i64>("n")
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        assert_eq!(task.await.unwrap().unwrap(), 20);
    }
    let noticed = tokio::time::timeout(Duration::from_secs(1), changes.changed()).await;
    noticed.expect("LISTEN goes past the pooler");
}

/// A client whose one connection has prepared a statement is given another connection of the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_forgets_statements_is_noticed_or_else_named() {
    let server = Postgres::start().unwrap();
    let bouncer = PgBouncer::start(server.port(), "postgres").unwrap();
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", bouncer.port());
    let open = |prepared_statements| {
        let options = Options {
            max_connections: 1,
            prepared_statements,
            ..Options::default()
        };
        Database::open_with(&url, options).unwrap()
    };
    for prepared_statements in [None, Some(false), Some(true)] {
        let (database, other) = (open(prepared_statements), open(Some(false)));
        for _ in 0..3 {
            database.query("SELECT 1 AS n", &[]).await.unwrap();
        }
        // The pooler gives out the connection that was used last, which is the one with the statement.
        let held = other.begin_within(&Local::default()).await.unwrap();
        let again = database.query("SELECT 1 AS n", &[]).await;
        if prepared_statements == Some(true) {
            let error = again.unwrap_err();
            assert!(matches!(error, DbError::StatementLost { .. }), "{error:?}");
            let message = error.to_string();
            assert!(
                message.contains("`prepared_statements` to false"),
                "{message}"
            );
        } else {
            again.unwrap();
        }
        held.rollback().await;
    }
}
