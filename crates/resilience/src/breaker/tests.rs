//! The breaker's behaviours one by one (G6). Random orders of events are in `tests/breaker_model.rs`.

use super::*;

/// The first opening, in microseconds.
const OPEN_FOR: u64 = 30_000_000;

fn with(failure_threshold: u32, success_threshold: u32) -> Breaker {
    Breaker::new(BreakerConfig {
        failure_threshold,
        success_threshold,
        ..BreakerConfig::default()
    })
}

fn report(breaker: &Breaker, outcome: Outcome, now: u64) -> Option<State> {
    breaker.record(breaker.try_acquire(now).expect("a place"), outcome, now)
}

/// Opened at 0 by one failure.
fn opened(success_threshold: u32) -> Breaker {
    let breaker = with(1, success_threshold);
    assert_eq!(report(&breaker, Outcome::Failure, 0), Some(State::Open));
    breaker
}

#[test]
fn a_new_breaker_is_closed() {
    let breaker = Breaker::new(BreakerConfig::default());
    assert_eq!(breaker.state(0), State::Closed);
    assert_eq!(breaker.availability(0), Availability::Ready);
}

#[test]
fn the_defaults_are_those_of_the_specification() {
    let config = BreakerConfig {
        failure_threshold: 5,
        success_threshold: 2,
        open_for: Duration::from_secs(30),
    };
    assert_eq!(BreakerConfig::default(), config);
    assert_eq!(Breaker::new(config).config(), &config);
}

#[test]
fn values_under_the_minimum_are_raised() {
    let breaker = Breaker::new(BreakerConfig {
        failure_threshold: 0,
        success_threshold: 0,
        open_for: Duration::ZERO,
    });
    let raised = BreakerConfig {
        failure_threshold: 1,
        success_threshold: 1,
        open_for: Duration::from_millis(1),
    };
    assert_eq!(breaker.config(), &raised);
}

#[test]
fn closed_admits_everybody() {
    let breaker = with(5, 2);
    assert!((0..1_000).all(|now| {
        breaker
            .try_acquire(now)
            .is_some_and(|permit| !permit.is_probe())
    }));
}

#[test]
fn closed_counts_failures_and_opens_at_the_threshold() {
    let breaker = with(5, 2);
    for now in 0..4 {
        assert_eq!(report(&breaker, Outcome::Failure, now), None);
        assert_eq!(breaker.state(now), State::Closed);
    }
    assert_eq!(report(&breaker, Outcome::Failure, 4), Some(State::Open));
    assert_eq!(
        breaker.availability(4),
        Availability::Open {
            until: 4 + OPEN_FOR
        }
    );
}

#[test]
fn a_success_resets_the_failures() {
    let breaker = with(3, 2);
    for _ in 0..10 {
        assert_eq!(report(&breaker, Outcome::Failure, 0), None);
        assert_eq!(report(&breaker, Outcome::Failure, 0), None);
        assert_eq!(report(&breaker, Outcome::Success, 0), None);
    }
    assert_eq!(breaker.state(0), State::Closed);
}

#[test]
fn neutral_outcomes_neither_add_nor_reset_while_closed() {
    let breaker = with(2, 2);
    assert_eq!(report(&breaker, Outcome::Failure, 0), None);
    for _ in 0..10 {
        assert_eq!(report(&breaker, Outcome::Neutral, 0), None);
    }
    assert_eq!(report(&breaker, Outcome::Failure, 0), Some(State::Open));
}

#[test]
fn a_cancelled_request_tells_nothing() {
    let breaker = with(2, 2);
    report(&breaker, Outcome::Failure, 0);
    breaker.cancel(breaker.try_acquire(0).expect("closed"));
    assert_eq!(report(&breaker, Outcome::Failure, 0), Some(State::Open));
}

#[test]
fn open_blocks_until_its_time_is_over() {
    let breaker = opened(2);
    for now in [0, 1, OPEN_FOR / 2, OPEN_FOR - 1] {
        assert_eq!(breaker.try_acquire(now), None);
        assert_eq!(breaker.state(now), State::Open);
        assert_eq!(
            breaker.availability(now),
            Availability::Open { until: OPEN_FOR }
        );
    }
}

