//! What both databases have to do alike.

#![allow(clippy::unwrap_used, reason = "a failed test")]

mod support;

use bastide_db::{Constraint, Database, DbError, Dialect, Row, Value, values};
use jiff::Timestamp;
use uuid::Uuid;

use support::Fixture;

on_both!(
    values_come_back_as_they_went,
    absent_values_fit_every_column,
    parameters_go_by_number,
    errors_are_sorted_by_what_can_be_done,
    a_transaction_is_applied_whole_or_not_at_all,
    a_failed_statement_ends_the_transaction,
    a_batch_names_the_row_that_failed,
    a_large_batch_keeps_its_order,
    rows_are_decoded_as_they_come,
    a_snapshot_does_not_move_and_does_not_write,
    a_query_may_write,
    transactions_run_in_spawned_tasks,
    writers_wait_for_each_other,
);

async fn table(fixture: &Fixture) -> Database {
    let database = fixture.open();
    let sql = match database.dialect() {
        Dialect::Postgres => {
            "CREATE TABLE t (id bigint PRIMARY KEY, b boolean, f double precision, s text UNIQUE, x bytea, j json, u uuid, \
             at timestamptz, parent bigint REFERENCES t (id), n bigint NOT NULL DEFAULT 0, CONSTRAINT small CHECK (n < 100))"
        }
        Dialect::Sqlite => {
            "CREATE TABLE t (id integer PRIMARY KEY, b integer, f real, s text UNIQUE, x blob, j text, u text, at text, \
             parent integer REFERENCES t (id), n integer NOT NULL DEFAULT 0, CONSTRAINT small CHECK (n < 100))"
        }
    };
    database.execute(sql, &[]).await.unwrap();
    database
}

async fn count(database: &Database) -> i64 {
    database
        .query("SELECT count(*) AS n FROM t", &[])
        .await
        .unwrap()[0]
        .get("n")
        .unwrap()
}

async fn values_come_back_as_they_went(fixture: &Fixture) {
    let database = table(fixture).await;
    let (id, at) = (
        Uuid::from_u128(u128::MAX / 3),
        "2026-11-20T22:00:00.123456Z".parse::<Timestamp>().unwrap(),
    );
    let finer: Timestamp = "2026-11-20T22:00:00.123456789Z".parse().unwrap();
    let document =
        serde_json::json!({ "deep": [1, 2.5, null, "\u{0}\u{1F600}"], "large": u64::MAX });
    let insert = "INSERT INTO t (id, b, f, s, x, j, u, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let row = values![
        i64::MIN,
        true,
        -0.25,
        "ü\n'\"",
        vec![0_u8, 255],
        Value::json(&document).unwrap(),
        id,
        finer
    ];
    assert_eq!(database.execute(insert, &row).await.unwrap(), 1);

    let row = database
        .query_opt("SELECT * FROM t WHERE u = $1 AND at = $2", &values![id, at])
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.get::<i64>("id").unwrap(), i64::MIN);
    assert!(row.get::<bool>("b").unwrap());
    assert!((row.get::<f64>("f").unwrap() - -0.25).abs() < f64::EPSILON);
    assert_eq!(row.get::<&str>("s").unwrap(), "ü\n'\"");
    assert_eq!(row.get::<&[u8]>("x").unwrap(), [0, 255]);
    assert_eq!(row.json::<serde_json::Value>("j").unwrap(), document);
    assert_eq!(row.get::<Uuid>("u").unwrap(), id);
    assert_eq!(
        row.get::<Timestamp>("at").unwrap(),
        at,
        "kept to the microsecond"
    );
}

async fn absent_values_fit_every_column(fixture: &Fixture) {
    let database = table(fixture).await;
    let none = || Value::Null;
    let insert = "INSERT INTO t (id, b, f, s, x, j, u, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let row = [
        Value::Int(1),
        none(),
        none(),
        none(),
        none(),
        none(),
        none(),
        none(),
    ];
    database.execute(insert, &row).await.unwrap();
    let row = database
        .query_opt("SELECT * FROM t", &[])
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.get::<Option<Uuid>>("u").unwrap(), None);
    assert_eq!(row.json_opt::<Vec<u8>>("j").unwrap(), None);
    assert!(matches!(row.get::<&str>("s"), Err(DbError::Column { column, .. }) if column == "s"));
}

