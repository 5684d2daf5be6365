//! After an invalidation no process serves the old value, from the stated time on.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bastide_cache::{Cache, CacheOptions, Keep, Reach, Tag};
use bastide_store::{Namespace, Store};
use bastide_testkit::{Redis, unique};
use proptest::prelude::*;
use tokio::sync::Notify;
use tokio::time::{Instant, advance};

use crate::support::{
    Source, acme, cache, eventually, key, memory, options, pairs, redis, tag, tagged,
};

#[tokio::test]
async fn s8_an_invalidation_in_one_process_is_seen_by_the_other() {
    let bound = CacheOptions::default().max_staleness;
    let alone = CacheOptions {
        multi_tier: false,
        ..options()
    };
    for options in [options(), alone] {
        for (here, there) in pairs(options).await {
            let source = Source::of(1);
            for cache in [&here, &there] {
                assert_eq!(source.through(cache, &key(1), &tagged()).await, 1);
            }
            source.set(2);
            assert_eq!(here.invalidate(&[tag("user")]).await, Reach::Everywhere);
            let returned = Instant::now();
            assert_eq!(source.through(&here, &key(1), &tagged()).await, 2);
            eventually("the other sees it", async || {
                let asked = Instant::now();
                let value = source.through(&there, &key(1), &tagged()).await;
                assert!(value == 2 || asked - returned < bound);
                value == 2
            })
            .await;
            assert_eq!(there.totals().heard.get(), 1);
            assert_eq!(there.totals().l1_drops.get(), 0);
        }
    }
}

#[tokio::test]
async fn an_invalidation_concerns_its_tag_and_tenant() {
    for (here, _) in pairs(options()).await {
        let source = Source::of(1);
        source.through(&here, &key(1), &tagged()).await;
        let other = bastide_auth::TenantId::parse("globex").unwrap();
        for unrelated in [
            tag("users"),
            Tag::shared("user"),
            Tag::for_tenant(&other, "user"),
        ] {
            here.invalidate(&[unrelated]).await;
        }
        source.through(&here, &key(1), &tagged()).await;
        assert_eq!((source.asked(), here.counters().hits_l1.get()), (1, 1));
        // Who asks under other tags would not learn of their invalidation.
        source.through(&here, &key(1), &Keep::new()).await;
        assert_eq!(source.asked(), 2);
        // The order and number of tags say nothing.
        let twice = Keep::new().tags([tag("b"), tag("a"), tag("b")]);
        let once = Keep::new().tags([tag("a"), Tag::for_tenant(&acme(), "b")]);
        source.through(&here, &key(2), &twice).await;
        source.through(&here, &key(2), &once).await;
        assert_eq!(source.asked(), 3);
    }
}

/// Computed before, stored after: by the process that invalidates, and by another.
#[tokio::test]
async fn s8_a_value_from_before_an_invalidation_is_not_kept_after_it() {
    for (here, there) in pairs(options()).await {
        for (number, by) in [(1, &here), (2, &there)] {
            let source = Source::of(1);
            let (read, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
            let early = {
                let (cache, source) = (here.clone(), source.clone());
                let (read, go) = (read.clone(), go.clone());
                tokio::spawn(async move {
                    let slow = async || {
                        let value = source.read();
                        read.notify_one();
                        go.notified().await;
                        Ok::<_, Infallible>(value)
                    };
                    let Ok(value) = cache.get_or_compute(&key(number), &tagged(), slow).await;
                    value
                })
            };
            read.notified().await;
            source.set(2);
            by.invalidate(&[tag("user")]).await;
            if number == 1 {
                // Who asks now does not wait for the old value, and does not get it.
                let late = {
                    let (cache, source) = (here.clone(), source.clone());
                    tokio::spawn(
                        async move { source.through(&cache, &key(number), &tagged()).await },
                    )
                };
                eventually("it asks on its own", async || {
                    here.counters().remote_waits.get() > 0
                })
                .await;
                go.notify_one();
                assert_eq!(late.await.unwrap(), 2);
            } else {
                go.notify_one();
            }
            assert_eq!(early.await.unwrap(), 1, "it asked before");
            assert_eq!(source.through(&there, &key(number), &tagged()).await, 2);
            eventually("everywhere", async || {
                source.through(&here, &key(number), &tagged()).await == 2
            })
            .await;
        }
    }
}

/// Callers who read all the time find the old value in the store until the moment it is made void there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s8_when_it_has_returned_its_own_process_serves_nothing_old() {
    for (here, there) in pairs(options()).await {
        let source = Source::of(0);
        let mut readers = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let (cache, source) = (here.clone(), source.clone());
            readers.spawn(async move {
                loop {
                    source.through(&cache, &key(1), &tagged()).await;
                    tokio::task::yield_now().await;
                }
            });
        }
        for round in 1..150 {
            source.through(&there, &key(1), &tagged()).await;
            source.set(round);
            here.invalidate(&[tag("user")]).await;
            let value = source.through(&here, &key(1), &tagged()).await;
            assert_eq!(value, round);
        }
        readers.shutdown().await;
    }
}