#[test]
fn open_turns_half_open_when_its_time_is_over() {
    let breaker = opened(2);
    assert_eq!(breaker.state(OPEN_FOR), State::HalfOpen);
    assert_eq!(breaker.availability(OPEN_FOR), Availability::Ready);
    assert!(
        breaker
            .try_acquire(OPEN_FOR)
            .is_some_and(|permit| permit.is_probe())
    );
    assert_eq!(breaker.state(OPEN_FOR), State::HalfOpen);
}

#[test]
fn asking_changes_nothing() {
    let breaker = opened(1);
    for _ in 0..10 {
        assert_eq!(breaker.availability(OPEN_FOR), Availability::Ready);
    }
    assert!(breaker.try_acquire(OPEN_FOR).is_some());
    assert_eq!(breaker.availability(OPEN_FOR), Availability::Probing);
}

#[test]
fn half_open_admits_exactly_k_probes() {
    for k in [1, 2, 7] {
        let breaker = opened(k);
        let admitted = (0..100)
            .filter_map(|_| breaker.try_acquire(OPEN_FOR))
            .count();
        assert_eq!(admitted, k as usize);
        assert_eq!(breaker.availability(OPEN_FOR), Availability::Probing);
    }
}

#[test]
fn half_open_counts_successes_and_closes_at_the_threshold() {
    let breaker = opened(3);
    assert_eq!(report(&breaker, Outcome::Success, OPEN_FOR), None);
    assert_eq!(report(&breaker, Outcome::Success, OPEN_FOR), None);
    assert_eq!(breaker.state(OPEN_FOR), State::HalfOpen);
    assert_eq!(
        report(&breaker, Outcome::Success, OPEN_FOR),
        Some(State::Closed)
    );
    assert!((0..100).all(|_| breaker.try_acquire(OPEN_FOR).is_some()));
}

#[test]
fn an_endpoint_that_answers_nothing_but_404_closes_too() {
    let breaker = opened(2);
    assert_eq!(report(&breaker, Outcome::Neutral, OPEN_FOR), None);
    assert_eq!(
        report(&breaker, Outcome::Neutral, OPEN_FOR),
        Some(State::Closed)
    );
}

#[test]
fn one_failure_in_half_open_opens_again() {
    let breaker = opened(3);
    assert_eq!(report(&breaker, Outcome::Success, OPEN_FOR), None);
    assert_eq!(report(&breaker, Outcome::Success, OPEN_FOR), None);
    assert_eq!(
        report(&breaker, Outcome::Failure, OPEN_FOR),
        Some(State::Open)
    );
    assert_eq!(
        breaker.availability(OPEN_FOR),
        Availability::Open {
            until: 2 * OPEN_FOR
        }
    );
    // The successes from before are forgotten.
    assert_eq!(report(&breaker, Outcome::Success, 2 * OPEN_FOR), None);
    assert_eq!(report(&breaker, Outcome::Success, 2 * OPEN_FOR), None);
    assert_eq!(
        report(&breaker, Outcome::Success, 2 * OPEN_FOR),
        Some(State::Closed)
    );
}

#[test]
fn closing_starts_the_failures_afresh() {
    let breaker = with(2, 1);
    report(&breaker, Outcome::Failure, 0);
    report(&breaker, Outcome::Failure, 0);
    assert_eq!(
        report(&breaker, Outcome::Success, OPEN_FOR),
        Some(State::Closed)
    );
    assert_eq!(report(&breaker, Outcome::Failure, OPEN_FOR), None);
    assert_eq!(
        report(&breaker, Outcome::Failure, OPEN_FOR),
        Some(State::Open)
    );
}

#[test]
fn each_reopening_after_the_first_doubles_the_time_up_to_ten_times() {
    let breaker = opened(1);
    let mut now = OPEN_FOR;
    for factor in [1, 2, 4, 8, 10, 10, 10] {
        assert_eq!(report(&breaker, Outcome::Failure, now), Some(State::Open));
        let until = now + factor * OPEN_FOR;
        assert_eq!(breaker.availability(now), Availability::Open { until });
        now = until;
    }
    assert_eq!(report(&breaker, Outcome::Success, now), Some(State::Closed));
    report(&breaker, Outcome::Failure, now);
    assert_eq!(
        breaker.availability(now),
        Availability::Open {
            until: now + OPEN_FOR
        },
        "closing forgets the back-off"
    );
}

