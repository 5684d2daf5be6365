//! What a cache is told when it is made.

use std::time::Duration;

use bastide_auth::Clock;

/// The sizes and times of a cache.
#[derive(Debug, Clone)]
pub struct CacheOptions {
    /// Whether values are kept in the shared store too. Default `true`. Without it each process computes for itself;
    /// invalidations still go to all of them.
    pub multi_tier: bool,
    /// Values in this process's memory, at most and roughly: each shard has its share. Default 5 000. Zero: none, and
    /// every value is read from the store.
    pub l1_entries: usize,
    /// Bytes of those values together. Default 64 MiB.
    pub l1_bytes: usize,
    /// How long a value stays in this process before the store is asked again. Default 60 s.
    pub l1_ttl: Duration,
    /// How long a value stays in the store: the ceiling for every value, and what a [`Keep`](crate::Keep) without a time
    /// means. Default 1 h.
    pub l2_ttl: Duration,
    /// What the store's keys begin with behind `cache:`. Default nothing. Processes with the same prefix share values and
    /// invalidations.
    pub prefix: String,
    /// A larger value, in bytes of JSON, is not kept. Default 1 MiB.
    pub max_value_bytes: usize,
    /// How much of its time a value may lose by chance, so that values made together do not end together: 0 to 1.
    /// Default 0.1.
    pub jitter: f64,
    /// How long after an invalidation another process may still serve the old value, while the store is there. Default
    /// 2 s; usually it is milliseconds. The store is asked four times in this span, by each process, whether anything was
    /// missed.
    pub max_staleness: Duration,
    /// How old a value in this process may be to be served while the store is away, when nobody can tell whether it was
    /// invalidated. Default 10 s. Zero: none is served then.
    pub outage_ttl: Duration,
    /// How long one process may compute while the others wait for its value, and how long a caller waits for another's.
    /// Default 3 s. Whoever has waited that long computes too.
    pub lease: Duration,
    /// How long an operation of the store may take before it counts as away. Default 250 ms.
    pub store_timeout: Duration,
    /// The time of day, by which processes agree on how old a value in the store is.
    pub clock: Clock,
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self {
            multi_tier: true,
            l1_entries: 5_000,
            l1_bytes: 64 << 20,
            l1_ttl: Duration::from_secs(60),
            l2_ttl: Duration::from_secs(3_600),
            prefix: String::new(),
            max_value_bytes: 1 << 20,
            jitter: 0.1,
            max_staleness: Duration::from_secs(2),
            outage_ttl: Duration::from_secs(10),
            lease: Duration::from_secs(3),
            store_timeout: Duration::from_millis(250),
            clock: Clock::system(),
        }
    }
}

/// An option that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// A number is outside its range.
    #[error("the cache's option `{option}` is out of range: {reason}")]
    Range {
        /// The option.
        option: &'static str,
        /// What it should be.
        reason: &'static str,
    },
    /// Neither tier would hold anything.
    #[error("the cache has no tier: set `l1_entries` above 0 or `multi_tier` to true")]
    NoTier,
}

impl OptionsError {
    /// Stable code for logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Range { .. } => "cache_option_out_of_range",
            Self::NoTier => "cache_without_tier",
        }
    }
}

impl CacheOptions {
    pub(crate) fn check(&self) -> Result<(), OptionsError> {
        const PLAIN: &str = "at most 64 characters out of letters, digits and `._:-`";
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        let outside = |option, reason| Err(OptionsError::Range { option, reason });
        let positive = [
            ("l1_ttl", self.l1_ttl),
            ("l2_ttl", self.l2_ttl),
            ("lease", self.lease),
            ("store_timeout", self.store_timeout),
        ];
        for (option, duration) in positive {
            if duration < Duration::from_millis(1) || duration > Duration::from_hours(24 * 366) {
                return outside(option, "give 1 ms to 366 days");
            }
        }
        if !(Duration::from_millis(100)..=Duration::from_hours(1)).contains(&self.max_staleness) {
            return outside("max_staleness", "give 100 ms to 1 h");
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return outside("jitter", "give 0 to 1");
        }
        if self.max_value_bytes == 0 {
            return outside("max_value_bytes", "give at least 1");
        }
        if self.l1_entries > 0 && self.l1_bytes < self.max_value_bytes.saturating_mul(2) {
            return outside("l1_bytes", "give at least twice `max_value_bytes`");
        }
        if self.prefix.len() > 64 || !self.prefix.bytes().all(is_plain) {
            return outside("prefix", PLAIN);
        }
        if self.l1_entries == 0 && !self.multi_tier {
            return Err(OptionsError::NoTier);
        }
        Ok(())
    }

    /// The longest a value can be kept.
    pub(crate) fn ceiling(&self) -> Duration {
        if self.multi_tier {
            self.l2_ttl
        } else {
            self.l1_ttl
        }
    }

    /// How often the store is asked whether anything was missed.
    pub(crate) fn sync_every(&self) -> Duration {
        self.max_staleness / 4
    }
}
