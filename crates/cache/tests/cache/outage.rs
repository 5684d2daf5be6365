//! The store goes away and comes back.

use std::time::Duration;

use bastide_cache::{Cache, CacheOptions, Reach};
use bastide_testkit::Redis;
use tokio::time::Instant;

use crate::support::{Source, cache, eventually, key, options, redis, tag, tagged};

fn quick() -> CacheOptions {
    CacheOptions {
        store_timeout: Duration::from_millis(300),
        max_staleness: Duration::from_millis(800),
        ..options()
    }
}

async fn two(server: &Redis, options: CacheOptions) -> (Cache, Cache) {
    let url = server.url();
    (
        cache(&redis(&url), options.clone()).await,
        cache(&redis(&url), options).await,
    )
}

#[tokio::test]
async fn s8_without_the_store_the_cache_goes_on_and_pays_for_it_once() {
    let server = Redis::start().unwrap();
    let (here, _) = two(&server, quick()).await;
    let source = Source::of(1);
    source.through(&here, &key(0), &tagged()).await;
    // The worst kind: it takes everything and answers nothing.
    server.pause();
    let start = Instant::now();
    for number in 1..200 {
        assert_eq!(source.through(&here, &key(number), &tagged()).await, 1);
    }
    // One wait for the store, not 199.
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    assert!(here.counters().without_store.get() >= 198);
    assert!(here.totals().store_errors.get() >= 1);
    assert_eq!(source.through(&here, &key(0), &tagged()).await, 1);
    assert_eq!(source.through(&here, &key(7), &tagged()).await, 1);
    assert_eq!(source.asked(), 200, "memory still answers");
    server.resume();
    eventually("the store is used again", async || {
        here.named("again").clear().await == Reach::Everywhere
    })
    .await;
}

#[tokio::test]
async fn s8_what_was_invalidated_meanwhile_is_not_served_when_the_store_is_back() {
    let server = Redis::start().unwrap();
    let (here, there) = two(&server, quick()).await;
    let source = Source::of(1);
    for cache in [&here, &there] {
        source.through(cache, &key(1), &tagged()).await;
    }
    server.pause();
    source.set(2);
    assert_eq!(here.invalidate(&[tag("user")]).await, Reach::HereOnly);
    assert_eq!(source.through(&here, &key(1), &tagged()).await, 2);
    // The store still holds the old value, and the other process has not heard.
    server.resume();
    eventually("the other has heard", async || {
        assert_eq!(source.through(&here, &key(1), &tagged()).await, 2);
        source.through(&there, &key(1), &tagged()).await == 2
    })
    .await;
    // Once both use the store again, it holds nothing old.
    for (cache, other) in [(&here, &there), (&there, &here)] {
        let before = cache.counters().hits_l2.get();
        let mut number = 100;
        eventually("the store is used", async || {
            assert_eq!(source.through(cache, &key(1), &tagged()).await, 2);
            number += 1;
            source.through(other, &key(number), &tagged()).await;
            source.through(cache, &key(number), &tagged()).await;
            cache.counters().hits_l2.get() > before
        })
        .await;
    }
}

#[tokio::test]
async fn while_the_store_is_away_memory_is_trusted_for_a_shorter_time() {
    let mut server = Redis::start().unwrap();
    let options = CacheOptions {
        outage_ttl: Duration::ZERO,
        ..quick()
    };
    let (here, _) = two(&server, options).await;
    let source = Source::of(1);
    source.through(&here, &key(1), &tagged()).await;
    source.through(&here, &key(1), &tagged()).await;
    assert_eq!(source.asked(), 1);
    server.kill();
    eventually("memory is not trusted", async || {
        source.through(&here, &key(1), &tagged()).await;
        source.asked() > 1
    })
    .await;
    // It comes back empty, and is another store.
    server.restart().unwrap();
    eventually("memory is trusted again", async || {
        let before = source.asked();
        source.through(&here, &key(1), &tagged()).await;
        source.through(&here, &key(1), &tagged()).await;
        source.asked() == before
    })
    .await;
}

#[tokio::test]
async fn a_cache_may_be_made_while_the_store_is_away() {
    let mut server = Redis::start().unwrap();
    server.kill();
    let (here, there) = two(&server, quick()).await;
    let source = Source::of(1);
    assert_eq!(source.through(&here, &key(1), &tagged()).await, 1);
    assert_eq!(source.through(&here, &key(1), &tagged()).await, 1);
    assert_eq!(source.asked(), 1);
    server.restart().unwrap();
    let mut number = 1;
    eventually("it is shared", async || {
        number += 1;
        source.through(&here, &key(number), &tagged()).await;
        source.through(&there, &key(number), &tagged()).await;
        there.counters().hits_l2.get() > 0
    })
    .await;
    source.set(2);
    eventually("invalidations arrive", async || {
        here.invalidate(&[tag("user")]).await;
        source.through(&there, &key(1), &tagged()).await == 2
    })
    .await;
}
