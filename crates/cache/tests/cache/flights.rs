//! One computes for all, in a process and among processes, whatever becomes of the one.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bastide_cache::CacheOptions;
use tokio::sync::{Barrier, Notify, Semaphore};
use tokio::task::JoinSet;

use crate::support::{Source, cache, eventually, key, memory, options, pairs, tagged};

#[tokio::test]
async fn s8_many_callers_in_two_processes_compute_once() {
    for (here, there) in pairs(options()).await {
        let source = Source::of(7);
        let gate = Arc::new(Semaphore::new(0));
        let start = Arc::new(Barrier::new(100));
        let mut callers = JoinSet::new();
        for number in 0..100 {
            let cache = if number % 2 == 0 { &here } else { &there }.clone();
            let (source, gate, start) = (source.clone(), gate.clone(), start.clone());
            callers.spawn(async move {
                start.wait().await;
                let slow = async || {
                    let value = source.read();
                    let _pass = gate.acquire().await.unwrap();
                    Ok::<_, Infallible>(value)
                };
                let Ok(value) = cache.get_or_compute(&key(1), &tagged(), slow).await;
                value
            });
        }
        eventually("all are waiting", async || {
            let waits = here.counters().waits.get() + there.counters().waits.get();
            let remote = here.counters().remote_waits.get() + there.counters().remote_waits.get();
            waits == 98 && remote == 1
        })
        .await;
        gate.add_permits(100);
        assert!(callers.join_all().await.iter().all(|value| *value == 7));
        assert_eq!(source.asked(), 1);
    }
}

#[tokio::test]
async fn when_the_first_fails_is_cancelled_or_panics_the_next_goes_on() {
    for (here, there) in pairs(options()).await {
        for (number, end) in ["error", "cancelled", "panic"].into_iter().enumerate() {
            let key = key(number as u32);
            let begun = Arc::new(Notify::new());
            let go = Arc::new(Notify::new());
            let first = {
                let (cache, key) = (here.clone(), key.clone());
                let (begun, go) = (begun.clone(), go.clone());
                tokio::spawn(async move {
                    let ends = async || {
                        begun.notify_one();
                        go.notified().await;
                        assert!(end != "panic", "as the test wants it");
                        Err::<u32, _>("down")
                    };
                    cache.get_or_compute(&key, &tagged(), ends).await
                })
            };
            begun.notified().await;
            let source = Source::of(7);
            let waiting = |cache: &bastide_cache::Cache| {
                let (cache, key, source) = (cache.clone(), key.clone(), source.clone());
                tokio::spawn(async move { source.through(&cache, &key, &tagged()).await })
            };
            let (waits, remote_waits) = (
                here.counters().waits.get(),
                there.counters().remote_waits.get(),
            );
            let (near, far) = (waiting(&here), waiting(&there));
            eventually("both wait", async || {
                here.counters().waits.get() > waits
                    && there.counters().remote_waits.get() > remote_waits
            })
            .await;
            if end == "cancelled" {
                first.abort();
            } else {
                go.notify_one();
            }
            assert_eq!((near.await.unwrap(), far.await.unwrap()), (7, 7), "{end}");
            assert_eq!(source.asked(), 1, "{end}");
            let ended = first.await;
            assert_eq!(ended.is_err(), end != "error", "{end}: {ended:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_a_lease_lasts() {
    let options = CacheOptions {
        lease: Duration::from_secs(2),
        ..options()
    };
    let store = memory();
    let (here, there) = (
        cache(&store, options.clone()).await,
        cache(&store, options).await,
    );
    let stuck = {
        let here = here.clone();
        tokio::spawn(async move {
            let forever = async || std::future::pending::<Result<u32, Infallible>>().await;
            here.get_or_compute(&key(1), &tagged(), forever).await
        })
    };
    eventually("it computes", async || here.counters().computes.get() == 1).await;
    for cache in [&here, &there] {
        let start = tokio::time::Instant::now();
        assert_eq!(Source::of(7).through(cache, &key(1), &tagged()).await, 7);
        assert!(start.elapsed() < Duration::from_millis(2_100));
    }
    stuck.abort();
}
