//! Rate limits as they are configured, and the tiers that name them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How often: either `{requestsPerSecond, burstSize?}` or `{limit, windowMs}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RateLimit {
    /// A sustained rate, and how much of it may come at once.
    #[serde(rename_all = "camelCase")]
    PerSecond {
        /// Requests per second, sustained.
        requests_per_second: u32,
        /// How many may come at once; `None` means `requests_per_second`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        burst_size: Option<u32>,
        /// What holds while the shared store is gone.
        #[serde(default, skip_serializing_if = "OnStoreLoss::is_default")]
        on_store_loss: OnStoreLoss,
        /// Ask the shared store for every request instead of leasing. Default false.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        exact: bool,
    },
    /// At most `limit` in any interval of `window_ms`.
    #[serde(rename_all = "camelCase")]
    Window {
        /// Requests per window.
        limit: u32,
        /// Milliseconds.
        window_ms: u64,
        /// What holds while the shared store is gone.
        #[serde(default, skip_serializing_if = "OnStoreLoss::is_default")]
        on_store_loss: OnStoreLoss,
        /// Ask the shared store for every request instead of leasing. Default false.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        exact: bool,
    },
}

/// What a limit does while the shared store cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnStoreLoss {
    /// Everything is admitted.
    FailOpen,
    /// This node admits its share: the limit divided by the nodes that it last knew of.
    #[default]
    FailShare,
    /// Nothing is admitted.
    FailClosed,
}

impl OnStoreLoss {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Limits by tier name.
pub type Tiers = BTreeMap<String, RateLimit>;

impl RateLimit {
    /// `limit` requests a minute, the form of the default tiers.
    pub const fn per_minute(limit: u32) -> Self {
        Self::Window {
            limit,
            window_ms: 60_000,
            on_store_loss: OnStoreLoss::FailShare,
            exact: false,
        }
    }

    /// The tiers of a fresh installation: `free` 60, `pro` 1 000 and `enterprise` 10 000 requests a minute.
    pub fn default_tiers() -> Tiers {
        [("free", 60), ("pro", 1_000), ("enterprise", 10_000)]
            .into_iter()
            .map(|(name, limit)| (name.to_owned(), Self::per_minute(limit)))
            .collect()
    }
}
