//! What a limit says, and the sliding windows it compiles to.
//!
//! A [`Rate`] is what people configure. It becomes one or two [`Window`]s which must *all* hold, because "sliding
//! window" is the only rule the enforcing code knows:
//!
//! | configured | windows | why |
//! |---|---|---|
//! | `limit` in `windowMs` | `limit` in `windowMs` | said directly |
//! | `r` per second | `r` in 1 s | the same |
//! | `r` per second, burst `b > r` | `b` in 1 s, and `r*S` in `S` seconds, `S = ceil(b/r) + 1` | a burst borrows from its neighbours, so the sustained rate stays `r`; `S` is the shortest whole number of seconds in which a full burst still leaves its owner at least a trickle |
//! | `r` per second, burst `b < r` | `b` in `b/r` s, and `r` in 1 s | a burst below the rate spreads the second's requests out instead of letting them come at once |

use smallvec::SmallVec;

/// Largest count a limit, a rate or a burst may name. Leaves room in `u32` for the sum that a burst window needs.
pub const MAX_COUNT: u32 = 1_000_000_000;

/// Longest window in milliseconds: 31 days.
pub const MAX_WINDOW_MS: u64 = 31 * 24 * 60 * 60 * 1000;

const SECOND: u64 = 1_000_000;

/// How many requests, in which time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rate {
    /// At most `limit` requests in any interval of `window_ms` milliseconds.
    Window {
        /// Requests, 1 to [`MAX_COUNT`].
        limit: u32,
        /// Length in milliseconds, 1 to [`MAX_WINDOW_MS`].
        window_ms: u64,
    },
    /// A sustained rate, and optionally how many requests may come at once.
    PerSecond {
        /// Requests per second, 1 to [`MAX_COUNT`].
        requests_per_second: u32,
        /// Requests that may come at once, 1 to [`MAX_COUNT`]; the same as the rate where absent.
        burst_size: Option<u32>,
    },
}

/// Why a rate was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// `limit` is outside 1 to [`MAX_COUNT`].
    #[error("limit is {0}; give a whole number from 1 to {MAX_COUNT}")]
    Limit(u32),
    /// `windowMs` is outside 1 to [`MAX_WINDOW_MS`].
    #[error("windowMs is {0}; give milliseconds from 1 to {MAX_WINDOW_MS} (31 days)")]
    WindowMs(u64),
    /// `requestsPerSecond` is outside 1 to [`MAX_COUNT`].
    #[error("requestsPerSecond is {0}; give a whole number from 1 to {MAX_COUNT}")]
    RequestsPerSecond(u32),
    /// `burstSize` is outside 1 to [`MAX_COUNT`].
    #[error("burstSize is {0}; give a whole number from 1 to {MAX_COUNT}")]
    BurstSize(u32),
    /// The burst would take more than 31 days to pay back.
    #[error(
        "burstSize {burst} is too large for requestsPerSecond {rate}; at most 31 days' worth of the rate may come at once"
    )]
    BurstTooLong {
        /// The burst asked for.
        burst: u32,
        /// The rate beside it.
        rate: u32,
    },
}

impl PolicyError {
    /// The configured field at fault, as users write it.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Limit(_) => "limit",
            Self::WindowMs(_) => "windowMs",
            Self::RequestsPerSecond(_) => "requestsPerSecond",
            Self::BurstSize(_) | Self::BurstTooLong { .. } => "burstSize",
        }
    }
}

/// What a node does about a limit while Redis cannot be asked. Without Redis it has no meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FailMode {
    /// Every request is admitted (and counted, so that the count is right when Redis returns).
    Open,
    /// This node admits its share: the limit divided by the nodes that were last known to live.
    #[default]
    Share,
    /// Every request is refused.
    Closed,
}

/// One rule of a limit: at most `limit` admissions in any interval of `length` microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    limit: u32,
    length: u64,
}

impl Window {
    /// A window of `length` microseconds (at least 1) in which at most `limit` are admitted.
    pub const fn new(limit: u32, length: u64) -> Self {
        Self {
            limit,
            length: if length == 0 { 1 } else { length },
        }
    }

    /// Admissions allowed in any interval of [`length`](Self::length).
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// Microseconds.
    pub const fn length(&self) -> u64 {
        self.length
    }
}

/// The windows of one limit: one, or two where a burst differs from the rate.
pub type Windows = SmallVec<[Window; 2]>;

/// A rate, and how it is kept between several nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Policy {
    rate: Rate,
    fail: FailMode,
    exact: bool,
}

impl Policy {
    /// A policy with the defaults: [`FailMode::Share`], leased.
    ///
    /// # Errors
    /// A [`PolicyError`] naming the field that is out of range.
    pub fn new(rate: Rate) -> Result<Self, PolicyError> {
        rate.validate()?;
        Ok(Self {
            rate,
            fail: FailMode::default(),
            exact: false,
        })
    }

    /// What to do while Redis cannot be asked.
    pub fn with_fail_mode(mut self, fail: FailMode) -> Self {
        self.fail = fail;
        self
    }

    /// Ask Redis for every request (many per round trip) instead of leasing ahead. Costs each request a wait of about
    /// one round trip; permits are never parked on a node that does not use them. Default false.
    pub fn with_exact(mut self, exact: bool) -> Self {
        self.exact = exact;
        self
    }

