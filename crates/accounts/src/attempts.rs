//! Wrong passwords, counted for each account.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use bastide_auth::TenantId;
use bastide_limit::{Limit, LimitKey, Limiter, Outcome, Policy, clock};
use quick_cache::sync::Cache;

use crate::email::Email;
use crate::error::{AccountError, Result};
use crate::refresh_token::hex;

/// The counts of the latest hundred thousand accounts that somebody tried, whether they exist or not.
pub(crate) struct Attempts {
    limiter: Limiter,
    policy: Policy,
    counts: Cache<String, Arc<Limit>>,
}

/// One try, which counts unless it is taken back.
pub(crate) struct Attempt {
    limit: Arc<Limit>,
    at: u64,
}

const ACCOUNTS: usize = 100_000;

impl Attempts {
    pub(crate) fn new(limiter: Limiter, policy: Policy) -> Self {
        Self {
            limiter,
            policy,
            counts: Cache::new(ACCOUNTS),
        }
    }

    /// Before a password is looked at: many tries at once are no more than the limit either.
    pub(crate) async fn begin(&self, tenant: &TenantId, email: &Email) -> Result<Attempt> {
        // What a stranger sends becomes a name of one length, and stands in no store as an address.
        let account = format!("{tenant} {}", email.as_str());
        let digest = digest::digest(&digest::SHA256, account.as_bytes());
        let name = hex(digest.as_ref());
        let known = self.counts.get(&name);
        let limit = known.unwrap_or_else(|| {
            let key = LimitKey::new("auth/passwords", &name);
            let limit = self.limiter.handle(key, &self.policy);
            self.counts.insert(name, limit.clone());
            limit
        });
        let at = clock::now();
        match limit.acquire(at).await {
            Outcome::Refused(quota) => Err(AccountError::TooManyAttempts {
                retry_after: Duration::from_micros(quota.retry_after),
            }),
            Outcome::Admitted(_) | Outcome::Pending => Ok(Attempt { limit, at }),
        }
    }
}

impl Attempt {
    /// Only a wrong password counts.
    pub(crate) fn end<T>(self, result: &Result<T>) {
        if !matches!(result, Err(AccountError::Credentials)) {
            self.limit.refund(self.at);
        }
    }
}
