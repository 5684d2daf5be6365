//! What can go wrong with a setting, and what a caller of the service is told of it.

use bastide_context::DeadlinePassed;
use bastide_db::DbError;
use bastide_rpc::{ApiError, Declared, FieldError, Problem};

/// Result of everything here.
pub type Result<T, E = SettingsError> = std::result::Result<T, E>;

/// Why a setting was not read, changed or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The settings that the program states are wrong themselves.
    #[error("{0}")]
    Declaration(String),
    /// This program has no such setting.
    #[error("there is no setting `{0}`")]
    Unknown(String),
    /// The value is not what the setting may be. Nothing was changed.
    #[error("`{key}`: {reason}")]
    Invalid {
        /// Which setting.
        key: String,
        /// What was expected and what was found.
        reason: String,
    },
    /// Somebody else changed it meanwhile. Nothing was changed.
    #[error("`{key}` is at version {found}, not {expected}; read it again and repeat the change")]
    Stale {
        /// Which setting.
        key: String,
        /// The version that was named.
        expected: u64,
        /// The version that it has.
        found: u64,
    },
    /// The call's deadline passed. It may have been changed if that was while it was committed.
    #[error(transparent)]
    Deadline(#[from] DeadlinePassed),
    /// The database did not do it.
    #[error(transparent)]
    Database(#[from] DbError),
}

impl ApiError for SettingsError {
    const DECLARED: &'static [Declared] = &[
        Declared {
            status: 404,
            code: "setting_unknown",
        },
        Declared {
            status: 409,
            code: "setting_stale",
        },
        Declared {
            status: 503,
            code: "settings_unavailable",
        },
    ];

    fn into_problem(self) -> Problem {
        let detail = self.to_string();
        match self {
            Self::Unknown(_) => Problem::new(404, "setting_unknown", detail),
            Self::Stale { .. } => Problem::new(409, "setting_stale", detail),
            Self::Invalid { reason, .. } => {
                Problem::invalid_input(vec![FieldError::new("value", reason)])
            }
            Self::Deadline(passed) => passed.into(),
            Self::Database(error) if error.is_transient() => {
                tracing::warn!(%error, "a setting could not be read or changed");
                let detail = "the settings cannot be reached now; try again later";
                Problem::new(503, "settings_unavailable", detail)
                    .retry_after(std::time::Duration::from_secs(1))
            }
            Self::Declaration(_) | Self::Database(_) => {
                tracing::error!(error = detail, "a setting could not be read or changed");
                Problem::internal()
            }
        }
    }
}