async fn parameters_go_by_number(fixture: &Fixture) {
    let database = table(fixture).await;
    database
        .execute(
            "INSERT INTO t (s, id) VALUES ($2, $1)",
            &values![7_i64, "seven"],
        )
        .await
        .unwrap();
    let sql = "SELECT id FROM t WHERE s = $2 AND id = $1 AND s = $2";
    assert_eq!(
        database
            .query(sql, &values![7_i64, "seven"])
            .await
            .unwrap()
            .len(),
        1
    );
    assert!(matches!(
        database.query(sql, &values![7_i64]).await,
        Err(DbError::Invalid(_))
    ));
}

async fn errors_are_sorted_by_what_can_be_done(fixture: &Fixture) {
    let database = table(fixture).await;
    database
        .execute("INSERT INTO t (id, s) VALUES (1, 'a')", &[])
        .await
        .unwrap();
    for (sql, kind, names) in [
        ("INSERT INTO t (id) VALUES (1)", Constraint::Unique, "t"),
        (
            "INSERT INTO t (id, s) VALUES (2, 'a')",
            Constraint::Unique,
            "s",
        ),
        (
            "INSERT INTO t (id, parent) VALUES (3, 99)",
            Constraint::ForeignKey,
            "",
        ),
        (
            "INSERT INTO t (id, n) VALUES (4, NULL)",
            Constraint::NotNull,
            "n",
        ),
        (
            "INSERT INTO t (id, n) VALUES (5, 100)",
            Constraint::Check,
            "small",
        ),
    ] {
        let error = database.execute(sql, &[]).await.unwrap_err();
        assert!(error.is_conflict(kind), "{sql}: {error}");
        assert!(error.to_string().contains(names), "{sql}: {error}");
    }
    for sql in ["SELEC 1", "SELECT nothing FROM t", "SELECT * FROM nowhere"] {
        assert!(
            matches!(database.query(sql, &[]).await, Err(DbError::Invalid(_))),
            "{sql}"
        );
    }
    assert_eq!(count(&database).await, 1, "the connection is still of use");
}

async fn a_transaction_is_applied_whole_or_not_at_all(fixture: &Fixture) {
    let database = table(fixture).await;
    let done: Result<i64, DbError> = database
        .transaction(async |transaction| {
            transaction
                .execute("INSERT INTO t (id) VALUES (1)", &[])
                .await?;
            transaction
                .query_opt("SELECT id FROM t", &[])
                .await?
                .unwrap()
                .get("id")
        })
        .await;
    assert_eq!(done.unwrap(), 1);
    let refused: Result<(), DbError> = database
        .transaction(async |transaction| {
            transaction
                .execute("INSERT INTO t (id) VALUES (2)", &[])
                .await?;
            Err(DbError::Invalid("changed my mind".into()))
        })
        .await;
    assert!(matches!(refused, Err(DbError::Invalid(reason)) if reason == "changed my mind"));
    assert_eq!(count(&database).await, 1);
}

async fn a_failed_statement_ends_the_transaction(fixture: &Fixture) {
    let database = table(fixture).await;
    let result: Result<(), DbError> = database
        .transaction(async |transaction| {
            transaction
                .execute("INSERT INTO t (id) VALUES (1)", &[])
                .await?;
            transaction
                .execute("INSERT INTO t (id) VALUES (1)", &[])
                .await
                .unwrap_err();
            let after = transaction
                .execute("INSERT INTO t (id) VALUES (2)", &[])
                .await;
            assert!(matches!(after, Err(DbError::Aborted)));
            Ok(())
        })
        .await;
    assert!(
        matches!(result, Err(DbError::Aborted)),
        "a swallowed error must not look like a commit"
    );
    assert_eq!(count(&database).await, 0);
}

async fn a_batch_names_the_row_that_failed(fixture: &Fixture) {
    let database = table(fixture).await;
    let result: Result<(), DbError> = database
        .transaction(async |transaction| {
            let rows = [1_i64, 2, 3, 2, 4].map(|id| values![id].to_vec()).to_vec();
            let error = transaction
                .execute_each("INSERT INTO t (id) VALUES ($1)", rows)
                .await
                .unwrap_err();
            assert_eq!(error.index, 3);
            Err(error.error)
        })
        .await;
    assert!(result.unwrap_err().is_conflict(Constraint::Unique));
    assert_eq!(count(&database).await, 0);
}

