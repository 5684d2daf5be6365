//! `pool.min` and the idle timeout: which connections stay open while nobody needs them.
#![allow(clippy::unwrap_used, reason = "a test that panics says where")]

mod support;

use std::time::Duration;

use bastide_db::{Database, Options};
use futures_util::future::join_all;
use support::{Fixture, PATIENCE};

/// How many connections the server has of this name.
async fn connections(observer: &Database, name: &str) -> i64 {
    let sql = "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = $1";
    let rows = observer
        .query(sql, &[name.to_owned().into()])
        .await
        .unwrap();
    rows[0].get("n").unwrap()
}

async fn until_connections(observer: &Database, name: &str, wanted: i64) {
    let look = async {
        while connections(observer, name).await != wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let seen = tokio::time::timeout(PATIENCE, look).await;
    assert!(seen.is_ok(), "there were never {wanted} connections");
}

fn open(fixture: &Fixture, name: &str, idle_timeout: Duration) -> Database {
    let options = Options {
        min_connections: 3,
        max_connections: 8,
        idle_timeout,
        application_name: name.to_owned(),
        ..Options::default()
    };
    Database::open_with(&fixture.url(), options).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pool_min_connections_are_open_before_anybody_asks() {
    let fixture = Fixture::postgres();
    let observer = fixture.open();
    let database = open(&fixture, "kept", Duration::from_mins(5));
    assert_eq!(connections(&observer, "kept").await, 0);
    let tending = tokio::spawn(database.tend());
    until_connections(&observer, "kept", 3).await;
    drop(database);
    tokio::time::timeout(PATIENCE, async {
        until_connections(&observer, "kept", 0).await;
    })
    .await
    .unwrap();
    tending.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_beyond_the_minimum_are_closed() {
    let fixture = Fixture::postgres();
    let observer = fixture.open();
    let database = open(&fixture, "closed", Duration::from_millis(300));
    let busy = (0..8).map(|_| database.query("SELECT pg_sleep(0.1)", &[]));
    join_all(busy)
        .await
        .into_iter()
        .for_each(|done| drop(done.unwrap()));
    assert_eq!(connections(&observer, "closed").await, 8);
    let tending = tokio::spawn(database.tend());
    until_connections(&observer, "closed", 3).await;
    tending.abort();
}
