//! What can go wrong, and what the caller is told of it.

use std::time::Duration;

use bastide_auth::{FindError, KeyError, PasswordError};
use bastide_repo::RepoError;
use bastide_rpc::{ApiError, Declared, FieldError, Problem};
use bastide_store::StoreError;

/// Result of everything here.
pub type Result<T, E = AccountError> = std::result::Result<T, E>;

/// Why an operation did not happen. [`AccountError::code`] is stable; no message has anything of a password or token in it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// No such user, another password, or a user who may not sign in: nobody is told which.
    #[error("email and password do not belong together here")]
    Credentials,
    /// Too many wrong passwords for this account.
    #[error("too many wrong passwords for this account; try again later")]
    TooManyAttempts {
        /// When another one is looked at.
        retry_after: Duration,
    },
    /// Too many passwords are being checked.
    #[error("too many sign-ins at the moment; try again in a few seconds")]
    Busy,
    /// A member of the input is not what it has to be.
    #[error("{field}: {message}")]
    Input {
        /// Which member.
        field: &'static str,
        /// What is wrong, and what to do.
        message: String,
    },
    /// Another user of the tenant has this address.
    #[error("another user has this address")]
    EmailTaken,
    /// Strangers may not register in this tenant.
    #[error("nobody registers here by themselves; ask an administrator")]
    RegistrationClosed,
    /// The refresh token is none, or one of long ago.
    #[error("the refresh token is not valid; sign in again")]
    RefreshInvalid,
    /// The refresh token has ended.
    #[error("the refresh token has expired; sign in again")]
    RefreshExpired,
    /// The refresh token had been used before. Its session has been ended.
    #[error("the refresh token had been used before, and its session was ended; sign in again")]
    RefreshReused,
    /// The session was ended, or its user may not sign in any more.
    #[error("the session has been ended; sign in again")]
    SessionEnded,
    /// There is no such session or user, or none that the caller may know of.
    #[error("there is no such {0} here")]
    NotFound(&'static str),
    /// The caller is no user, or none of these accounts.
    #[error("this is for signed-in users")]
    UserRequired,
    /// What is asked for needs a role that the caller does not have.
    #[error("this needs the role {0:?}")]
    RoleRequired(String),
    /// The database or the shared store is away, or nothing came of it in time.
    #[error("this cannot be done now: {0}")]
    Unavailable(String),
    /// The answer is no longer wanted. It may have been carried out.
    #[error("the deadline of this call has passed")]
    DeadlinePassed,
    /// A bug, or a database that does not fit.
    #[error("something failed inside: {0}")]
    Internal(String),
}

impl AccountError {
    /// The code under which programs know it.
    pub fn code(&self) -> &'static str {
        self.declared().code
    }

    pub(crate) fn input(field: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self::Input { field, message }
    }

    fn declared(&self) -> Declared {
        let (status, code) = match self {
            Self::Credentials => (401, "credentials_invalid"),
            Self::TooManyAttempts { .. } => (429, "too_many_attempts"),
            Self::Busy => (503, "passwords_busy"),
            Self::Input { .. } => (400, "validation_failed"),
            Self::EmailTaken => (409, "email_taken"),
            Self::RegistrationClosed => (403, "registration_closed"),
            Self::RefreshInvalid => (401, "refresh_invalid"),
            Self::RefreshExpired => (401, "refresh_expired"),
            Self::RefreshReused => (401, "refresh_reused"),
            Self::SessionEnded => (401, "session_revoked"),
            Self::NotFound(_) => (404, "not_found"),
            Self::UserRequired => (403, "user_required"),
            Self::RoleRequired(_) => (403, "role_required"),
            Self::Unavailable(_) => (503, "accounts_unavailable"),
            Self::DeadlinePassed => (504, "deadline_passed"),
            Self::Internal(_) => (500, "internal"),
        };
        Declared { status, code }
    }
}

impl From<RepoError> for AccountError {
    fn from(error: RepoError) -> Self {
        match error {
            RepoError::Unavailable(error) => Self::Unavailable(error.to_string()),
            RepoError::DeadlinePassed => Self::DeadlinePassed,
            other => Self::Internal(other.to_string()),
        }
    }
}

impl From<FindError> for AccountError {
    fn from(error: FindError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<StoreError> for AccountError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<PasswordError> for AccountError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::Busy,
            PasswordError::TooLong => Self::input("password", error.to_string()),
            PasswordError::Stored(_) => Self::Internal(error.to_string()),
        }
    }
}

impl From<KeyError> for AccountError {
    fn from(error: KeyError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl ApiError for AccountError {
    const DECLARED: &'static [Declared] = &[
        declared(400, "validation_failed"),
        declared(401, "credentials_invalid"),
        declared(401, "refresh_expired"),
        declared(401, "refresh_invalid"),
        declared(401, "refresh_reused"),
        declared(401, "session_revoked"),
        declared(403, "registration_closed"),
        declared(403, "role_required"),
        declared(403, "user_required"),
        declared(404, "not_found"),
        declared(409, "email_taken"),
        declared(429, "too_many_attempts"),
        declared(503, "accounts_unavailable"),
        declared(503, "passwords_busy"),
    ];

    fn into_problem(self) -> Problem {
        const SOON: Duration = Duration::from_secs(1);
        let Declared { status, code } = self.declared();
        match self {
            Self::Input { field, message } => {
                Problem::invalid_input(vec![FieldError::new(field, message)])
            }
            Self::TooManyAttempts { retry_after } => {
                Problem::new(status, code, self.to_string()).retry_after(retry_after)
            }
            Self::Busy => Problem::new(status, code, self.to_string()).retry_after(SOON),
            Self::Unavailable(reason) => {
                tracing::warn!(reason, "an operation on accounts could not be carried out");
                let detail = "this cannot be done now; try again later";
                Problem::new(status, code, detail).retry_after(SOON)
            }
            Self::DeadlinePassed => bastide_context::DeadlinePassed.into(),
            Self::Internal(reason) => {
                tracing::error!(reason, "an operation on accounts failed");
                Problem::internal()
            }
            other => Problem::new(status, code, other.to_string()),
        }
    }
}

const fn declared(status: u16, code: &'static str) -> Declared {
    Declared { status, code }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_declared_is_what_is_answered() {
        let all = [
            AccountError::Credentials,
            AccountError::TooManyAttempts {
                retry_after: Duration::from_secs(9),
            },
            AccountError::Busy,
            AccountError::input("email", "no"),
            AccountError::EmailTaken,
            AccountError::RegistrationClosed,
            AccountError::RefreshInvalid,
            AccountError::RefreshExpired,
            AccountError::RefreshReused,
            AccountError::SessionEnded,
            AccountError::NotFound("session"),
            AccountError::UserRequired,
            AccountError::RoleRequired("owner".to_owned()),
            AccountError::Unavailable("the inside".to_owned()),
        ];
        let mut answered: Vec<Declared> = Vec::new();
        for error in all {
            let declared = error.declared();
            let problem = error.into_problem();
            assert_eq!(
                (problem.status(), problem.code()),
                (declared.status, declared.code)
            );
            answered.push(declared);
        }
        answered.sort_unstable();
        assert_eq!(answered, AccountError::DECLARED);
    }

    #[test]
    fn the_inside_is_not_told() {
        for error in [
            AccountError::Unavailable("the inside".to_owned()),
            AccountError::Internal("the inside".to_owned()),
        ] {
            let json = error.into_problem().to_json("1");
            assert!(!String::from_utf8(json).unwrap().contains("the inside"));
        }
    }
}
