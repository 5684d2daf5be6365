//! The database goes away and comes back: errors within seconds, never a hang, and no restart needed.

#![allow(clippy::unwrap_used, reason = "a failed test")]

mod support;

use std::time::{Duration, Instant};

use bastide_db::{Database, DbError, Options};
use bastide_testkit::{Postgres, TestFolder, free_port};

use support::PATIENCE;

const SHORT: Duration = Duration::from_millis(600);

fn short(server: &Postgres) -> Database {
    let options = Options {
        connect_timeout: SHORT,
        acquire_timeout: SHORT,
        statement_timeout: SHORT,
        poll_interval: Some(Duration::from_secs(3_600)),
        ..Options::default()
    };
    Database::open_with(&server.url(), options).unwrap()
}

async fn recovers(database: &Database) {
    let works = async {
        while database.ping().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, works)
        .await
        .expect("it recovers by itself");
}

#[tokio::test]
async fn opening_needs_no_server_and_using_says_what_is_wrong() {
    let url = format!("postgres://someone:s3cret@127.0.0.1:{}/db", free_port());
    let database = Database::open(&url).unwrap();
    let started = Instant::now();
    let error = database.ping().await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(1));
    let message = error.to_string();
    assert!(matches!(error, DbError::Unavailable { .. }), "{message}");
    assert!(
        message.contains("refused") && message.contains("someone:***@127.0.0.1"),
        "{message}"
    );
    assert!(!message.contains("s3cret") && !format!("{error:?} {database:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_wrong_role_or_database_is_not_taken_for_a_server_that_is_down() {
    let server = Postgres::start().unwrap();
    for wrong in [
        "nobody-knows-me@127.0.0.1:{}/postgres",
        "postgres@127.0.0.1:{}/no_such_database",
    ] {
        let url = format!(
            "postgres://{}",
            wrong.replace("{}", &server.port().to_string())
        );
        let error = Database::open(&url).unwrap().ping().await.unwrap_err();
        assert!(matches!(error, DbError::Refused { .. }), "{error:?}");
        assert!(!error.is_transient());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_is_unavailable_and_then_back() {
    let mut server = Postgres::start().unwrap();
    let database = short(&server);
    database
        .execute("CREATE TABLE t (id bigint)", &[])
        .await
        .unwrap();
    let mut changes = database.listen("news");
    while tokio::time::timeout(SHORT, changes.changed()).await.is_ok() {}

    let during: Result<(), DbError> = database
        .transaction(async |transaction| {
            transaction.execute("INSERT INTO t VALUES (1)", &[]).await?;
            server.kill();
            transaction
                .execute("INSERT INTO t VALUES (2)", &[])
                .await
                .map(|_| ())
        })
        .await;
    assert!(
        matches!(
            during,
            Err(DbError::Unavailable { .. } | DbError::Timeout { .. })
        ),
        "{during:?}"
    );
    let started = Instant::now();
    let error = database.ping().await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(
        started.elapsed() < SHORT * 4,
        "took {:?}",
        started.elapsed()
    );

    server.restart().unwrap();
    recovers(&database).await;
    assert!(
        database
            .query("SELECT id FROM t", &[])
            .await
            .unwrap()
            .is_empty(),
        "the transaction was rolled back"
    );
    tokio::time::timeout(PATIENCE, changes.changed())
        .await
        .expect("told after the reconnect: something may have been missed");
    while tokio::time::timeout(SHORT, changes.changed()).await.is_ok() {}
    let done: Result<(), DbError> = database
        .transaction(async |transaction| transaction.notify("news", "").await)
        .await;
    done.unwrap();
    tokio::time::timeout(Duration::from_secs(1), changes.changed())
        .await
        .expect("it listens again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_not_waited_for() {
    let server = Postgres::start().unwrap();
    let database = short(&server);
    recovers(&database).await;
    server.pause();
    for _ in 0..3 {
        let started = Instant::now();
        let error = database.ping().await.unwrap_err();
        assert!(
            matches!(error, DbError::Timeout { .. } | DbError::Unavailable { .. }),
            "{error}"
        );
        assert!(
            started.elapsed() < SHORT * 3,
            "took {:?}",
            started.elapsed()
        );
    }
    server.resume();
    recovers(&database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exhausted_pool_is_not_waited_for() {
    let fixture = support::Fixture::postgres();
    let options = Options {
        max_connections: 1,
        acquire_timeout: SHORT,
        ..Options::default()
    };
    let database = Database::open_with(&fixture.url(), options).unwrap();
    let result: Result<(), DbError> = database
        .transaction(async |_| {
            let error = database.ping().await.unwrap_err();
            assert!(matches!(error, DbError::Timeout { .. }), "{error}");
            Ok(())
        })
        .await;
    result.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_is_held_to_its_limit() {
    let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS n FROM n";
    for fixture in [support::Fixture::sqlite(), support::Fixture::postgres()] {
        let options = Options {
            statement_timeout: SHORT,
            max_connections: 1,
            ..Options::default()
        };
        let database = Database::open_with(&fixture.url(), options).unwrap();
        let started = Instant::now();
        let error = database.query(endless, &[]).await.unwrap_err();
        assert!(matches!(error, DbError::Timeout { .. }), "{error}");
        assert!(started.elapsed() < SHORT * 3);
        database.ping().await.unwrap();
        let inside: Result<(), DbError> = database
            .transaction(async |transaction| transaction.query(endless, &[]).await.map(|_| ()))
            .await;
        assert!(matches!(inside, Err(DbError::Timeout { .. })), "{inside:?}");
        database.ping().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_process_loses_its_transaction() {
    let fixture = support::Fixture::postgres();
    let options = Options {
        idle_transaction_timeout: Duration::from_millis(200),
        ..Options::default()
    };
    let database = Database::open_with(&fixture.url(), options).unwrap();
    database
        .execute("CREATE TABLE t (id bigint)", &[])
        .await
        .unwrap();
    let result: Result<(), DbError> = database
        .transaction(async |transaction| {
            transaction.execute("INSERT INTO t VALUES (1)", &[]).await?;
            // What a frozen process does: nothing, for longer than the limit.
            tokio::time::sleep(SHORT).await;
            Ok(())
        })
        .await;
    assert!(result.is_err());
    assert!(
        database
            .query("SELECT id FROM t", &[])
            .await
            .unwrap()
            .is_empty()
    );
}

#[test]
fn an_sqlite_file_that_cannot_be_made_says_so() {
    let folder = TestFolder::new().unwrap();
    let error =
        Database::open(&format!("sqlite:{}/missing/x.db", folder.path().display())).unwrap_err();
    assert!(
        error.to_string().contains("does not exist; make it first"),
        "{error}"
    );
    let error = Database::open(&folder.path().display().to_string()).unwrap_err();
    assert!(error.to_string().contains("cannot be written"), "{error}");
}

#[tokio::test]
async fn an_sqlite_file_is_private_and_a_foreign_one_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = TestFolder::new().unwrap();
    let path = folder.path().join("x.db");
    let database = Database::open(&path.display().to_string()).unwrap();
    database
        .execute("CREATE TABLE t (id integer)", &[])
        .await
        .unwrap();
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let foreign = folder.path().join("notes.txt");
    std::fs::write(
        &foreign,
        "not a database, but long enough to be looked at ".repeat(40),
    )
    .unwrap();
    let error = Database::open(&foreign.display().to_string()).unwrap_err();
    assert!(matches!(&error, DbError::Damaged { .. }), "{error}");
    assert!(!error.is_transient() && error.to_string().contains("notes.txt"));
}
