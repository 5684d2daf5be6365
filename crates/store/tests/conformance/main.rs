//! One suite for every back end: the same operations mean the same.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod file;
mod outage;
mod suite;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bastide_store::{
    MemoryLimits, MemoryStore, RedisOptions, RedisUrl, SqliteOptions, Store, StoreError,
};

use suite::Clock;
use support::PrivateRedis;

/// Runs a part of the suite against a fresh store of each kind.
macro_rules! conformance {
    ($($part:ident),* $(,)?) => {
        mod memory { $(
            #[tokio::test]
            async fn $part() {
                let time = super::Arc::new(super::AtomicU64::new(1));
                let told = time.clone();
                let clock = move || super::Duration::from_millis(told.load(super::Ordering::SeqCst));
                let store = super::MemoryStore::with_clock(super::MemoryLimits::default(), clock).into();
                super::suite::$part(store, super::Clock::Held(time)).await;
            }
        )* }
        mod sqlite { $(
            #[tokio::test]
            async fn $part() {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("store.db");
                let store = super::Store::sqlite(path, super::SqliteOptions::default()).await.unwrap();
                super::suite::$part(store, super::Clock::Real).await;
            }
        )* }
        mod redis { $(
            #[tokio::test]
            async fn $part() {
                let server = super::PrivateRedis::start().await;
                let url = super::RedisUrl::parse(&server.url()).unwrap();
                let store = super::Store::redis(&url, super::RedisOptions::default()).unwrap();
                super::suite::$part(store, super::Clock::Real).await;
            }
        )* }
    };
}

conformance!(
    values_are_put_read_and_deleted,
    values_expire,
    compare_and_set_changes_only_what_it_expects,
    only_one_of_many_sets_an_absent_key,
    numbers_are_added_up,
    namespaces_are_apart,
    messages_reach_those_who_listen,
    a_slow_listener_learns_that_it_missed_something,
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
