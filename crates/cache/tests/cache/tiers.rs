//! Values in two tiers: times, sizes, names, counts.

use std::convert::Infallible;
use std::time::Duration;

use bastide_auth::Clock;
use bastide_cache::{Cache, CacheOptions, Keep};
use bastide_telemetry::metrics::{Counter, Exposition, Registry};
use jiff::Timestamp;
use tokio::time::advance;

use crate::support::{Source, cache, eventually, key, memory, options, pairs, tag, tagged};

#[tokio::test]
async fn s8_a_value_is_computed_once_for_two_processes() {
    for (here, there) in pairs(options()).await {
        let source = Source::of(7);
        assert_eq!(source.through(&here, &key(1), &tagged()).await, 7);
        assert_eq!(source.through(&here, &key(1), &tagged()).await, 7);
        assert_eq!(source.through(&there, &key(1), &tagged()).await, 7);
        assert_eq!(source.through(&there, &key(1), &tagged()).await, 7);
        assert_eq!(source.asked(), 1);
        assert_eq!(source.through(&there, &key(2), &tagged()).await, 7);
        assert_eq!(source.asked(), 2);
        let counts = |cache: &Cache| {
            let counters = cache.counters();
            [
                &counters.hits_l1,
                &counters.hits_l2,
                &counters.misses,
                &counters.computes,
            ]
            .map(Counter::get)
        };
        assert_eq!(counts(&here), [1, 0, 1, 1]);
        assert_eq!(counts(&there), [1, 1, 1, 1]);
        assert_eq!(here.counters().hit_rate(), Some(0.5));
    }
}

#[tokio::test(start_paused = true)]
async fn each_tier_has_its_time_and_the_entrys_own_is_the_shortest() {
    let (clock, hands) = Clock::controlled(Timestamp::UNIX_EPOCH);
    let pass = async |seconds| {
        hands.advance(Duration::from_secs(seconds));
        advance(Duration::from_secs(seconds)).await;
    };
    let options = CacheOptions {
        l1_ttl: Duration::from_secs(60),
        l2_ttl: Duration::from_secs(600),
        clock,
        ..options()
    };
    let cache = cache(&memory(), options).await;
    let source = Source::of(1);
    source.through(&cache, &key(1), &Keep::new()).await;
    pass(61).await;
    source.through(&cache, &key(1), &Keep::new()).await;
    assert_eq!(cache.counters().hits_l2.get(), 1);
    pass(500).await;
    source.through(&cache, &key(1), &Keep::new()).await;
    assert_eq!((source.asked(), cache.counters().hits_l2.get()), (1, 2));
    // What came into memory late does not outlive its entry.
    pass(40).await;
    source.through(&cache, &key(1), &Keep::new()).await;
    assert_eq!(source.asked(), 2);

    let short = Keep::lasting(Duration::from_secs(5));
    source.through(&cache, &key(2), &short).await;
    pass(4).await;
    source.through(&cache, &key(2), &short).await;
    assert_eq!(source.asked(), 3);
    pass(1).await;
    source.through(&cache, &key(2), &short).await;
    assert_eq!(source.asked(), 4);
    let never = Keep::lasting(Duration::ZERO);
    source.through(&cache, &key(3), &never).await;
    source.through(&cache, &key(3), &never).await;
    assert_eq!(source.asked(), 6);
}

