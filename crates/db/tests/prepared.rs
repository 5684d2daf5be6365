//! Statements that a connection prepares, because it is asked for them again.

#![allow(clippy::unwrap_used, reason = "a failed test")]

mod support;

use bastide_db::{Database, DbError, Local, Options, Value, values};

use support::Fixture;

fn open(fixture: &Fixture, prepared_statements: Option<bool>) -> Database {
    let options = Options {
        max_connections: 1,
        prepared_statements,
        ..Options::default()
    };
    Database::open_with(&fixture.url(), options).unwrap()
}

/// How many statements the connection has prepared whose text begins so.
async fn prepared(database: &Database, begin: &str) -> i64 {
    let sql = "SELECT count(*) AS n FROM pg_prepared_statements WHERE starts_with(statement, $1)";
    let rows = database.query(sql, &values![begin]).await.unwrap();
    rows[0].get("n").unwrap()
}

#[tokio::test]
async fn a_statement_is_prepared_when_it_is_asked_for_again() {
    let fixture = Fixture::postgres();
    for said in [None, Some(true), Some(false)] {
        let database = open(&fixture, said);
        let expected = i64::from(said != Some(false));
        let sql = "SELECT $1 AS n";
        for (time, expected) in [0, expected, expected].into_iter().enumerate() {
            let rows = database.query(sql, &values![time as i64]).await.unwrap();
            assert_eq!(rows[0].get::<i64>("n").unwrap(), time as i64);
            assert_eq!(prepared(&database, sql).await, expected, "{said:?}");
        }
        for _ in 0..3 {
            let local = Local::default();
            let rows = database.query_within(&local, "SELECT 2 AS n", &[]).await;
            assert_eq!(rows.unwrap()[0].get::<i64>("n").unwrap(), 2);
        }
        assert_eq!(prepared(&database, "SELECT 2").await, expected);
        assert_eq!(prepared(&database, "SELECT set_config").await, expected);
        let done: Result<(), DbError> = database
            .transaction(async |transaction| {
                for _ in 0..3 {
                    transaction.query("SELECT 3", &[]).await?;
                }
                Ok(())
            })
            .await;
        done.unwrap();
        assert_eq!(prepared(&database, "SELECT 3").await, expected);
    }
}

#[tokio::test]
async fn what_was_not_asked_for_lately_is_let_go() {
    let fixture = Fixture::postgres();
    let database = open(&fixture, None);
    for number in 0..300 {
        for _ in 0..2 {
            let sql = format!("SELECT 1 AS n{number}");
            database.query(&sql, &[]).await.unwrap();
        }
        database.query("SELECT 0 AS always", &[]).await.unwrap();
    }
    let kept = prepared(&database, "SELECT").await;
    assert!((200..=257).contains(&kept), "{kept}");
    assert_eq!(prepared(&database, "SELECT 0 AS always").await, 1);
    assert_eq!(prepared(&database, "SELECT 1 AS n0").await, 0);
    let long = format!("SELECT 1 AS long -- {}", "x".repeat(9_000));
    for _ in 0..3 {
        database.query(&long, &[]).await.unwrap();
    }
    assert_eq!(prepared(&database, "SELECT 1 AS long").await, 0);
}

#[tokio::test]
async fn parameters_of_another_type_are_another_statement_and_nulls_are_not() {
    let fixture = Fixture::postgres();
    let database = open(&fixture, None);
    database
        .execute("CREATE TABLE t (n bigint, words text, doc jsonb)", &[])
        .await
        .unwrap();
    let insert = "INSERT INTO t (n, words, doc) VALUES ($1, $2, $3)";
    let json = || Value::Json("[1]".to_owned());
    for _ in 0..3 {
        for row in [
            vec![Value::Null, Value::Null, Value::Null],
            vec![Value::Int(1), "a".into(), json()],
            vec![Value::Int(2), Value::Null, json()],
            vec![Value::Null, "b".into(), Value::Null],
        ] {
            assert_eq!(database.execute(insert, &row).await.unwrap(), 1);
        }
    }
    assert!(prepared(&database, insert).await <= 2);
    let sql = "SELECT sum(n)::bigint AS n, count(words) AS words, count(doc) AS docs FROM t";
    let row = database.query(sql, &[]).await.unwrap().remove(0);
    for (column, expected) in [("n", 9), ("words", 6), ("docs", 6)] {
        assert_eq!(row.get::<i64>(column).unwrap(), expected);
    }
    let sql = "SELECT $1 AS is";
    for _ in 0..3 {
        for value in [Value::Int(1), Value::from("x"), Value::Bool(true)] {
            let rows = database.query(sql, std::slice::from_ref(&value)).await;
            assert_eq!(*rows.unwrap()[0].value("is").unwrap(), value);
        }
    }
    let wrong = database.query(sql, &[]).await;
    assert!(matches!(wrong, Err(DbError::Invalid(_))), "{wrong:?}");
    database.ping().await.unwrap();
}

