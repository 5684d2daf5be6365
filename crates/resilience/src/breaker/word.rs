//! What of a breaker's state fits into one atomic word.

/// The part of the state that decides the usual cases without the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    Closed {
        generation: u64,
        /// Whether there are failures that a success would forgive.
        failing: bool,
    },
    Open {
        until: u64,
    },
    HalfOpen,
}

const TAG_BITS: u32 = 2;

/// The greatest number that the word holds: as microseconds 146 000 years, as generations more than can happen.
pub(super) const MAX: u64 = u64::MAX >> TAG_BITS;

pub(super) const fn encode(view: View) -> u64 {
    let (number, tag) = match view {
        View::Closed {
            generation,
            failing: false,
        } => (generation, 0),
        View::Closed {
            generation,
            failing: true,
        } => (generation, 1),
        View::Open { until } => (until, 2),
        View::HalfOpen => (0, 3),
    };
    number << TAG_BITS | tag
}

pub(super) const fn decode(word: u64) -> View {
    let number = word >> TAG_BITS;
    match word & 3 {
        0 => View::Closed {
            generation: number,
            failing: false,
        },
        1 => View::Closed {
            generation: number,
            failing: true,
        },
        2 => View::Open { until: number },
        _ => View::HalfOpen,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_view_comes_back_as_it_went() {
        for number in [0, 1, 77, MAX] {
            for failing in [false, true] {
                let closed = View::Closed {
                    generation: number,
                    failing,
                };
                assert_eq!(decode(encode(closed)), closed);
            }
            assert_eq!(
                decode(encode(View::Open { until: number })),
                View::Open { until: number }
            );
        }
        assert_eq!(decode(encode(View::HalfOpen)), View::HalfOpen);
    }
}