async fn a_large_batch_keeps_its_order(fixture: &Fixture) {
    let database = table(fixture).await;
    let rows: Vec<_> = (0..1_000_i64).map(|n| values![n / 2, n].to_vec()).collect();
    let sql = "INSERT INTO t (id, f) VALUES ($1, $2 * 1.0) ON CONFLICT (id) DO NOTHING";
    let counts: Result<Vec<u64>, DbError> = database
        .transaction(async |transaction| Ok(transaction.execute_each(sql, rows).await?))
        .await;
    let expected: Vec<u64> = (0..1_000).map(|n| u64::from(n % 2 == 0)).collect();
    assert_eq!(counts.unwrap(), expected);
}

async fn rows_are_decoded_as_they_come(fixture: &Fixture) {
    let database = table(fixture).await;
    let decoded: Result<Vec<i64>, DbError> = database
        .transaction(async |transaction| {
            let rows = (0..500_i64).map(|n| values![n].to_vec()).collect();
            transaction
                .execute_each("INSERT INTO t (id) VALUES ($1)", rows)
                .await?;
            let sql = "SELECT id FROM t WHERE id >= $1 ORDER BY id";
            let decode = |row: &Row| row.get::<i64>("id");
            let read = transaction
                .query_map(sql, &values![490_i64], decode)
                .await?;
            // The transaction goes on behind it.
            transaction.execute("DELETE FROM t", &[]).await?;
            read.into_iter().collect()
        })
        .await;
    assert_eq!(decoded.unwrap(), (490..500).collect::<Vec<i64>>());
    assert_eq!(count(&database).await, 0);
    let wrong = database
        .snapshot(async |snapshot| snapshot.query_map("SELECT no FROM t", &[], drop_row).await)
        .await;
    assert!(matches!(wrong, Err(DbError::Invalid(_))), "{wrong:?}");
}

fn drop_row(_: &Row) {}

async fn a_snapshot_does_not_move_and_does_not_write(fixture: &Fixture) {
    let database = table(fixture).await;
    let seen: Result<(usize, usize), DbError> = database
        .snapshot(async |snapshot| {
            let before = snapshot.query("SELECT id FROM t", &[]).await?.len();
            database
                .execute("INSERT INTO t (id) VALUES (1)", &[])
                .await?;
            Ok((before, snapshot.query("SELECT id FROM t", &[]).await?.len()))
        })
        .await;
    assert_eq!(seen.unwrap(), (0, 0));
    let write: Result<u64, DbError> = database
        .snapshot(async |snapshot| snapshot.execute("INSERT INTO t (id) VALUES (2)", &[]).await)
        .await;
    assert!(write.is_err());
    assert_eq!(count(&database).await, 1);
}

async fn a_query_may_write(fixture: &Fixture) {
    let database = table(fixture).await;
    let row = database
        .query_opt(
            "INSERT INTO t (id) VALUES ($1) RETURNING id, n",
            &values![5_i64],
        )
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (row.get::<i64>("id").unwrap(), row.get::<i64>("n").unwrap()),
        (5, 0)
    );
    assert_eq!(count(&database).await, 1);
}

async fn transactions_run_in_spawned_tasks(fixture: &Fixture) {
    let database = table(fixture).await;
    let tasks: Vec<_> = (0..20_i64)
        .map(|id| {
            let database = database.clone();
            tokio::spawn(async move {
                database
                    .transaction(async |transaction| {
                        transaction
                            .execute("INSERT INTO t (id) VALUES ($1)", &values![id])
                            .await
                    })
                    .await
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(count(&database).await, 20);
}

async fn writers_wait_for_each_other(fixture: &Fixture) {
    let database = table(fixture).await;
    database
        .execute("INSERT INTO t (id, n) VALUES (1, 0)", &[])
        .await
        .unwrap();
    let other = fixture.open();
    let add = |database: Database| async move {
        for _ in 0..20 {
            let done: Result<(), DbError> = database
                .transaction(async |transaction| {
                    let sql = "UPDATE t SET f = coalesce(f, 0) WHERE id = 1";
                    transaction.execute(sql, &[]).await?;
                    let row = transaction
                        .query_opt("SELECT n FROM t WHERE id = 1", &[])
                        .await?
                        .unwrap();
                    let next = row.get::<i64>("n")? + 1;
                    transaction
                        .execute("UPDATE t SET n = $1 WHERE id = 1", &values![next])
                        .await
                        .map(|_| ())
                })
                .await;
            done.unwrap();
        }
    };
    tokio::join!(add(database.clone()), add(other));
    let row = database
        .query_opt("SELECT n FROM t", &[])
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.get::<i64>("n").unwrap(), 40);
}
