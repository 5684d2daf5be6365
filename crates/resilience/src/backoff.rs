//! How long to wait before a retry: exponential growth, a ceiling, and jitter.
//!
//! # Which jitter
//! With `d = min(base * 2^retry, max)` the wait is uniform in `[d/2, d]` ("equal jitter" in M. Brooker, *Exponential
//! Backoff and Jitter*, AWS Architecture Blog, 2015). A few per cent on top of `d` leave the clients of one outage
//! almost in step, and pass the ceiling; jitter over the whole of `[0, d]` lets an unlucky retry follow at once, when
//! the endpoint has had no time to recover. Half of `d` spreads the retries and still keeps a wait.

use std::time::Duration;

/// Exponential back-off with jitter. The default is 25 ms, at most 250 ms: a gateway retries on another endpoint, so it
/// need not wait for one to restart, and a client is waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The longest wait before the first retry.
    pub base: Duration,
    /// The longest wait before any retry. Where it is below `base`, it holds for the first one too.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(25),
            max: Duration::from_millis(250),
        }
    }
}

impl Backoff {
    /// The wait before retry number `retry` (0 = the first), in `[d/2, d]` for `d = min(base * 2^retry, max)`.
    ///
    /// `random` is uniform over all of `u64`. No `retry`, `base` or `max` overflows: growth ends at `max`.
    ///
    /// ```
    /// use bastide_resilience::backoff::Backoff;
    /// use std::time::Duration;
    ///
    /// let backoff = Backoff { base: Duration::from_millis(100), max: Duration::from_secs(1) };
    /// assert_eq!(backoff.delay(0, 0), Duration::from_millis(50));
    /// assert!(backoff.delay(2, u64::MAX) <= Duration::from_millis(400));
    /// assert!(backoff.delay(40, u64::MAX) <= Duration::from_secs(1));
    /// ```
    #[must_use]
    pub fn delay(&self, retry: u32, random: u64) -> Duration {
        let ceiling = self.ceiling(retry);
        ceiling / 2 + jitter(ceiling, random)
    }

    /// As [`delay`](Self::delay), but not before the `Retry-After` that the upstream sent, where it sent one.
    ///
    /// Every client of an overloaded upstream is told the same instant, so the random half of the jitter comes on top
    /// of it. `max` still bounds the sum: an upstream must not be able to park requests in the gateway. A caller that
    /// would rather give up than come too early compares `retry_after` with `max` first.
    #[must_use]
    pub fn with_retry_after(
        &self,
        retry: u32,
        random: u64,
        retry_after: Option<Duration>,
    ) -> Duration {
        let delay = self.delay(retry, random);
        match retry_after {
            None => delay,
            Some(asked) => asked
                .saturating_add(jitter(self.ceiling(retry), random))
                .min(self.max)
                .max(delay),
        }
    }

    fn ceiling(&self, retry: u32) -> Duration {
        let factor = 1_u32.checked_shl(retry).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.max)
    }
}

/// A share of `ceiling / 2` in proportion to `random`.
fn jitter(ceiling: Duration, random: u64) -> Duration {
    let half = (ceiling / 2).as_nanos();
    let nanos = if half <= u128::from(u64::MAX) {
        (half * u128::from(random)) >> 64
    } else {
        // Ceilings past 1 169 years; dividing first keeps the product in range.
        (half >> 64) * u128::from(random)
    };
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    const SEED: Backoff = Backoff {
        base: ms(1000),
        max: ms(30_000),
    };

    #[test]
    fn g7_the_delay_doubles_with_each_retry() {
        let shortest: Vec<_> = (0..5)
            .map(|retry| SEED.delay(retry, 0).as_millis())
            .collect();
        assert_eq!(shortest, [500, 1000, 2000, 4000, 8000]);
        for (retry, ceiling) in [1000, 2000, 4000, 8000, 16_000].into_iter().enumerate() {
            let longest = SEED.delay(u32::try_from(retry).unwrap(), u64::MAX);
            assert!(
                longest <= ms(ceiling) && longest > ms(ceiling - 1),
                "{retry}: {longest:?}"
            );
        }
    }

    #[test]
    fn g7_the_delay_is_capped() {
        assert_eq!(SEED.delay(5, 0), ms(15_000));
        assert_eq!(SEED.delay(u32::MAX, 0), ms(15_000));
        assert!(SEED.delay(u32::MAX, u64::MAX) <= ms(30_000));
    }

    #[test]
    fn g7_a_ceiling_below_the_base_holds_from_the_first_retry() {
        let backoff = Backoff {
            base: ms(1000),
            max: ms(100),
        };
        assert!(backoff.delay(0, u64::MAX) <= ms(100));
    }

    #[test]
    fn g7_no_base_means_no_wait() {
        let backoff = Backoff {
            base: Duration::ZERO,
            max: ms(100),
        };
        assert_eq!(backoff.delay(31, u64::MAX), Duration::ZERO);
    }

    #[test]
    fn g7_retry_after_is_a_lower_bound_with_jitter_on_top() {
        let asked = Some(ms(5000));
        assert_eq!(SEED.with_retry_after(0, 0, asked), ms(5000));
        assert_eq!(SEED.with_retry_after(0, 1 << 63, asked), ms(5250));
        assert_eq!(SEED.with_retry_after(3, 0, Some(ms(1))), SEED.delay(3, 0));
        assert_eq!(SEED.with_retry_after(3, 9, None), SEED.delay(3, 9));
    }

    #[test]
    fn g7_retry_after_is_capped() {
        assert_eq!(SEED.with_retry_after(0, 7, Some(ms(3_600_000))), ms(30_000));
        assert_eq!(SEED.with_retry_after(0, 7, Some(Duration::MAX)), ms(30_000));
    }

    proptest! {
        #[test]
        fn delays_keep_their_bounds_whatever_the_numbers(
            base in any::<Duration>(), max in any::<Duration>(), retry in any::<u32>(), random in any::<u64>(),
            asked in any::<Option<Duration>>(),
        ) {
            let backoff = Backoff { base, max };
            let ceiling = if retry < 32 { base.saturating_mul(1 << retry).min(max) } else { base.saturating_mul(u32::MAX).min(max) };
            let delay = backoff.delay(retry, random);
            prop_assert!(delay >= ceiling / 2 && delay <= ceiling, "{delay:?} of {ceiling:?}");
            let asked_delay = backoff.with_retry_after(retry, random, asked);
            prop_assert!(asked_delay >= delay && asked_delay <= max);
            prop_assert!(asked.is_none_or(|asked| asked_delay >= asked.min(max)));
        }

        #[test]
        fn more_randomness_never_waits_less(a in any::<u64>(), b in any::<u64>(), retry in 0..10_u32) {
            prop_assert!(SEED.delay(retry, a.min(b)) <= SEED.delay(retry, a.max(b)));
        }
    }
}
