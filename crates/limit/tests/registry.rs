//! Limits outlive the configuration that names them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bastide_limit::{LimitKey, Limiter, Policy, Rate, clock};

fn policy(limit: u32, window_ms: u64) -> Policy {
    Policy::new(Rate::Window { limit, window_ms }).unwrap()
}

fn key() -> LimitKey {
    LimitKey::new("tenant", "acme")
}

#[test]
fn the_same_policy_gives_the_same_limit() {
    let limiter = Limiter::local();
    let first = limiter.handle(key(), &policy(5, 60_000));
    assert!(std::sync::Arc::ptr_eq(
        &first,
        &limiter.clone().handle(key(), &policy(5, 60_000))
    ));
}

#[test]
fn another_number_goes_on_with_the_same_counts() {
    let limiter = Limiter::local();
    let now = clock::now();
    let before = limiter.handle(key(), &policy(5, 60_000));
    (0..5).for_each(|_| assert!(before.try_acquire(now).is_admitted()));
    let after = limiter.handle(key(), &policy(7, 60_000));
    assert!(after.try_acquire(now).is_admitted());
    // A request that still runs under the old configuration counts under the new one too.
    assert!(!before.try_acquire(now).is_admitted());
    assert!(after.try_acquire(now).is_admitted());
    assert!(!after.try_acquire(now).is_admitted());
}

#[test]
fn another_window_starts_from_what_was_used() {
    let limiter = Limiter::local();
    let before = limiter.handle(key(), &policy(5, 60_000));
    (0..5).for_each(|_| assert!(before.try_acquire(clock::now()).is_admitted()));
    let after = limiter.handle(key(), &policy(7, 120_000));
    drop(before);
    assert!(after.try_acquire(clock::now()).is_admitted());
    assert!(after.try_acquire(clock::now()).is_admitted());
    assert!(!after.try_acquire(clock::now()).is_admitted());
}

#[test]
fn what_nobody_holds_is_forgotten() {
    let limiter = Limiter::local();
    let held = limiter.handle(key(), &policy(1, 60_000));
    assert!(held.try_acquire(clock::now()).is_admitted());
    for id in 0..10_000 {
        drop(limiter.handle(LimitKey::new("tenant", &id.to_string()), &policy(1, 60_000)));
    }
    assert!(
        format!("{limiter:?}").len() < 20_000,
        "the registry stays small"
    );
    assert!(
        !limiter
            .handle(key(), &policy(1, 60_000))
            .try_acquire(clock::now())
            .is_admitted()
    );
}
