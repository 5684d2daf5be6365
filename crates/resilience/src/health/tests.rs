//! Health one behaviour at a time, and random rows of results against a model (G8).

use super::*;
use proptest::prelude::*;

fn with(healthy_threshold: u32, unhealthy_threshold: u32) -> Health {
    Health::new(HealthConfig {
        healthy_threshold,
        unhealthy_threshold,
    })
}

#[test]
fn unknown_counts_as_healthy() {
    assert!(Health::new(HealthConfig::default()).is_healthy());
}

#[test]
fn the_defaults_are_those_of_the_specification() {
    let config = HealthConfig {
        healthy_threshold: 2,
        unhealthy_threshold: 3,
    };
    assert_eq!(HealthConfig::default(), config);
    assert_eq!(Health::new(config).config(), &config);
}

#[test]
fn zero_thresholds_are_taken_as_one() {
    let health = with(0, 0);
    assert_eq!(health.record(false), Some(false));
    assert_eq!(health.record(true), Some(true));
}

#[test]
fn failures_in_a_row_make_it_unhealthy_at_the_threshold() {
    let health = with(2, 3);
    assert_eq!([health.record(false), health.record(false)], [None, None]);
    assert!(health.is_healthy());
    assert_eq!(health.record(false), Some(false));
    assert!(!health.is_healthy());
}

#[test]
fn successes_in_a_row_make_it_healthy_at_the_threshold() {
    let health = with(2, 1);
    assert_eq!(health.record(false), Some(false));
    assert_eq!(health.record(true), None);
    assert!(!health.is_healthy());
    assert_eq!(health.record(true), Some(true));
    assert!(health.is_healthy());
}

#[test]
fn a_success_between_failures_starts_the_count_afresh() {
    let health = with(2, 3);
    for _ in 0..10 {
        assert_eq!([false, false, true].map(|ok| health.record(ok)), [None; 3]);
    }
    assert!(health.is_healthy());
}

#[test]
fn a_failure_between_successes_starts_the_count_afresh() {
    let health = with(2, 1);
    health.record(false);
    for _ in 0..10 {
        assert_eq!([true, false].map(|ok| health.record(ok)), [None; 2]);
    }
    assert!(!health.is_healthy());
}

#[test]
fn a_flip_is_told_once() {
    let health = with(2, 2);
    let told = [false; 6].map(|ok| health.record(ok));
    assert_eq!(told, [None, Some(false), None, None, None, None]);
}

#[test]
fn reset_makes_it_unknown_again() {
    let health = with(2, 2);
    health.record(false);
    health.record(false);
    health.reset();
    assert!(health.is_healthy());
    assert_eq!(health.record(false), None, "the count starts afresh");
    health.reset();
    assert!(health.advise(false), "it has not been probed since");
}

#[test]
fn advice_is_believed_before_the_first_probe() {
    let health = with(2, 3);
    assert!(!health.advise(true), "nothing new");
    assert!(health.advise(false));
    assert!(!health.is_healthy());
    assert!(health.advise(true));
    assert!(health.is_healthy());
}

#[test]
fn the_first_own_probe_confirms_or_reverts_what_was_believed() {
    let health = with(2, 3);
    health.advise(false);
    assert_eq!(
        health.record(true),
        Some(true),
        "one is enough against hearsay"
    );

    let health = with(2, 3);
    health.advise(false);
    assert_eq!(health.record(false), None);
    assert_eq!(
        health.record(true),
        None,
        "confirmed, so the threshold holds"
    );
    assert_eq!(health.record(true), Some(true));
}

#[test]
fn after_the_first_probe_advice_makes_the_next_one_decisive() {
    let health = with(2, 3);
    health.record(true);
    assert!(!health.advise(false));
    assert!(health.is_healthy());
    assert_eq!(health.record(false), Some(false));

    assert!(!health.advise(true));
    assert!(!health.is_healthy());
    assert_eq!(health.record(true), Some(true));
}

#[test]
fn an_own_probe_overrules_advice() {
    let health = with(2, 3);
    health.record(true);
    for _ in 0..100 {
        assert!(!health.advise(false));
        assert_eq!(health.record(true), None);
    }
    assert!(health.is_healthy());
    assert_eq!([health.record(false), health.record(false)], [None, None]);
}

