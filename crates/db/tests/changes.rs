//! Whoever listens learns of every change in under a second.

#![allow(clippy::unwrap_used, reason = "a failed test")]

mod support;

use std::time::Duration;

use bastide_db::{Changes, Database, DbError, Options};

use support::Fixture;

on_both!(
    a_change_by_another_node_is_noticed,
    a_listener_is_told_at_once_of_what_it_missed
);

const LIMIT: Duration = Duration::from_secs(1);

async fn table(fixture: &Fixture) -> Database {
    let database = fixture.open();
    database
        .execute("CREATE TABLE t (id bigint)", &[])
        .await
        .unwrap();
    database
}

async fn announce(database: &Database) {
    let done: Result<(), DbError> = database
        .transaction(async |transaction| {
            transaction.execute("INSERT INTO t VALUES (1)", &[]).await?;
            transaction.notify("news", "1").await
        })
        .await;
    done.unwrap();
}

/// Reads until it sees so many rows; every signal is followed by a look, as it is meant to be.
async fn sees(database: &Database, changes: &mut Changes, rows: usize) {
    while database.query("SELECT id FROM t", &[]).await.unwrap().len() < rows {
        changes.changed().await;
    }
}

async fn a_change_by_another_node_is_noticed(fixture: &Fixture) {
    let (here, there) = (table(fixture).await, fixture.open());
    let mut changes = here.listen("news");
    changes.changed().await;
    for round in 1..=3 {
        announce(&there).await;
        tokio::time::timeout(LIMIT, sees(&here, &mut changes, round))
            .await
            .expect("noticed within a second");
    }
}

async fn a_listener_is_told_at_once_of_what_it_missed(fixture: &Fixture) {
    let database = table(fixture).await;
    announce(&database).await;
    let mut changes = database.listen("news");
    tokio::time::timeout(Duration::from_millis(100), changes.changed())
        .await
        .expect("the first call returns at once");
}

/// Without the poll, so that it is the notification that is seen.
#[tokio::test]
async fn postgres_notifies() {
    let fixture = Fixture::postgres();
    let quiet = Options {
        poll_interval: Some(Duration::from_secs(3_600)),
        ..Options::default()
    };
    let (here, there) = (
        Database::open_with(&fixture.url(), quiet).unwrap(),
        table(&fixture).await,
    );
    let mut changes = here.listen("news");
    // At the start, at the first look, and when LISTEN stands.
    while tokio::time::timeout(Duration::from_millis(500), changes.changed())
        .await
        .is_ok()
    {}
    announce(&there).await;
    tokio::time::timeout(LIMIT, changes.changed())
        .await
        .expect("notified");
}

#[tokio::test]
async fn a_dropped_listener_closes_its_connection() {
    let fixture = Fixture::postgres();
    let database = fixture.open();
    let sessions = "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'";
    let count = async || {
        database.query(sessions, &[]).await.unwrap()[0]
            .get::<i64>("n")
            .unwrap()
    };
    let changes = database.listen("news");
    let until = async |wanted: i64| {
        while count().await != wanted {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(support::PATIENCE, until(1))
        .await
        .expect("it listens");
    drop(changes);
    tokio::time::timeout(support::PATIENCE, until(0))
        .await
        .expect("it is gone");
}
