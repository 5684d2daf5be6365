use super::*;

const MS: u64 = 1_000;
const SECOND: u64 = 1_000_000;

fn answered(load: &Load, millis: u64, ok: bool, now: u64) {
    load.start();
    load.finish(Some(Duration::from_millis(millis)), ok, now);
}

fn close(cost: f64, millis: f64) -> bool {
    (cost / 1e3 - millis).abs() < millis * 0.01
}

#[test]
fn nothing_known_costs_nothing() {
    assert_eq!(
        Load::default().cost(5 * SECOND).to_bits(),
        0.0_f64.to_bits()
    );
}

#[test]
fn a_slower_answer_counts_at_once() {
    let load = Load::default();
    answered(&load, 10, true, 0);
    assert!(close(load.cost(0), 10.0));
    answered(&load, 200, true, MS);
    assert!(close(load.cost(MS), 200.0));
}

#[test]
fn a_quicker_answer_counts_by_its_distance_in_time() {
    let load = Load::default();
    answered(&load, 100, true, 0);
    answered(&load, 10, true, 10 * SECOND);
    let kept = (-1.0_f64).exp();
    assert!(close(
        load.cost(10 * SECOND),
        100.0 * kept + 10.0 * (1.0 - kept)
    ));
}

#[test]
fn silence_decays() {
    let load = Load::default();
    answered(&load, 100, true, 0);
    assert!(close(load.cost(10 * SECOND), 100.0 * (-1.0_f64).exp()));
    assert!(load.cost(300 * SECOND) < 1e-6);
}

#[test]
fn what_is_in_flight_multiplies() {
    let load = Load::default();
    answered(&load, 10, true, 0);
    load.start();
    load.start();
    assert_eq!(load.in_flight(), 2);
    assert!(close(load.cost(0), 30.0));
}

#[test]
fn a_request_that_told_nothing_only_ends() {
    let load = Load::default();
    answered(&load, 10, true, 0);
    load.start();
    load.finish(None, false, SECOND);
    assert_eq!(load.in_flight(), 0);
    assert!(close(load.cost(0), 10.0));
}

#[test]
fn a_stray_finish_does_not_wrap() {
    let load = Load::default();
    load.finish(None, true, 0);
    assert_eq!(load.in_flight(), 0);
}

#[test]
fn a_quick_failure_makes_nobody_quicker() {
    let load = Load::default();
    answered(&load, 10, true, 0);
    let before = load.cost(0);
    load.start();
    load.finish(Some(Duration::from_micros(50)), false, 0);
    assert!(load.cost(0) > 10.0 * before);
}

#[test]
fn successes_bring_the_failure_share_back_to_nothing() {
    let mut record = Record {
        answers: 0,
        failures: 0,
    };
    for _ in 0..40 {
        record = record.after(false);
    }
    assert_eq!(record.failures, u16::MAX);
    for _ in 0..400 {
        record = record.after(true);
    }
    assert_eq!(record.failures, 0);
}

#[test]
fn the_first_failure_of_a_new_endpoint_costs_more_than_any_settled_one() {
    let (new, settled) = (Load::default(), Load::default());
    answered(&settled, 50, true, 0);
    new.start();
    new.finish(Some(Duration::from_micros(10)), false, 0);
    let (new, settled) = compare(&new, &settled, (1.0, 1.0), 0);
    assert!(new > 50.0 * settled);
}

#[test]
fn a_new_endpoint_is_tried_but_not_flooded() {
    let (new, busy) = (Load::default(), Load::default());
    for _ in 0..SETTLED {
        answered(&busy, 10, true, 0);
    }
    for _ in 0..49 {
        busy.start();
    }
    let mut taken = 0;
    while {
        let (new, busy) = compare(&new, &busy, (1.0, 1.0), 0);
        new < busy
    } {
        new.start();
        taken += 1;
    }
    assert!(
        (1..=10).contains(&taken),
        "took {taken} unanswered requests beside 49 in flight"
    );
}

#[test]
fn an_endpoint_after_a_peak_is_tried_again() {
    let (peaked, steady) = (Load::default(), Load::default());
    answered(&peaked, 30_000, true, 0);
    let tried = (1..200).find(|second| {
        answered(&steady, 10, true, second * SECOND);
        let (peaked, steady) = compare(&peaked, &steady, (1.0, 1.0), second * SECOND);
        peaked < steady
    });
    assert!(matches!(tried, Some(30..120)), "{tried:?}");
}

#[test]
fn an_endpoint_that_hangs_is_not_flooded_as_its_estimate_fades() {
    let (hung, steady) = (Load::default(), Load::default());
    answered(&hung, 10, true, 0);
    for _ in 0..20 {
        hung.start();
    }
    for second in 1..600 {
        answered(&steady, 10, true, second * SECOND);
        let (hung, steady) = compare(&hung, &steady, (1.0, 1.0), second * SECOND);
        assert!(hung > steady, "after {second} s");
    }
}

#[test]
fn forgetting_starts_slowly_again() {
    let load = Load::default();
    answered(&load, 10, true, 0);
    load.start();
    load.forget();
    assert_eq!(load.in_flight(), 1);
    assert_eq!(load.view(0).answers, 0);
    assert!(load.cost(0) < 1e-9);
}

#[test]
fn a_time_behind_the_last_answer_counts_as_no_time() {
    let load = Load::default();
    answered(&load, 100, true, 10 * SECOND);
    answered(&load, 10, true, 9 * SECOND);
    assert!(close(load.cost(9 * SECOND), 100.0));
    assert!(close(load.cost(10 * SECOND), 100.0));
}