#[test]
fn advice_that_agrees_does_not_forgive() {
    let health = with(2, 3);
    health.record(false);
    health.record(false);
    assert!(!health.advise(true));
    assert_eq!(health.record(false), Some(false));
}

#[test]
fn advice_never_takes_a_count_back() {
    let health = with(2, 1);
    health.record(true);
    assert!(!health.advise(false));
    assert_eq!(health.record(false), Some(false));
}

#[test]
fn the_greatest_thresholds_fit_the_word() {
    let health = with(u32::MAX, u32::MAX);
    health.record(true);
    health.advise(false);
    assert!(health.is_healthy());
    assert_eq!(health.record(false), Some(false));
    health.advise(true);
    assert_eq!(health.record(true), Some(true));
}

#[test]
fn probes_fall_within_a_tenth_of_the_interval() {
    let interval = Duration::from_secs(30);
    assert_eq!(next_probe_after(interval, 0), Duration::from_secs(27));
    assert_eq!(next_probe_after(interval, 1 << 63), interval);
    let last = next_probe_after(interval, u64::MAX);
    assert!(last > Duration::from_millis(32_999) && last <= Duration::from_secs(33));
}

#[test]
fn first_probes_are_spread_over_a_tenth_of_the_interval() {
    let interval = Duration::from_secs(30);
    assert_eq!(first_probe_after(interval, 0), Duration::ZERO);
    assert_eq!(
        first_probe_after(interval, 1 << 63),
        Duration::from_millis(1_500)
    );
    assert!(first_probe_after(interval, u64::MAX) < Duration::from_secs(3));
}

#[test]
fn the_longest_and_shortest_intervals_do_not_overflow() {
    for random in [0, 1 << 63, u64::MAX] {
        assert_eq!(next_probe_after(Duration::ZERO, random), Duration::ZERO);
        assert_eq!(first_probe_after(Duration::ZERO, random), Duration::ZERO);
        assert!(next_probe_after(Duration::MAX, random) > Duration::from_hours(24 * 365 * 400));
        assert!(first_probe_after(Duration::MAX, random) < Duration::from_hours(24 * 365 * 100));
    }
}

proptest! {
    /// Without advice: the state is what the last long enough row of equal results says.
    #[test]
    fn the_last_full_row_decides(
        healthy_threshold in 1..5u32,
        unhealthy_threshold in 1..5u32,
        results in prop::collection::vec(any::<bool>(), 0..100),
    ) {
        let health = with(healthy_threshold, unhealthy_threshold);
        let (mut expected, mut row, mut last) = (true, 0, true);
        for ok in results {
            row = if ok == last { row + 1 } else { 1 };
            last = ok;
            let full = row >= if ok { healthy_threshold } else { unhealthy_threshold };
            let flips = full && expected != ok;
            expected = if full { ok } else { expected };
            prop_assert_eq!(health.record(ok), flips.then_some(ok));
            prop_assert_eq!(health.is_healthy(), expected);
        }
    }

    /// Whatever other nodes say, a node that has probed changes its mind only at a probe, and into its result.
    #[test]
    fn advice_alone_changes_nothing_once_probed(
        healthy_threshold in 1..5u32,
        unhealthy_threshold in 1..5u32,
        first: bool,
        news in prop::collection::vec((any::<bool>(), any::<bool>()), 0..100),
    ) {
        let health = with(healthy_threshold, unhealthy_threshold);
        health.record(first);
        for (own, good) in news {
            let before = health.is_healthy();
            if own {
                let told = health.record(good);
                prop_assert_eq!(told.is_some(), health.is_healthy() != before);
                prop_assert!(told.is_none_or(|now| now == good));
            } else {
                prop_assert!(!health.advise(good));
                prop_assert_eq!(health.is_healthy(), before);
            }
        }
    }

    #[test]
    fn every_status_survives_the_word(healthy: bool, probed: bool, against: u32) {
        let status = Status { healthy, probed, against };
        prop_assert_eq!(Status::decode(status.encode()), status);
    }

    #[test]
    fn every_delay_is_within_its_bounds(millis in 1..100_000_000u64, random: u64) {
        let interval = Duration::from_millis(millis);
        let delay = next_probe_after(interval, random);
        prop_assert!(delay >= interval * 9 / 10 && delay <= interval * 11 / 10);
        prop_assert!(first_probe_after(interval, random) <= interval / 10);
    }
}
