use super::*;
use proptest::prelude::*;
use std::thread;

const SECOND: u64 = 1_000_000;

fn budget(ttl: u64, min_per_second: u32, percent: u32) -> Budget {
    Budget::new(BudgetConfig {
        ttl: Duration::from_secs(ttl),
        min_per_second,
        percent,
    })
}

fn withdraw_all(budget: &Budget, now: u64) -> usize {
    std::iter::repeat_with(|| budget.withdraw(now))
        .take_while(|granted| *granted)
        .count()
}

#[test]
fn g7_the_floor_is_there_without_requests() {
    assert_eq!(withdraw_all(&Budget::default(), 0), 100);
}

#[test]
fn g7_requests_buy_their_share() {
    let budget = budget(10, 0, 20);
    assert_eq!(withdraw_all(&budget, 0), 0);
    for _ in 0..104 {
        budget.deposit(0);
    }
    assert_eq!(withdraw_all(&budget, 0), 20);
    budget.deposit(0);
    assert_eq!(withdraw_all(&budget, 0), 1, "the fraction had been kept");
}

#[test]
fn g7_deposits_expire() {
    let budget = budget(10, 0, 100);
    budget.deposit(0);
    assert_eq!(withdraw_all(&budget, 11 * SECOND), 0);
    budget.deposit(11 * SECOND);
    assert_eq!(withdraw_all(&budget, 20 * SECOND), 1);
}

#[test]
fn g7_withdrawals_expire() {
    let budget = budget(10, 1, 0);
    assert_eq!(withdraw_all(&budget, 5 * SECOND), 10);
    assert_eq!(withdraw_all(&budget, 15 * SECOND), 0);
    assert_eq!(withdraw_all(&budget, 16 * SECOND), 10);
}

#[test]
fn g7_a_long_silence_leaves_a_fresh_budget() {
    let budget = budget(10, 1, 0);
    assert_eq!(withdraw_all(&budget, 0), 10);
    assert_eq!(withdraw_all(&budget, 10_000_000 * SECOND), 10);
}

#[test]
fn g7_a_thread_that_lags_spends_from_the_same_window() {
    let budget = budget(10, 1, 0);
    assert_eq!(withdraw_all(&budget, 30 * SECOND), 10);
    assert_eq!(withdraw_all(&budget, 29 * SECOND), 0);
    budget.deposit(3 * SECOND);
    assert_eq!(withdraw_all(&budget, 30 * SECOND), 0);
}

#[test]
fn g7_absurd_settings_do_not_overflow() {
    let budget = Budget::new(BudgetConfig {
        ttl: Duration::MAX,
        min_per_second: u32::MAX,
        percent: u32::MAX,
    });
    budget.deposit(u64::MAX >> 1);
    assert!(budget.withdraw(u64::MAX >> 1));
    let none = Budget::new(BudgetConfig {
        ttl: Duration::ZERO,
        min_per_second: 0,
        percent: 0,
    });
    none.deposit(0);
    assert!(!none.withdraw(0));
}

#[test]
fn g7_three_retries_may_always_run_together() {
    let budget = Budget::default();
    let retries: Vec<_> = (0..5).filter_map(|_| budget.retry(0)).collect();
    assert_eq!((retries.len(), budget.retrying()), (3, 3));
    drop(retries);
    assert_eq!(budget.retrying(), 0);
    assert!(budget.retry(0).is_some());
}

#[test]
fn g7_retries_are_capped_by_the_requests_in_flight() {
    let budget = Budget::default();
    let active: Vec<_> = (0..50).map(|_| budget.begin()).collect();
    let retries: Vec<_> = (0..50).filter_map(|_| budget.retry(0)).collect();
    assert_eq!((budget.active(), retries.len()), (50, 10));
    drop(active);
    assert_eq!(budget.active(), 0);
    drop(retries);
}

#[test]
fn g7_a_refusal_by_the_share_gives_the_place_back() {
    let budget = budget(10, 0, 20);
    assert!(budget.retry(0).is_none());
    assert_eq!(budget.retrying(), 0);
}

#[test]
fn g7_a_refusal_by_the_cap_takes_nothing_from_the_share() {
    let budget = budget(10, 1, 0);
    let held: Vec<_> = (0..100).filter_map(|_| budget.retry(0)).collect();
    assert_eq!(held.len(), 3);
    assert_eq!(withdraw_all(&budget, 0), 7);
}

#[test]
fn g7_threads_together_stay_within_the_budget() {
    let budget = budget(10, 10, 20);
    let granted: usize = thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    (0..10_000)
                        .filter(|_| {
                            let _active = budget.begin();
                            budget.deposit(SECOND);
                            budget.retry(SECOND).is_some()
                        })
                        .count()
                })
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .sum()
    });
    let left = withdraw_all(&budget, SECOND);
    assert_eq!(
        granted + left,
        100 + 40_000 / 5,
        "nothing lost, nothing granted twice"
    );
    assert_eq!((budget.active(), budget.retrying()), (0, 0));
}

#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    Deposit(u16),
    Withdraw(u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..4 * SECOND).prop_map(Step::Pass),
        (1..60_u16).prop_map(Step::Deposit),
        (1..60_u16).prop_map(Step::Withdraw),
    ];
    prop::collection::vec(step, 1..80)
}

proptest! {
    #[test]
    fn g7_no_window_holds_more_retries_than_its_budget(
        steps in steps(), ttl in 1..6_u64, floor in 0..4_u32, percent in 0..150_u32,
    ) {
        let budget = budget(ttl, floor, percent);
        let (window, slot) = (ttl * SECOND, ttl * SECOND / 10);
        let mut now = 100 * SECOND;
        let (mut deposits, mut withdrawals) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Pass(micros) => now += micros,
                Step::Deposit(times) => for _ in 0..times {
                    budget.deposit(now);
                    deposits.push(now);
                },
                Step::Withdraw(times) => for _ in 0..times {
                    let within = |times: &[u64], reach: u64| times.iter().filter(|&&at| at + reach > now).count() as u64;
                    let floor = u64::from(floor) * ttl;
                    let granted = budget.withdraw(now);
                    if granted {
                        withdrawals.push(now);
                        let bound = floor + within(&deposits, window + slot) * u64::from(percent) / 100;
                        prop_assert!(within(&withdrawals, window) <= bound);
                    } else {
                        // Nor is it stingy: what it refuses, the exact window, one slot generous, would have refused.
                        let bound = floor + within(&deposits, window) * u64::from(percent) / 100;
                        prop_assert!(within(&withdrawals, window + slot) >= bound);
                    }
                },
            }
        }
    }
}
