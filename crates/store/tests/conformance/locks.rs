//! What only one may hold, and what its tokens promise.

use std::time::{Duration, Instant};

use bastide_store::{Guard, Store};
use tokio::task::spawn_blocking;

use crate::suite::{Clock, SHORT};
use crate::support::eventually;

const LONG: Duration = Duration::from_secs(60);
/// Short enough to be waited for, and long enough that a busy machine renews in time.
const TTL: Duration = Duration::from_millis(1_500);
const PATIENCE: Duration = Duration::from_secs(10);

/// Takes the lock as soon as it is free.
async fn taken(store: &Store, name: &str, ttl: Duration) -> Guard {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(guard) = store.lock(name, ttl).await.unwrap() {
            return guard;
        }
        assert!(Instant::now() < deadline, "{name} is never free");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Lets time pass for the store and for this process.
async fn pass(clock: &Clock, time: Duration) {
    clock.pass(time).await;
    if matches!(clock, Clock::Held(_)) {
        tokio::time::sleep(time).await;
    }
}

pub(crate) async fn one_of_many_takes_a_lock(store: Store, _: Clock) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let store = store.clone();
        tasks.spawn(async move { store.lock("one", LONG).await.unwrap() });
    }
    let guards: Vec<Guard> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(guards.len(), 1);
    assert!(!guards[0].is_lost());
    assert!(store.lock("other", LONG).await.unwrap().is_some());
}

pub(crate) async fn a_released_lock_is_free_and_tokens_grow(store: Store, _: Clock) {
    for name in ["", "a", "a}b", "{x}y", "{}", "%", "ключ"] {
        let mut last = 0;
        for _ in 0..3 {
            let guard = taken(&store, name, LONG).await;
            assert!(guard.token() > last, "{name:?}: {} {last}", guard.token());
            last = guard.token();
            assert!(store.lock(name, LONG).await.unwrap().is_none());
            assert_eq!(guard.release().await, Ok(true));
        }
        let dropped = taken(&store, name, LONG).await;
        last = dropped.token();
        drop(dropped);
        let next = taken(&store, name, Duration::MAX).await;
        assert!(next.token() > last);
        assert_eq!(next.release().await, Ok(true));
    }
}

pub(crate) async fn a_lock_is_renewed_while_it_is_held(store: Store, clock: Clock) {
    let guard = store.lock("l", TTL).await.unwrap().unwrap();
    // In small steps, so that a held clock does not overtake the renewal on a busy machine.
    for _ in 0..10 {
        pass(&clock, TTL / 6).await;
        assert!(store.lock("l", TTL).await.unwrap().is_none());
        assert!(!guard.is_lost());
    }
    assert_eq!(guard.release().await, Ok(true));
}

pub(crate) async fn a_frozen_holder_loses_the_lock_and_has_the_lesser_token(
    store: Store,
    clock: Clock,
) {
    // So that what carries the store's calls is not frozen too.
    store.ping().await.unwrap();
    let locking = store.clone();
    let freeze = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let guard = runtime.block_on(locking.lock("l", SHORT)).unwrap().unwrap();
        // Nothing runs on it from now on.
        (runtime, guard)
    };
    let (runtime, frozen) = spawn_blocking(freeze).await.unwrap();
    pass(&clock, SHORT).await;
    let next = taken(&store, "l", LONG).await;
    assert!(next.token() > frozen.token());
    assert!(frozen.is_lost(), "it can be seen before anything else runs");
    let thaw = move || {
        runtime.block_on(async {
            frozen.lost().await;
            frozen.release().await
        })
    };
    assert_eq!(spawn_blocking(thaw).await.unwrap(), Ok(false));
    assert!(!next.is_lost());
    assert!(store.lock("l", LONG).await.unwrap().is_none());
    assert_eq!(next.release().await, Ok(true));
}

pub(crate) async fn a_lock_that_is_taken_away_is_lost(store: Store, _: Clock) {
    let guard = store.lock("l", TTL).await.unwrap().unwrap();
    assert!(store.raw().delete("locks:{l}").await.unwrap());
    tokio::time::timeout(PATIENCE, guard.lost()).await.unwrap();
    assert!(guard.is_lost());
    let token = guard.token();
    assert_eq!(guard.release().await, Ok(false));
    eventually("the next has the greater token", async || {
        let next = store.lock("l", SHORT).await.unwrap();
        next.is_some_and(|next| next.token() > token)
    })
    .await;
}