#[tokio::test(start_paused = true)]
async fn s8_memory_gives_json_while_it_is_fresh_and_not_void() {
    let (here, there) = {
        let store = memory();
        (
            cache(&store, options()).await,
            cache(&store, options()).await,
        )
    };
    let source = Source::of(7);
    assert_eq!(here.json_in_memory(&key(1)), None);
    source.through(&here, &key(1), &tagged()).await;
    assert_eq!(here.json_in_memory(&key(1)).unwrap(), "7");
    assert_eq!(here.counters().hits_l1.get(), 1);
    // Only of this process's memory, of this key and under this name.
    assert_eq!(there.json_in_memory(&key(1)), None);
    assert_eq!(here.json_in_memory(&key(2)), None);
    assert_eq!(here.named("users").json_in_memory(&key(1)), None);
    here.invalidate(&[tag("user")]).await;
    assert_eq!(here.json_in_memory(&key(1)), None);
    source.through(&here, &key(1), &tagged()).await;
    assert_eq!(here.json_in_memory(&key(1)).unwrap(), "7");
    advance(Duration::from_secs(61)).await;
    assert_eq!(here.json_in_memory(&key(1)), None);
    assert_eq!(here.counters().hits_l1.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn jitter_ends_values_apart_that_were_made_together() {
    let (clock, hands) = Clock::controlled(Timestamp::UNIX_EPOCH);
    let options = CacheOptions {
        jitter: 0.5,
        clock,
        ..options()
    };
    let cache = cache(&memory(), options).await;
    let source = Source::of(1);
    let keep = Keep::lasting(Duration::from_secs(40));
    for number in 0..100 {
        source.through(&cache, &key(number), &keep).await;
    }
    hands.advance(Duration::from_secs(30));
    advance(Duration::from_secs(30)).await;
    for number in 0..100 {
        source.through(&cache, &key(number), &keep).await;
    }
    assert!((120..180).contains(&source.asked()), "{}", source.asked());
}

#[tokio::test]
async fn one_tier_is_one_tier() {
    let alone = CacheOptions {
        multi_tier: false,
        ..options()
    };
    for (here, there) in pairs(alone).await {
        let source = Source::of(1);
        for cache in [&here, &here, &there] {
            source.through(cache, &key(1), &tagged()).await;
        }
        assert_eq!(source.asked(), 2);
        assert_eq!(here.counters().hits_l1.get(), 1);
    }
    let without_memory = CacheOptions {
        l1_entries: 0,
        ..options()
    };
    for (here, there) in pairs(without_memory).await {
        let source = Source::of(1);
        for cache in [&here, &here, &there] {
            source.through(cache, &key(1), &tagged()).await;
        }
        assert_eq!(source.asked(), 1);
        assert_eq!(here.counters().hits_l2.get(), 1);
    }
}

#[tokio::test]
async fn nothing_is_kept_of_errors_and_of_absence_only_if_asked() {
    for (here, there) in pairs(options()).await {
        let fails = async || Err::<u32, _>("down");
        for _ in 0..2 {
            let failed = here.get_or_compute(&key(1), &tagged(), fails).await;
            assert_eq!(failed, Err("down"));
        }
        assert_eq!(here.counters().compute_errors.get(), 2);

        let source = Source::of(1);
        let none = async || {
            source.read();
            Ok::<Option<u32>, Infallible>(None)
        };
        for cache in [&here, &there, &here] {
            let Ok(found) = cache.get_or_compute(&key(2), &tagged(), none).await;
            assert_eq!(found, None);
        }
        assert_eq!(source.asked(), 3);
        let absent = tagged().absent(Duration::from_secs(30));
        for cache in [&here, &there, &here] {
            let Ok(found) = cache.get_or_compute(&key(3), &absent, none).await;
            assert_eq!(found, None);
        }
        assert_eq!(source.asked(), 4);
    }
}

#[tokio::test]
async fn what_cannot_be_read_back_is_a_miss() {
    for (here, there) in pairs(options()).await {
        let text = async || Ok::<_, Infallible>("seven".to_owned());
        let Ok(_) = here.get_or_compute(&key(1), &tagged(), text).await;
        // Both tiers hold a text; the program is another by now.
        let source = Source::of(7);
        for cache in [&here, &there] {
            assert_eq!(source.through(cache, &key(1), &tagged()).await, 7);
        }
        assert_eq!(source.asked(), 1, "the first one put it right for both");
        assert_eq!(there.counters().unreadable.get(), 0);
        assert!(here.counters().unreadable.get() > 0);
    }
}

#[tokio::test]
async fn sizes_are_bounded_by_value_by_entries_and_by_bytes() {
    let small = CacheOptions {
        multi_tier: false,
        l1_entries: 100,
        l1_bytes: 40_000,
        max_value_bytes: 4_000,
        ..options()
    };
    let cache = cache(&memory(), small).await;
    let text = async |length: usize| Ok::<_, Infallible>("x".repeat(length));
    for _ in 0..2 {
        let Ok(_) = cache
            .get_or_compute(&key(0), &tagged(), || text(4_000))
            .await;
    }
    assert_eq!(cache.counters().too_large.get(), 2);
    assert_eq!(cache.counters().computes.get(), 2);
    let registry = Registry::new();
    cache.expose(&registry);
    let held = |name: &str| -> f64 {
        let shown = registry.render(Exposition::Prometheus);
        let line = shown
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")));
        line.unwrap().rsplit_once(' ').unwrap().1.parse().unwrap()
    };
    for number in 0..500 {
        let Ok(_) = cache
            .get_or_compute(&key(number), &tagged(), || text(10))
            .await;
    }
    let entries = held("bastide_cache_l1_entries");
    assert!((50.0..=100.0).contains(&entries), "{entries}");
    for number in 500..600 {
        let Ok(_) = cache
            .get_or_compute(&key(number), &tagged(), || text(3_000))
            .await;
    }
    assert!(held("bastide_cache_l1_bytes") <= 40_000.0);
    assert!(cache.counters().evictions.get() >= 500);
}

#[tokio::test]
async fn names_have_their_own_values_and_counts() {
    for (here, _) in pairs(options()).await {
        let (users, posts) = (here.named("users"), here.named("posts"));
        let (user, post) = (Source::of(1), Source::of(2));
        assert_eq!(user.through(&users, &key(1), &tagged()).await, 1);
        assert_eq!(post.through(&posts, &key(1), &tagged()).await, 2);
        assert_eq!(
            user.through(&here.named("users"), &key(1), &tagged()).await,
            1
        );
        assert_eq!(users.counters().hits_l1.get(), 1);
        users.clear().await;
        user.through(&users, &key(1), &tagged()).await;
        post.through(&posts, &key(1), &tagged()).await;
        assert_eq!((user.asked(), post.asked()), (2, 1));

        let registry = Registry::new();
        here.expose(&registry);
        let shown = registry.render(Exposition::Prometheus);
        for line in [
            "bastide_cache_hits_total{cache=\"users\",tier=\"l1\"} 1",
            "bastide_cache_misses_total{cache=\"users\"} 2",
            "bastide_cache_computes_total{cache=\"posts\"} 1",
            "bastide_cache_invalidations_total{cache=\"users\"} 1",
        ] {
            assert!(shown.contains(line), "{line} in {shown}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_past_its_time_is_served_while_one_computes_it_anew() {
    let (clock, hands) = Clock::controlled(Timestamp::UNIX_EPOCH);
    let options = CacheOptions { clock, ..options() };
    let store = memory();
    let (here, there) = (
        cache(&store, options.clone()).await,
        cache(&store, options).await,
    );
    let keep = Keep::lasting(Duration::from_secs(10));
    let source = Source::of(1);
    let ask = async |cache: &Cache| {
        let source = source.clone();
        let read = async move || Ok::<_, Infallible>(source.read());
        let Ok(value) = cache
            .get_or_refresh(&key(1), &keep, Duration::from_secs(30), read)
            .await;
        value
    };
    assert_eq!(ask(&here).await, 1);
    source.set(2);
    hands.advance(Duration::from_secs(11));
    advance(Duration::from_secs(11)).await;
    // Both have only the old one; the second takes it from the store.
    assert_eq!(ask(&here).await, 1);
    eventually("it was computed anew", async || source.asked() == 2).await;
    eventually("it is served", async || ask(&here).await == 2).await;
    eventually("there too", async || ask(&there).await == 2).await;
    assert_eq!(source.asked(), 2);
    // Past that time too, it is waited for.
    source.set(3);
    hands.advance(Duration::from_secs(41));
    advance(Duration::from_secs(41)).await;
    assert_eq!(ask(&here).await, 3);
    // What was invalidated is not served, however fresh.
    source.set(4);
    here.clear().await;
    assert_eq!(ask(&here).await, 4);
}