    /// The rate as configured.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// What happens while Redis cannot be asked.
    pub fn fail_mode(&self) -> FailMode {
        self.fail
    }

    /// Whether every request asks Redis.
    pub fn is_exact(&self) -> bool {
        self.exact
    }

    /// The windows that must all hold, shortest first.
    pub fn windows(&self) -> Windows {
        self.rate.windows()
    }
}

impl Rate {
    fn validate(self) -> Result<(), PolicyError> {
        let in_range = |n: u32| (1..=MAX_COUNT).contains(&n);
        match self {
            Self::Window { limit, .. } if !in_range(limit) => Err(PolicyError::Limit(limit)),
            Self::Window { window_ms, .. } if !(1..=MAX_WINDOW_MS).contains(&window_ms) => {
                Err(PolicyError::WindowMs(window_ms))
            }
            Self::PerSecond {
                requests_per_second: rate,
                ..
            } if !in_range(rate) => Err(PolicyError::RequestsPerSecond(rate)),
            Self::PerSecond {
                burst_size: Some(burst),
                ..
            } if !in_range(burst) => Err(PolicyError::BurstSize(burst)),
            Self::PerSecond {
                requests_per_second: rate,
                burst_size: Some(burst),
            } if burst_seconds(rate, burst) * 1000 > MAX_WINDOW_MS => {
                Err(PolicyError::BurstTooLong { burst, rate })
            }
            Self::Window { .. } | Self::PerSecond { .. } => Ok(()),
        }
    }

    fn windows(self) -> Windows {
        let mut windows = Windows::new();
        match self {
            Self::Window { limit, window_ms } => windows.push(Window::new(limit, window_ms * 1000)),
            Self::PerSecond {
                requests_per_second: rate,
                burst_size,
            } => {
                let burst = burst_size.unwrap_or(rate);
                if burst < rate {
                    let spacing = (u64::from(burst) * SECOND).div_ceil(u64::from(rate));
                    windows.push(Window::new(burst, spacing));
                    windows.push(Window::new(rate, SECOND));
                } else {
                    windows.push(Window::new(burst, SECOND));
                    if burst > rate {
                        let seconds = burst_seconds(rate, burst);
                        // At most burst + 2 * rate, which MAX_COUNT keeps within u32.
                        windows.push(Window::new(
                            (u64::from(rate) * seconds) as u32,
                            seconds * SECOND,
                        ));
                    }
                }
            }
        }
        windows
    }
}

fn burst_seconds(rate: u32, burst: u32) -> u64 {
    u64::from(burst.div_ceil(rate)) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(rate: u32, burst: Option<u32>) -> Vec<(u32, u64)> {
        let policy = Policy::new(Rate::PerSecond {
            requests_per_second: rate,
            burst_size: burst,
        })
        .unwrap();
        policy
            .windows()
            .iter()
            .map(|w| (w.limit(), w.length()))
            .collect()
    }

    #[test]
    fn rates_compile_to_windows_that_must_all_hold() {
        assert_eq!(windows(100, None), [(100, SECOND)]);
        assert_eq!(windows(100, Some(100)), [(100, SECOND)]);
        assert_eq!(windows(100, Some(150)), [(150, SECOND), (300, 3 * SECOND)]);
        assert_eq!(windows(10, Some(100)), [(100, SECOND), (110, 11 * SECOND)]);
        assert_eq!(windows(100, Some(10)), [(10, SECOND / 10), (100, SECOND)]);
        assert_eq!(windows(MAX_COUNT, Some(1)), [(1, 1), (MAX_COUNT, SECOND)]);
        let minute = Policy::new(Rate::Window {
            limit: 60,
            window_ms: 60_000,
        })
        .unwrap();
        assert_eq!(minute.windows().as_slice(), [Window::new(60, 60 * SECOND)]);
    }

    #[test]
    fn the_widest_burst_stays_within_u32() {
        assert_eq!(
            windows(MAX_COUNT - 1, Some(MAX_COUNT))[1],
            (2_999_999_997, 3 * SECOND)
        );
    }

    #[test]
    fn values_out_of_range_are_named() {
        let field = |rate| Policy::new(rate).unwrap_err().field();
        assert_eq!(
            field(Rate::Window {
                limit: 0,
                window_ms: 1000
            }),
            "limit"
        );
        assert_eq!(
            field(Rate::Window {
                limit: 1,
                window_ms: 0
            }),
            "windowMs"
        );
        assert_eq!(
            field(Rate::Window {
                limit: 1,
                window_ms: MAX_WINDOW_MS + 1
            }),
            "windowMs"
        );
        assert_eq!(
            field(Rate::PerSecond {
                requests_per_second: 0,
                burst_size: None
            }),
            "requestsPerSecond"
        );
        assert_eq!(
            field(Rate::PerSecond {
                requests_per_second: 1,
                burst_size: Some(0)
            }),
            "burstSize"
        );
        assert_eq!(
            field(Rate::PerSecond {
                requests_per_second: 1,
                burst_size: Some(MAX_COUNT)
            }),
            "burstSize"
        );
    }
}