#[test]
fn the_back_off_holds_after_more_reopenings_than_there_are_bits() {
    let breaker = opened(1);
    let mut now = OPEN_FOR;
    for _ in 0..200 {
        report(&breaker, Outcome::Failure, now);
        now += 10 * OPEN_FOR;
    }
    report(&breaker, Outcome::Failure, now);
    assert_eq!(
        breaker.availability(now),
        Availability::Open {
            until: now + 10 * OPEN_FOR
        }
    );
}

#[test]
fn outcomes_from_before_the_opening_are_ignored() {
    let breaker = with(1, 1);
    let early: Vec<_> = (0..4).filter_map(|_| breaker.try_acquire(0)).collect();
    assert_eq!(
        breaker.record(early[0], Outcome::Failure, 1),
        Some(State::Open)
    );
    let until = Availability::Open {
        until: 1 + OPEN_FOR,
    };

    assert_eq!(breaker.record(early[1], Outcome::Failure, 2), None);
    assert_eq!(breaker.availability(2), until, "not prolonged");
    assert!(breaker.try_acquire(1 + OPEN_FOR).is_some());
    assert_eq!(
        breaker.record(early[2], Outcome::Success, 1 + OPEN_FOR),
        None
    );
    assert_eq!(
        breaker.record(early[3], Outcome::Failure, 1 + OPEN_FOR),
        None
    );
    assert_eq!(breaker.state(1 + OPEN_FOR), State::HalfOpen);
}

#[test]
fn outcomes_of_probes_from_an_earlier_half_open_are_ignored() {
    let breaker = opened(2);
    let slow = breaker.try_acquire(OPEN_FOR).expect("first place");
    assert_eq!(
        report(&breaker, Outcome::Failure, OPEN_FOR),
        Some(State::Open)
    );

    let held = [(); 2].map(|()| breaker.try_acquire(2 * OPEN_FOR).expect("both places"));
    assert_eq!(breaker.record(slow, Outcome::Success, 2 * OPEN_FOR), None);
    breaker.cancel(slow);
    assert_eq!(
        breaker.availability(2 * OPEN_FOR),
        Availability::Probing,
        "the late one freed no place"
    );
    assert_eq!(
        breaker.record(held[0], Outcome::Success, 2 * OPEN_FOR),
        None
    );
    assert_eq!(
        breaker.record(held[1], Outcome::Success, 2 * OPEN_FOR),
        Some(State::Closed)
    );
    assert_eq!(breaker.record(slow, Outcome::Failure, 2 * OPEN_FOR), None);
}

#[test]
fn a_cancelled_probe_gives_its_place_back_once() {
    let breaker = opened(1);
    let probe = breaker.try_acquire(OPEN_FOR).expect("the place");
    breaker.cancel(probe);
    let next = breaker.try_acquire(OPEN_FOR).expect("it is free again");
    breaker.cancel(probe);
    assert_eq!(
        breaker.try_acquire(OPEN_FOR),
        None,
        "the second cancel freed somebody else's place"
    );
    assert_eq!(
        breaker.record(next, Outcome::Success, OPEN_FOR),
        Some(State::Closed)
    );
}

#[test]
fn a_forgotten_probe_blocks_for_one_opening_at_most() {
    let breaker = opened(1);
    let _forgotten = breaker.try_acquire(OPEN_FOR).expect("the place");
    assert_eq!(breaker.try_acquire(2 * OPEN_FOR - 1), None);
    assert_eq!(
        breaker.availability(2 * OPEN_FOR - 1),
        Availability::Probing
    );
    assert_eq!(breaker.availability(2 * OPEN_FOR), Availability::Ready);
    assert_eq!(
        report(&breaker, Outcome::Success, 2 * OPEN_FOR),
        Some(State::Closed)
    );
}

#[test]
fn requests_slower_than_the_opening_still_decide() {
    for (outcome, state) in [
        (Outcome::Failure, State::Open),
        (Outcome::Success, State::Closed),
    ] {
        let breaker = opened(1);
        let slow = breaker.try_acquire(OPEN_FOR).expect("the place");
        assert!(
            breaker.try_acquire(2 * OPEN_FOR).is_some(),
            "the first is considered lost"
        );
        assert_eq!(breaker.record(slow, outcome, 3 * OPEN_FOR), Some(state));
    }
}

