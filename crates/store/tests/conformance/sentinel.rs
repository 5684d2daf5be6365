//! A master whose replica takes over.

use std::time::{Duration, Instant};

use bastide_store::{Event, Kind, RedisOptions, RedisUrl, Store, StoreError};
use bastide_testkit::RedisSentinel;

use crate::edges::calls_that_are_given_up_harm_nobody;
use crate::suite::{Clock, numbers_are_added_up, values_expire};

const LIMIT: Duration = Duration::from_millis(500);

fn store(address: &str) -> Store {
    let options = RedisOptions {
        connect_timeout: LIMIT,
        response_timeout: LIMIT,
    };
    let url = RedisUrl::parse(&format!("redis+sentinel://{address}")).unwrap();
    Store::redis(&url, options).unwrap()
}

/// Asks until it works. Whatever goes wrong until then has to say that the store is away, and to say it in time.
async fn until_back(store: &Store) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let start = Instant::now();
        let result = store.raw().set("after", b"1", None).await;
        assert!(start.elapsed() < 2 * LIMIT, "{:?}", start.elapsed());
        match result {
            Ok(()) => return,
            Err(error) => assert!(error.is_unavailable(), "{error:?}"),
        }
        assert!(Instant::now() < deadline, "no master in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_store_comes_back_on_the_replica() {
    let mut redises = RedisSentinel::start().unwrap();
    let store = store(&redises.address());
    assert_eq!(store.kind(), Kind::Redis);
    let raw = store.raw();
    raw.set("before", b"1", None).await.unwrap();
    let mut listener = raw.subscribe("news").await.unwrap();
    redises.wait_for_replica().unwrap();
    redises.master().kill();
    assert!(raw.get("before").await.unwrap_err().is_unavailable());
    until_back(&store).await;
    assert_eq!(raw.get("before").await.unwrap().as_deref(), Some(&b"1"[..]));
    let patience = Duration::from_secs(10);
    let event = tokio::time::timeout(patience, listener.next()).await;
    assert_eq!(event.unwrap(), Some(Event::Missed));
    raw.publish("news", b"2").await.unwrap();
    let event = tokio::time::timeout(patience, listener.next()).await;
    assert_eq!(event.unwrap(), Some(Event::Message(b"2".to_vec())));
    // One's own connections lead to the new master too.
    let redis = store.as_redis().unwrap();
    let mut own = redis.connect(LIMIT).await.unwrap();
    own.server_life(LIMIT).await.unwrap();
}

#[tokio::test]
async fn a_master_that_hangs_is_left_too() {
    let mut redises = RedisSentinel::start().unwrap();
    let store = store(&redises.address());
    store.raw().set("before", b"1", None).await.unwrap();
    redises.master().pause();
    assert_eq!(
        store.raw().get("before").await,
        Err(StoreError::Timeout(LIMIT))
    );
    until_back(&store).await;
    redises.master().resume();
    until_back(&store).await;
}

#[tokio::test]
async fn a_name_that_no_sentinel_knows_is_unavailable() {
    let redises = RedisSentinel::start().unwrap();
    let store = store(&redises.address().replace("bastide", "other"));
    let error = store.ping().await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    assert!(error.to_string().contains("sentinel"), "{error}");
}

#[tokio::test]
async fn the_database_of_the_url_is_used() {
    let redises = RedisSentinel::start().unwrap();
    let other = store(&format!("{}/3", redises.address()));
    other.raw().set("k", b"3", None).await.unwrap();
    let first = store(&redises.address());
    assert_eq!(first.raw().get("k").await.unwrap(), None);
    assert_eq!(
        other.raw().get("k").await.unwrap().as_deref(),
        Some(&b"3"[..])
    );
}

#[tokio::test]
async fn operations_mean_the_same() {
    let mut redises = RedisSentinel::start().unwrap();
    let store = store(&redises.address());
    values_expire(store.clone(), Clock::Real).await;
    redises.master().flush().unwrap();
    numbers_are_added_up(store.clone(), Clock::Real).await;
    redises.master().flush().unwrap();
    calls_that_are_given_up_harm_nobody(store, Clock::Real).await;
}
