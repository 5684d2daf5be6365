//! How accounts are kept, where a program wants it otherwise.

use std::time::Duration;

use bastide_auth::{Clock, KeyError, TenantId};
use bastide_limit::{Limiter, Policy, Rate};
use bastide_rpc::{LimitRule, RegistryError};

/// What a program may choose. Every one has an effect.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long an access token lives, in whole seconds; 15 minutes.
    pub access_lifetime: Duration,
    /// How long a session lives without being refreshed; 7 days.
    pub refresh_lifetime: Duration,
    /// For how long after it was replaced a refresh token may be presented again, by a client that did not get the answer; zero.
    /// Each presentation replaces the active token: of a thief and the owner, one has an old one from then on.
    pub reuse_grace: Duration,
    /// Who may register; by administrators alone.
    pub registration: Registration,
    /// How many characters a new password has at least; 12.
    pub min_password: usize,
    /// Who has one of these roles administers the users of the tenant; `admin`. Such a role is given by who has it.
    pub admin_roles: &'static [&'static str],
    /// How many wrong passwords an account may be given; 10 in 15 minutes. Right ones are taken back when they were checked.
    pub wrong_passwords: Policy,
    /// How often one address may sign in or register, each counted apart; 30 a minute. It is counted in front of the service's
    /// methods, by the dispatcher's limiter, and the address is the connection's: behind a gateway that is the gateway's, so that
    /// there the limit is everybody's together. Then raise it here, and limit addresses at the gateway.
    pub sign_ins: LimitRule,
    /// How often one address may refresh; 300 a minute. Counted as sign-ins are.
    pub refreshes: LimitRule,
    /// Where wrong passwords are counted; in this process alone. Several instances need a shared one.
    pub limiter: Limiter,
    /// The time; another for tests.
    pub clock: Clock,
}

/// Who may make an account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Registration {
    /// Administrators make accounts for others. The service has no method `register`.
    #[default]
    ByAdmins,
    /// Besides, strangers make accounts for themselves in these tenants and in no other, without roles. They are listed
    /// because whoever has an account is let in wherever any user of the tenant is.
    Open(Vec<TenantId>),
}

impl Default for Options {
    fn default() -> Self {
        let wrong_passwords = Policy::new(Rate::Window {
            limit: 10,
            window_ms: 15 * 60_000,
        });
        let per_minute = |text| LimitRule::parse(text).expect("a limit");
        Self {
            access_lifetime: Duration::from_mins(15),
            refresh_lifetime: Duration::from_hours(7 * 24),
            reuse_grace: Duration::ZERO,
            registration: Registration::ByAdmins,
            min_password: 12,
            admin_roles: &["admin"],
            wrong_passwords: wrong_passwords.expect("a policy"),
            sign_ins: per_minute("30/min"),
            refreshes: per_minute("300/min"),
            limiter: Limiter::local(),
            clock: Clock::system(),
        }
    }
}

/// The parts do not fit together; found at start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetUpError {
    /// A lifetime that makes no sense.
    #[error(
        "an access token lives {access:?} and a session {refresh:?}: give whole seconds, at least one, and the session the longer life"
    )]
    Lifetimes {
        /// Of access tokens.
        access: Duration,
        /// Of sessions.
        refresh: Duration,
    },
    /// A grace in which a stolen token would never be noticed.
    #[error("a grace of {0:?} is no shorter than an access token's life; some seconds are enough")]
    Grace(Duration),
    /// Nobody could make an account.
    #[error("without `admin_roles` nobody administers users; name at least one role")]
    NoAdmins,
    /// The key of the issuer cannot be published.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The service cannot be put together.
    #[error(transparent)]
    Service(#[from] RegistryError),
}

impl Options {
    pub(crate) fn check(&self) -> Result<(), SetUpError> {
        let (access, refresh) = (self.access_lifetime, self.refresh_lifetime);
        let is_whole = |time: Duration| time.as_secs() > 0 && time.subsec_nanos() == 0;
        if !is_whole(access) || !is_whole(refresh) || refresh <= access {
            return Err(SetUpError::Lifetimes { access, refresh });
        }
        if self.reuse_grace >= access {
            return Err(SetUpError::Grace(self.reuse_grace));
        }
        if self.admin_roles.is_empty() {
            return Err(SetUpError::NoAdmins);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_make_no_sense_are_refused() {
        assert_eq!(Options::default().check(), Ok(()));
        let minute = Duration::from_mins(1);
        let lifetimes = |access, refresh| Options {
            access_lifetime: access,
            refresh_lifetime: refresh,
            ..Options::default()
        };
        for (access, refresh) in [
            (Duration::ZERO, minute),
            (minute, minute),
            (Duration::from_millis(1_500), minute),
            (minute, Duration::ZERO),
        ] {
            let error = lifetimes(access, refresh).check().unwrap_err();
            assert_eq!(error, SetUpError::Lifetimes { access, refresh });
        }
        let long = Options {
            reuse_grace: Duration::from_mins(15),
            ..Options::default()
        };
        assert_eq!(long.check(), Err(SetUpError::Grace(long.reuse_grace)));
        let nobody = Options {
            admin_roles: &[],
            ..Options::default()
        };
        assert_eq!(nobody.check(), Err(SetUpError::NoAdmins));
    }
}