#[tokio::test]
async fn an_invalidation_goes_on_when_its_caller_is_cancelled() {
    for (here, there) in pairs(options()).await {
        let source = Source::of(1);
        for cache in [&here, &there] {
            source.through(cache, &key(1), &tagged()).await;
        }
        source.set(2);
        let tags = [tag("user")];
        let mut telling = Box::pin(here.invalidate(&tags));
        // One poll, and then the client is gone.
        tokio::select! {
            biased;
            _ = &mut telling => {}
            () = std::future::ready(()) => {}
        }
        drop(telling);
        eventually("the other sees it", async || {
            source.through(&there, &key(1), &tagged()).await == 2
        })
        .await;
    }
}

/// A notice that is lost is missed by its number: at the next check, and no later than the bound.
#[tokio::test]
async fn a_lost_notice_empties_memory_within_the_bound() {
    let url = Redis::shared_url().unwrap();
    for store in [memory(), redis(&url)] {
        let prefix = unique("t");
        let options = CacheOptions {
            prefix: prefix.clone(),
            ..options()
        };
        let cache = cache(&store, options.clone()).await;
        let source = Source::of(1);
        source.through(&cache, &key(1), &tagged()).await;
        // Another process invalidated, and its notice was lost.
        let space = store.namespace(Namespace::Cache);
        let seq = format!("{prefix}seq");
        assert_eq!(space.increment(&seq, 1, None).await.unwrap(), 1);
        let lost = Instant::now();
        eventually("it was missed", async || cache.totals().l1_drops.get() == 1).await;
        assert!(lost.elapsed() < options.max_staleness);
        // A store that has forgotten everything is another store.
        space.delete(&format!("{prefix}id")).await.unwrap();
        eventually("it was noticed", async || {
            cache.totals().l1_drops.get() == 2
        })
        .await;
    }
}

#[tokio::test]
async fn a_store_that_falls_back_to_an_earlier_state_is_begun_anew() {
    for store in [memory(), redis(&Redis::shared_url().unwrap())] {
        let prefix = unique("t");
        let options = CacheOptions {
            prefix: prefix.clone(),
            ..options()
        };
        let cache = cache(&store, options).await;
        let source = Source::of(1);
        for _ in 0..3 {
            cache.invalidate(&[tag("other")]).await;
        }
        source.through(&cache, &key(1), &tagged()).await;
        eventually("it heard all", async || cache.totals().heard.get() == 3).await;
        let space = store.namespace(Namespace::Cache);
        let seq = format!("{prefix}seq");
        space.set(&seq, b"1", None).await.unwrap();
        eventually("it was noticed", async || {
            cache.totals().l1_drops.get() == 1
        })
        .await;
        eventually("it is computed anew", async || {
            source.through(&cache, &key(1), &tagged()).await;
            source.asked() == 2
        })
        .await;
    }
}

#[derive(Debug, Clone)]
enum Step {
    Read(usize, u32),
    /// Changes what a tag stands for and says so.
    Change(usize, u32),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_usize..3, 0_u32..3).prop_map(|(process, key)| Step::Read(process, key)),
        2 => (0_usize..3, 0_u32..3).prop_map(|(process, key)| Step::Change(process, key)),
        1 => (0_u64..3_000).prop_map(Step::Pass),
    ]
}

async fn play(steps: Vec<Step>, store: Store, options: CacheOptions) {
    let bound = options.max_staleness;
    let mut processes: Vec<Cache> = Vec::new();
    for _ in 0..3 {
        processes.push(cache(&store, options.clone()).await);
    }
    let sources = [Source::of(0), Source::of(0), Source::of(0)];
    let mut changed = [(Instant::now(), 0_usize); 3];
    let mut versions = [0_u32; 3];
    for step in steps {
        match step {
            Step::Read(process, number) => {
                let index = number as usize;
                let keep = Keep::new().tag(tag(&number.to_string()));
                let (source, cache) = (&sources[index], &processes[process]);
                let value = source.through(cache, &key(number), &keep).await;
                let (at, by) = changed[index];
                let may_be_old = process != by && at.elapsed() <= bound;
                assert!(value == versions[index] || may_be_old, "{process} {number}");
            }
            Step::Change(process, number) => {
                let index = number as usize;
                versions[index] += 1;
                sources[index].set(versions[index]);
                let tags = [tag(&number.to_string())];
                assert_eq!(
                    processes[process].invalidate(&tags).await,
                    Reach::Everywhere
                );
                changed[index] = (Instant::now(), process);
            }
            Step::Pass(millis) => advance(Duration::from_millis(millis)).await,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// After `invalidate` returned, its own process serves the old value no more, and the others not after the bound.
    #[test]
    fn s8_no_process_serves_an_old_value_later_than_the_bound(
        steps in proptest::collection::vec(step(), 1..60),
        multi_tier: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let options = CacheOptions { multi_tier, ..options() };
            play(steps, memory(), options).await;
        });
    }
}
