//! The window in memory against a log of timestamps: slow, and exact by its simplicity.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bastide_limit::{LimitKey, Limiter, Outcome, Policy, Rate, Window, try_acquire_all};
use proptest::prelude::*;

const START: u64 = 1 << 42;
/// Sub-buckets of a window.
const BUCKETS: u64 = 64;

fn rates() -> impl Strategy<Value = Rate> {
    prop_oneof![
        (1u32..40, 1u64..5_000).prop_map(|(limit, window_ms)| Rate::Window { limit, window_ms }),
        (1u32..30, prop::option::of(1u32..60)).prop_map(|(rate, burst)| Rate::PerSecond {
            requests_per_second: rate,
            burst_size: burst
        }),
    ]
}

/// Times of requests: crowded, and now and then a pause.
fn schedule() -> impl Strategy<Value = Vec<u64>> {
    let step = prop_oneof![6 => 0u64..2_000, 3 => 0u64..100_000, 1 => 0u64..4_000_000];
    prop::collection::vec(step, 1..600).prop_map(|steps| {
        steps
            .into_iter()
            .scan(START, |now, step| {
                *now += step;
                Some(*now)
            })
            .collect()
    })
}

fn within(admitted: &[u64], now: u64, length: u64) -> usize {
    admitted.iter().filter(|then| **then + length > now).count()
}

proptest! {
    #[test]
    fn g3_never_over_the_limit_and_refused_only_for_granularity(rate in rates(), times in schedule()) {
        let policy = Policy::new(rate).unwrap();
        let limit = Limiter::local().handle(LimitKey::new("t", "1"), &policy);
        let mut admitted: Vec<u64> = Vec::new();
        for now in times {
            match limit.try_acquire(now) {
                Outcome::Admitted(quota) => {
                    admitted.push(now);
                    for window in policy.windows() {
                        prop_assert!(within(&admitted, now, window.length()) <= window.limit() as usize);
                    }
                    prop_assert_eq!(quota.retry_after, 0);
                    prop_assert!(policy.windows().contains(&Window::new(quota.limit, quota.window)));
                }
                Outcome::Refused(quota) => {
                    let widened = |window: &Window| window.length() + 2 * window.length().div_ceil(BUCKETS);
                    prop_assert!(policy.windows().iter().any(|window| {
                        within(&admitted, now, widened(window)) >= window.limit() as usize
                    }), "refused without reason");
                    prop_assert!(quota.retry_after > 0 && quota.reset_after >= quota.retry_after);
                }
                Outcome::Pending => prop_assert!(false, "a local limit knows at once"),
            }
        }
    }

    #[test]
    fn g3_retry_after_is_true_and_not_too_long(rate in rates(), times in schedule()) {
        let limit = Limiter::local().handle(LimitKey::new("t", "1"), &Policy::new(rate).unwrap());
        let mut now = START;
        for step in times.windows(2).map(|pair| pair[1] - pair[0]) {
            now += step / 8;
            if let Outcome::Refused(quota) = limit.try_acquire(now) {
                now += quota.retry_after;
                prop_assert!(!limit.try_acquire(now - 1).is_admitted(), "could have come earlier");
                prop_assert!(limit.try_acquire(now).is_admitted(), "came as told");
            }
        }
    }

    #[test]
    fn g3_remaining_and_reset_are_true(rate in rates(), times in schedule()) {
        let policy = Policy::new(rate).unwrap();
        let limit = Limiter::local().handle(LimitKey::new("t", "1"), &policy);
        let mut quota = None;
        let mut now = START;
        for time in times {
            now = time;
            quota = limit.try_acquire(now).quota().copied();
        }
        let quota = quota.unwrap();
        if policy.windows().len() == 1 {
            let mut more = 0;
            while limit.try_acquire(now).is_admitted() {
                more += 1;
            }
            prop_assert_eq!(more, quota.remaining);
            now += limit.try_acquire(now).quota().unwrap().reset_after;
            let fresh = limit.try_acquire(now);
            prop_assert!(fresh.is_admitted());
            prop_assert_eq!(fresh.quota().unwrap().remaining, quota.limit - 1);
        }
    }

    #[test]
    fn g3_saturation_reaches_the_limit(limit in 1u32..500, window_ms in 64u64..5_000, gap in 1u64..50) {
        let policy = Policy::new(Rate::Window { limit, window_ms }).unwrap();
        let handle = Limiter::local().handle(LimitKey::new("t", "1"), &policy);
        let window = window_ms * 1000;
        // Ten periods of the window and its one extra bucket, with a request at every small gap of the window.
        let period = window + window.div_ceil(BUCKETS);
        let step = (window / 20_000).max(1) * gap.min(10);
        let admitted =
            (START..START + 10 * period).step_by(step as usize).filter(|now| handle.try_acquire(*now).is_admitted());
        let per_window = admitted.count() as f64 / (10.0 * period as f64 / window as f64);
        prop_assert!(per_window >= 0.95 * f64::from(limit), "{per_window} of {limit}");
    }

    #[test]
    fn g3_refunds_never_lead_over_the_limit(rate in rates(), steps in prop::collection::vec((0u64..50_000, any::<bool>()), 1..500)) {
        let policy = Policy::new(rate).unwrap();
        let limit = Limiter::local().handle(LimitKey::new("t", "1"), &policy);
        let mut admitted: Vec<u64> = Vec::new();
        let mut now = START;
        for (step, back) in steps {
            now += step;
            if back && let Some(then) = admitted.pop() {
                limit.refund(then);
            } else if limit.try_acquire(now).is_admitted() {
                admitted.push(now);
            }
            for window in policy.windows() {
                prop_assert!(within(&admitted, now, window.length()) <= window.limit() as usize);
            }
        }
    }

    #[test]
    fn g3_several_limits_are_taken_all_or_none(first in 1u32..20, second in 1u32..20, requests in 1usize..50) {
        let limiter = Limiter::local();
        let minute = |limit| Policy::new(Rate::Window { limit, window_ms: 60_000 }).unwrap();
        let tenant = limiter.handle(LimitKey::new("tenant", "1"), &minute(first));
        let route = limiter.handle(LimitKey::new("route", "1"), &minute(second));
        let admitted = (0..requests)
            .filter(|_| try_acquire_all(&[&tenant, &route], START).unwrap().is_admitted())
            .count();
        prop_assert_eq!(admitted, requests.min(first.min(second) as usize));
        // What one refused is not counted under the other.
        let left = std::iter::repeat_with(|| tenant.try_acquire(START)).take_while(Outcome::is_admitted).count();
        prop_assert_eq!(left, first as usize - admitted);
    }
}

#[test]
fn no_limits_say_nothing() {
    assert_eq!(try_acquire_all(&[], START), None);
}
