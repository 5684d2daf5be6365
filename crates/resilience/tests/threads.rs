//! Many threads on one breaker and one health state: the bounds hold whatever the order.

use bastide_resilience::breaker::{Breaker, BreakerConfig, Outcome, State};
use bastide_resilience::health::{Health, HealthConfig};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const THREADS: u64 = 8;

#[test]
fn half_open_admits_k_probes_however_many_threads_ask() {
    const OPEN_FOR: u64 = 1_000_000;
    const K: u32 = 3;
    let breaker = Breaker::new(BreakerConfig {
        failure_threshold: 1,
        success_threshold: K,
        open_for: Duration::from_micros(OPEN_FOR),
    });
    let start = Barrier::new(THREADS as usize);
    let (admitted, closed, opened) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
    let rounds = 200;
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for round in 0..rounds {
                    let now = round * 2 * OPEN_FOR;
                    // Everybody fails at once: one opens, the others come too late.
                    start.wait();
                    let permit = breaker.try_acquire(now);
                    start.wait();
                    let change =
                        permit.and_then(|permit| breaker.record(permit, Outcome::Failure, now));
                    opened.fetch_add(u32::from(change == Some(State::Open)), Ordering::Relaxed);
                    start.wait();
                    assert!(breaker.try_acquire(now).is_none());
                    start.wait();
                    // Everybody asks at once: K get a place, and their successes close it.
                    let probe = breaker.try_acquire(now + OPEN_FOR);
                    admitted.fetch_add(u32::from(probe.is_some()), Ordering::Relaxed);
                    start.wait();
                    let change = probe
                        .and_then(|probe| breaker.record(probe, Outcome::Success, now + OPEN_FOR));
                    closed.fetch_add(u32::from(change == Some(State::Closed)), Ordering::Relaxed);
                    start.wait();
                }
            });
        }
    });
    let rounds = rounds as u32;
    assert_eq!(opened.into_inner(), rounds);
    assert_eq!(admitted.into_inner(), rounds * K);
    assert_eq!(closed.into_inner(), rounds);
}

#[test]
fn a_breaker_comes_to_rest_after_mixed_load() {
    const K: u32 = 2;
    let breaker = Breaker::new(BreakerConfig {
        failure_threshold: 3,
        success_threshold: K,
        open_for: Duration::from_millis(1),
    });
    let clock = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (breaker, clock) = (&breaker, &clock);
            scope.spawn(move || {
                let mut random = thread + 1;
                for _ in 0..50_000 {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    let now = clock.fetch_add(1, Ordering::Relaxed);
                    if let Some(permit) = breaker.try_acquire(now) {
                        match random >> 61 {
                            0 => breaker.cancel(permit),
                            1..4 => drop(breaker.record(permit, Outcome::Failure, now)),
                            4 => drop(breaker.record(permit, Outcome::Neutral, now)),
                            _ => drop(breaker.record(permit, Outcome::Success, now)),
                        }
                    }
                }
            });
        }
    });
    // No place is still taken: whatever state it ended in, K answers at most close it.
    let later = clock.into_inner() + 10_000;
    let mut answers = 0;
    while breaker.state(later) != State::Closed {
        let permit = breaker
            .try_acquire(later)
            .expect("every place was given back");
        breaker.record(permit, Outcome::Success, later);
        answers += 1;
    }
    assert!(answers <= K);
}

#[test]
fn flips_of_health_are_told_once_each() {
    let health = Health::new(HealthConfig {
        healthy_threshold: 2,
        unhealthy_threshold: 3,
    });
    let balance = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (health, balance) = (&health, &balance);
            scope.spawn(move || {
                for at in 0..50_000 {
                    match health.record((at / 5 + thread) % 2 == 0) {
                        Some(true) => balance.fetch_add(1, Ordering::Relaxed),
                        Some(false) => balance.fetch_sub(1, Ordering::Relaxed),
                        None => 0,
                    };
                }
            });
        }
    });
    // It began healthy, so flips to unhealthy are as many as those to healthy, or one more.
    let expected = if health.is_healthy() { 0 } else { u64::MAX };
    assert_eq!(balance.into_inner(), expected);
}
