//! What can go wrong with a store.

use std::time::Duration;

use crate::url::UrlError;

/// Why an operation did not happen, or may not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The server cannot be reached. Whether a change that was on its way took place is unknown.
    #[error(
        "the shared store cannot be reached ({0}); check that Redis runs and that its URL is right"
    )]
    Unavailable(String),
    /// No answer in time. Whether a change took place is unknown.
    #[error("the shared store did not answer within {0:?}; check its load and the network")]
    Timeout(Duration),
    /// The server refused the operation.
    #[error("the shared store refused the operation: {0}")]
    Refused(String),
    /// The value under the key is not of the kind the operation works on, as incrementing a text.
    #[error("the value under this key is not a whole number; delete the key or use another")]
    NotANumber,
    /// The store, in memory or in a file, holds as much as it may.
    #[error("the store is full; raise its limits or use Redis")]
    Full,
    /// The store's file cannot be used, or not any more.
    #[error("the store file {path:?} cannot be used: {reason}; {remedy}")]
    File {
        /// Which one.
        path: String,
        /// What is wrong.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The operation needs another back end.
    #[error("{0} needs Redis; give its URL")]
    NeedsRedis(&'static str),
    /// The URL is not one of a Redis server.
    #[error(transparent)]
    Url(#[from] UrlError),
}

impl StoreError {
    /// Whether the store is away, so that trying later may help.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Timeout(_))
    }

    /// Stable code for logs and replies.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "store_unavailable",
            Self::Timeout(_) => "store_timeout",
            Self::Refused(_) => "store_refused",
            Self::NotANumber => "store_not_a_number",
            Self::Full => "store_full",
            Self::File { .. } => "store_file_unusable",
            Self::NeedsRedis(_) => "store_needs_redis",
            Self::Url(_) => "store_url_invalid",
        }
    }
}
