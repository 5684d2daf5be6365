//! One suite for every back end: the same operations mean the same.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod cluster;
mod databases;
mod edges;
mod file;
mod locks;
mod outage;
mod sentinel;
mod suite;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bastide_store::{
    MemoryLimits, MemoryStore, RedisOptions, RedisUrl, SqliteOptions, Store, StoreError,
};

use bastide_testkit::RedisCluster;
use suite::Clock;
use support::PrivateRedis;

/// Runs a part of the suite against a fresh store of each kind.
macro_rules! conformance {
    ($($file:ident::$part:ident),* $(,)?) => {
        mod memory { $(
            #[tokio::test]
            async fn $part() {
                let time = super::Arc::new(super::AtomicU64::new(1));
                let told = time.clone();
                let clock = move || super::Duration::from_millis(told.load(super::Ordering::SeqCst));
                let store = super::MemoryStore::with_clock(super::MemoryLimits::default(), clock).into();
                super::$file::$part(store, super::Clock::Held(time)).await;
            }
        )* }
        mod sqlite { $(
            #[tokio::test]
            async fn $part() {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("store.db");
                let store = super::Store::sqlite(path, super::SqliteOptions::default()).await.unwrap();
                super::$file::$part(store, super::Clock::Real).await;
            }
        )* }
        mod redis_cluster { $(
            #[tokio::test]
            async fn $part() {
                let cluster = super::RedisCluster::start().unwrap();
                let url = format!("redis+cluster://{}", cluster.addresses());
                let url = super::RedisUrl::parse(&url).unwrap();
                let store = super::Store::redis(&url, super::RedisOptions::default()).unwrap();
                super::$file::$part(store, super::Clock::Real).await;
            }
        )* }
        mod redis { $(
            #[tokio::test]
            async fn $part() {
                let server = super::PrivateRedis::start().await;
                let url = super::RedisUrl::parse(&server.url()).unwrap();
                let store = super::Store::redis(&url, super::RedisOptions::default()).unwrap();
                super::$file::$part(store, super::Clock::Real).await;
            }
        )* }
    };
}

conformance!(
    suite::values_are_put_read_and_deleted,
    suite::values_expire,
    suite::compare_and_set_changes_only_what_it_expects,
    suite::only_one_of_many_sets_an_absent_key,
    suite::numbers_are_added_up,
    suite::namespaces_are_apart,
    suite::messages_reach_those_who_listen,
    suite::a_slow_listener_learns_that_it_missed_something,
    edges::the_shortest_and_the_longest_life,
    edges::what_has_expired_is_as_if_never_there,
    edges::nothing_may_be_expected_and_put,
    edges::a_change_brings_its_own_life,
    edges::numbers_are_written_in_one_way,
    edges::values_may_be_big,
    edges::keys_may_be_odd,
    edges::a_listener_hears_what_comes_after_it_in_order,
    edges::calls_that_are_given_up_harm_nobody,
    locks::one_of_many_takes_a_lock,
    locks::a_released_lock_is_free_and_tokens_grow,
    locks::a_lock_is_renewed_while_it_is_held,
    locks::a_frozen_holder_loses_the_lock_and_has_the_lesser_token,
    locks::a_lock_that_is_taken_away_is_lost,
);

#[tokio::test]
async fn memory_is_bounded() {
    let time = Arc::new(AtomicU64::new(1));
    let told = time.clone();
    let limits = MemoryLimits {
        entries: 3,
        bytes: 100,
    };
    let store: Store = MemoryStore::with_clock(limits, move || {
        Duration::from_millis(told.load(Ordering::SeqCst))
    })
    .into();
    let raw = store.raw();
    raw.set("a", b"1", Some(Duration::from_secs(1)))
        .await
        .unwrap();
    raw.set("b", b"2", None).await.unwrap();
    raw.set("c", b"3", None).await.unwrap();
    assert_eq!(raw.set("d", b"4", None).await, Err(StoreError::Full));
    // One may still be replaced, and what has expired makes room.
    raw.set("b", b"22", None).await.unwrap();
    time.fetch_add(1_001, Ordering::SeqCst);
    raw.set("d", b"4", None).await.unwrap();
    assert_eq!(raw.set("b", &[0; 200], None).await, Err(StoreError::Full));
    assert_eq!(
        raw.get("b").await.unwrap().as_deref(),
        Some(&b"22"[..]),
        "a refused change changes nothing"
    );
}