/// "cached plan must not change result type".
#[tokio::test]
async fn a_change_of_the_schema_is_noticed_by_transactions_only() {
    let fixture = Fixture::postgres();
    let (database, owner) = (open(&fixture, None), fixture.open());
    let change = async |sql| owner.execute(sql, &[]).await.unwrap();
    change("CREATE TABLE t (a bigint)").await;
    change("INSERT INTO t VALUES (1)").await;
    let sql = "SELECT * FROM t";
    let local = Local::default();
    for _ in 0..3 {
        database.query(sql, &[]).await.unwrap();
    }
    change("ALTER TABLE t ADD b bigint DEFAULT 2").await;
    let rows = database.query(sql, &[]).await.unwrap();
    assert_eq!(rows[0].get::<i64>("b").unwrap(), 2);

    for _ in 0..3 {
        database.query_within(&local, sql, &[]).await.unwrap();
    }
    change("ALTER TABLE t ADD c bigint DEFAULT 3").await;
    let rows = database.query_within(&local, sql, &[]).await.unwrap();
    assert_eq!(rows[0].get::<i64>("c").unwrap(), 3);

    let in_transaction = async || {
        database
            .transaction(async |transaction| -> Result<usize, DbError> {
                Ok(transaction.query(sql, &[]).await?.len())
            })
            .await
    };
    in_transaction().await.unwrap();
    in_transaction().await.unwrap();
    change("ALTER TABLE t ADD d bigint DEFAULT 4").await;
    let first = in_transaction().await;
    assert!(matches!(first, Err(DbError::Contention(_))), "{first:?}");
    assert_eq!(in_transaction().await.unwrap(), 1);
}

#[tokio::test]
async fn statements_that_the_server_has_lost_are_prepared_anew() {
    let fixture = Fixture::postgres();
    let database = open(&fixture, None);
    for _ in 0..3 {
        database.query("SELECT 1 AS n", &[]).await.unwrap();
    }
    database.execute("DEALLOCATE ALL", &[]).await.unwrap();
    let lost = database.query("SELECT 1 AS n", &[]).await;
    assert!(
        matches!(lost, Err(DbError::StatementLost { .. })),
        "{lost:?}"
    );
    for _ in 0..3 {
        database.query("SELECT 1 AS n", &[]).await.unwrap();
    }
}

#[tokio::test]
async fn a_batch_is_prepared_at_once() {
    let fixture = Fixture::postgres();
    let database = open(&fixture, None);
    let insert = "INSERT INTO t (id, name) VALUES ($1, $2)";
    database
        .execute("CREATE TABLE t (id bigint, name text)", &[])
        .await
        .unwrap();
    let done: Result<Vec<u64>, DbError> = database
        .transaction(async |transaction| {
            let name = |id| (id % 2 == 0).then_some("even");
            let rows = (0..300_i64).map(|id| values![id, name(id)].to_vec());
            Ok(transaction.execute_each(insert, rows.collect()).await?)
        })
        .await;
    assert_eq!(done.unwrap(), vec![1; 300]);
    assert_eq!(prepared(&database, insert).await, 1);
    let rows = database.query("SELECT count(name) AS n FROM t", &[]).await;
    assert_eq!(rows.unwrap()[0].get::<i64>("n").unwrap(), 150);
}
