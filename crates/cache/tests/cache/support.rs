//! Two processes are two caches over one store.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bastide_auth::TenantId;
use bastide_cache::{Cache, CacheOptions, Keep, Key, Tag};
use bastide_store::{MemoryLimits, MemoryStore, RedisOptions, RedisUrl, Store};
use bastide_testkit::{Redis, unique};
use tokio::time::Instant;

pub(crate) fn acme() -> TenantId {
    TenantId::parse("acme").unwrap()
}

pub(crate) fn key(argument: u32) -> Key {
    Key::for_tenant(&acme(), "users.find", &argument).unwrap()
}

pub(crate) fn tag(text: &str) -> Tag {
    Tag::for_tenant(&acme(), text)
}

/// A minute, under the tag `user`.
pub(crate) fn tagged() -> Keep {
    Keep::lasting(Duration::from_mins(1)).tag(tag("user"))
}

/// Without chance, and with patience for a slow machine.
pub(crate) fn options() -> CacheOptions {
    CacheOptions {
        jitter: 0.0,
        store_timeout: Duration::from_secs(1),
        ..CacheOptions::default()
    }
}

/// A store whose time is tokio's, which a test may hold.
pub(crate) fn memory() -> Store {
    let start = Instant::now();
    Store::from(MemoryStore::with_clock(
        MemoryLimits::default(),
        move || start.elapsed(),
    ))
}

pub(crate) fn redis(url: &str) -> Store {
    Store::redis(&RedisUrl::parse(url).unwrap(), RedisOptions::default()).unwrap()
}

pub(crate) async fn cache(store: &Store, options: CacheOptions) -> Cache {
    Cache::new(store, options).await.unwrap()
}

/// Both back ends, each seen by two processes under a prefix of the test's own.
pub(crate) async fn pairs(options: CacheOptions) -> [(Cache, Cache); 2] {
    let options = CacheOptions {
        prefix: unique("t"),
        ..options
    };
    let memory = Store::memory();
    let url = Redis::shared_url().unwrap();
    [
        (
            cache(&memory, options.clone()).await,
            cache(&memory, options.clone()).await,
        ),
        (
            cache(&redis(&url), options.clone()).await,
            cache(&redis(&url), options).await,
        ),
    ]
}

/// Where values come from: counts how often it was asked.
#[derive(Clone, Default)]
pub(crate) struct Source {
    value: Arc<AtomicU32>,
    asked: Arc<AtomicU32>,
}

impl Source {
    pub(crate) fn of(value: u32) -> Self {
        let source = Self::default();
        source.set(value);
        source
    }

    pub(crate) fn set(&self, value: u32) {
        self.value.store(value, Ordering::SeqCst);
    }

    pub(crate) fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn read(&self) -> u32 {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.value.load(Ordering::SeqCst)
    }

    pub(crate) async fn through(&self, cache: &Cache, key: &Key, keep: &Keep) -> u32 {
        let read = async || Ok::<_, Infallible>(self.read());
        let Ok(value) = cache.get_or_compute(key, keep, read).await;
        value
    }
}

pub(crate) async fn eventually(what: &str, mut ready: impl AsyncFnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !ready().await {
        assert!(std::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
