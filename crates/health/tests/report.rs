//! Reports under a paused clock: what hangs, what panics, who shares a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bastide_health::{
    Condition, Health, Indicator, Report, Status, Thresholds, Verdict, memory, runtime_lag,
};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

fn condition(report: &Report, name: &str) -> Condition {
    report.checks[name].status
}

fn message<'r>(report: &'r Report, name: &str) -> &'r str {
    report.checks[name].message.as_deref().unwrap_or_default()
}

/// A check that counts its runs.
fn counted(runs: &Arc<AtomicU32>, takes: Duration) -> Indicator {
    let runs = Arc::clone(runs);
    Indicator::new("counted", move || {
        runs.fetch_add(1, Ordering::Relaxed);
        async move {
            tokio::time::sleep(takes).await;
            Verdict::Healthy
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_hung_check_delays_a_report_by_its_timeout_at_most() {
    let health = Health::new("1")
        .with(Indicator::new("hung", std::future::pending).timeout(3 * SECOND))
        .with(Indicator::new("fine", || async { Verdict::Healthy }));
    let begun = Instant::now();
    let report = health.report().await;
    assert!(begun.elapsed() < 3 * SECOND + Duration::from_millis(10));
    assert_eq!(report.status, Status::Unready);
    assert_eq!(message(&report, "hung"), "no answer within 3s");
    assert_eq!(condition(&report, "fine"), Condition::Healthy);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_check_is_a_failure_of_that_check() {
    let health =
        Health::new("1").with(Indicator::new("bad", || async { panic!("on purpose") }).optional());
    let report = health.report().await;
    assert_eq!(
        (report.status, condition(&report, "bad")),
        (Status::Degraded, Condition::Unhealthy)
    );
}

#[tokio::test(start_paused = true)]
async fn a_result_is_given_again_until_it_is_old() {
    let runs = Arc::new(AtomicU32::new(0));
    let health = Health::new("1").with(counted(&runs, Duration::ZERO).cache_for(5 * SECOND));
    health.report().await;
    tokio::time::advance(4 * SECOND).await;
    health.report().await;
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    tokio::time::advance(2 * SECOND).await;
    health.report().await;
    assert_eq!(runs.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn who_asks_at_once_shares_one_run() {
    let runs = Arc::new(AtomicU32::new(0));
    let health = Arc::new(Health::new("1").with(counted(&runs, SECOND).cache_for(Duration::ZERO)));
    let asked = (0..20).map(|_| {
        let health = Arc::clone(&health);
        tokio::spawn(async move { health.report().await.status })
    });
    for report in asked.collect::<Vec<_>>() {
        assert_eq!(report.await.unwrap(), Status::Ready);
    }
    assert_eq!(runs.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn failures_count_in_a_row() {
    let fails = Arc::new(AtomicU32::new(1));
    let of_check = Arc::clone(&fails);
    let check = Indicator::new("flaky", move || {
        let fails = of_check.load(Ordering::Relaxed) == 1;
        async move { Verdict::from(if fails { Err("refused") } else { Ok(()) }) }
    });
    let health = Health::new("1").with(check.unhealthy_after(2).cache_for(Duration::ZERO));

    let report = health.report().await;
    assert_eq!(
        (report.status, message(&report, "flaky")),
        (Status::Degraded, "refused (failure 1 of 2)")
    );
    tokio::time::advance(SECOND).await;
    assert_eq!(health.report().await.status, Status::Unready);
    fails.store(0, Ordering::Relaxed);
    tokio::time::advance(SECOND).await;
    assert_eq!(health.report().await.status, Status::Ready);
    fails.store(1, Ordering::Relaxed);
    tokio::time::advance(SECOND).await;
    assert_eq!(health.report().await.status, Status::Degraded);
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_is_degraded() {
    let runs = Arc::new(AtomicU32::new(0));
    let health =
        Health::new("1").with(counted(&runs, SECOND).degraded_at(Duration::from_millis(500)));
    let report = health.report().await;
    assert_eq!(report.status, Status::Degraded);
    assert_eq!(message(&report, "counted"), "answered only after 1s");
}

#[tokio::test(start_paused = true)]
async fn draining_is_unready_at_once_and_asks_nobody() {
    let runs = Arc::new(AtomicU32::new(0));
    let health = Health::new("1").with(counted(&runs, SECOND));
    health.drain();
    let begun = Instant::now();
    let report = health.report().await;
    assert_eq!(
        (report.status, report.draining, begun.elapsed()),
        (Status::Unready, true, Duration::ZERO)
    );
    assert_eq!(runs.load(Ordering::Relaxed), 0);
    assert!(health.is_alive());
}

#[tokio::test]
async fn memory_and_lag_are_measured() {
    let generous = Thresholds {
        degraded: 1e9,
        unhealthy: 2e9,
    };
    let health = Health::new("1")
        .with(memory(generous))
        .with(runtime_lag(generous));
    assert_eq!(health.report().await.status, Status::Ready);

    let strict = Thresholds {
        degraded: 0.0,
        unhealthy: 1e9,
    };
    let health = Health::new("1").with(memory(strict));
    assert!(message(&health.report().await, "memory").starts_with("memory is "));
}

#[test]
#[should_panic(expected = "two indicators are called `a`")]
fn names_are_unique() {
    let check = || Indicator::new("a", || async { Verdict::Healthy });
    let _ = Health::new("1").with(check()).with(check());
}
