//! The client's errors in our words.

use std::time::Duration;

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::error::StoreError;

/// Why a command brought no answer.
pub(super) struct Failure {
    pub(super) missing_script: bool,
    pub(super) error: StoreError,
}

impl Failure {
    pub(super) fn new(error: &RedisError, limit: Duration) -> Self {
        Self {
            missing_script: error.kind() == ErrorKind::Server(ServerErrorKind::NoScript),
            error: failure(error, limit),
        }
    }

    pub(super) fn late(limit: Duration) -> Self {
        Self {
            missing_script: false,
            error: StoreError::Timeout(limit),
        }
    }
}

/// Whether another connection may fare better: this one broke, or leads to a server that is no master any more.
pub(super) fn concerns_connection(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_connection_dropped()
        || error.is_unrecoverable_error()
        || matches!(
            error.kind(),
            ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown)
        )
}

/// The texts name addresses and server messages, never credentials.
pub(super) fn failure(error: &RedisError, limit: Duration) -> StoreError {
    if error.is_timeout() {
        return StoreError::Timeout(limit);
    }
    if error.is_io_error() || error.is_connection_dropped() || error.is_unrecoverable_error() {
        return StoreError::Unavailable(error.category().to_owned());
    }
    let text = error
        .detail()
        .map_or_else(|| error.category().to_owned(), str::to_owned);
    match error.kind() {
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ReadOnly
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::TryAgain
            | ServerErrorKind::Moved
            | ServerErrorKind::Ask,
        )
        | ErrorKind::ClusterConnectionNotFound => StoreError::Unavailable(text),
        ErrorKind::MasterNameNotFoundBySentinel => {
            StoreError::Unavailable("no sentinel named a master that answers".to_owned())
        }
        ErrorKind::AuthenticationFailed => {
            StoreError::Unavailable("it refused the user or password".to_owned())
        }
        _ if text.contains("not an integer") || text.contains("would overflow") => {
            StoreError::NotANumber
        }
        _ => StoreError::Refused(text),
    }
}