#[test]
fn a_hanging_probe_does_not_keep_others_from_closing() {
    let breaker = opened(2);
    let _hangs = breaker.try_acquire(OPEN_FOR).expect("first place");
    assert_eq!(report(&breaker, Outcome::Success, OPEN_FOR), None);
    assert_eq!(
        report(&breaker, Outcome::Success, OPEN_FOR),
        Some(State::Closed)
    );
}

#[test]
fn advice_opens_a_closed_breaker_for_its_own_time_at_most() {
    for (until, expected) in [(10, 10), (OPEN_FOR, OPEN_FOR), (u64::MAX, 5 + OPEN_FOR)] {
        let breaker = with(5, 1);
        assert!(breaker.advise_open(until, 5));
        assert_eq!(
            breaker.availability(5),
            Availability::Open { until: expected }
        );
        assert_eq!(breaker.state(expected), State::HalfOpen);
    }
}

#[test]
fn advice_about_the_past_is_ignored() {
    let breaker = with(5, 1);
    assert!(!breaker.advise_open(5, 5));
    assert!(!breaker.advise_open(4, 5));
    assert_eq!(breaker.state(5), State::Closed);
}

#[test]
fn advice_changes_no_breaker_that_is_not_closed() {
    let breaker = opened(1);
    assert!(!breaker.advise_open(10, 1));
    assert!(!breaker.advise_open(2 * OPEN_FOR, OPEN_FOR - 1));
    assert_eq!(
        breaker.availability(1),
        Availability::Open { until: OPEN_FOR },
        "neither shortened nor prolonged"
    );
    assert!(!breaker.advise_open(2 * OPEN_FOR, OPEN_FOR));
    assert!(breaker.try_acquire(OPEN_FOR).is_some());
    assert!(!breaker.advise_open(2 * OPEN_FOR, OPEN_FOR));
    assert_eq!(breaker.state(OPEN_FOR), State::HalfOpen);
}

#[test]
fn repeated_advice_cannot_keep_it_open() {
    let breaker = with(5, 1);
    assert!(breaker.advise_open(u64::MAX, 0));
    assert!(
        (1..=OPEN_FOR)
            .step_by(1_000_000)
            .all(|now| !breaker.advise_open(u64::MAX, now))
    );
    assert_eq!(
        report(&breaker, Outcome::Success, OPEN_FOR),
        Some(State::Closed)
    );
}

#[test]
fn a_failure_after_advice_is_a_first_reopening() {
    let breaker = with(5, 1);
    assert!(breaker.advise_open(u64::MAX, 0));
    assert_eq!(
        report(&breaker, Outcome::Failure, OPEN_FOR),
        Some(State::Open)
    );
    assert_eq!(
        breaker.availability(OPEN_FOR),
        Availability::Open {
            until: 2 * OPEN_FOR
        }
    );
}

#[test]
fn reset_closes_and_forgets() {
    let breaker = opened(1);
    let probe = breaker.try_acquire(OPEN_FOR).expect("the place");
    breaker.reset();
    assert_eq!(breaker.state(0), State::Closed);
    assert_eq!(breaker.record(probe, Outcome::Failure, OPEN_FOR), None);
    assert_eq!(breaker.state(OPEN_FOR), State::Closed);
    report(&breaker, Outcome::Failure, OPEN_FOR);
    assert_eq!(
        breaker.availability(OPEN_FOR),
        Availability::Open {
            until: 2 * OPEN_FOR
        }
    );
}

#[test]
fn the_longest_times_do_not_overflow() {
    let config = BreakerConfig {
        failure_threshold: 1,
        success_threshold: u32::MAX,
        open_for: Duration::MAX,
    };
    let breaker = Breaker::new(config);
    assert_eq!(report(&breaker, Outcome::Failure, 7), Some(State::Open));
    assert_eq!(
        breaker.availability(word::MAX - 1),
        Availability::Open { until: word::MAX }
    );
    assert_eq!(
        report(&breaker, Outcome::Failure, word::MAX),
        Some(State::Open)
    );
}
