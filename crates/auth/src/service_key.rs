//! Keys of trusted programs: long-lived, unguessable, each with its own rights.

use std::collections::HashMap;
use std::fmt;

use bastide_config::Secret;
use foldhash::fast::RandomState;
use jiff::Timestamp;

use crate::clock::Clock;
use crate::digest::sha256;
use crate::error::{AuthError, KeyError};
use crate::identity::{Facts, Identity, Kind};
use crate::keys::checked_secret;
use crate::tenant::TenantId;

/// For which tenant the bearer of a service key acts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TenantChoice {
    /// For none: what belongs to tenants stays closed.
    #[default]
    None,
    /// For this one alone.
    Fixed(TenantId),
    /// For the one that each call names. Only for programs that serve every tenant.
    Named,
}

/// One service key and what its bearer is.
#[derive(Debug, Clone)]
pub struct ServiceKey {
    name: String,
    digest: Digest,
    roles: Vec<String>,
    scopes: Vec<String>,
    tenant: TenantChoice,
    expires_at: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Digest([u8; 32]);

impl Digest {
    /// A fast digest is enough: there is nothing to guess in a key of 256 random bits.
    fn of(key: &str) -> Self {
        Self(sha256(key))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl ServiceKey {
    /// A key of this name, at least 32 characters. The key itself is not kept.
    pub fn new(name: impl Into<String>, key: &Secret) -> Result<Self, KeyError> {
        checked_secret(key)?;
        Ok(Self::of_operator(name, key))
    }

    /// A key of this name that an operator has chosen, of whatever length: whoever reads the configuration says how long it has to
    /// be. Wrong ones should be counted where it is short enough to be guessed. The key itself is not kept.
    pub fn of_operator(name: impl Into<String>, key: &Secret) -> Self {
        Self {
            name: name.into(),
            digest: Digest::of(key.expose()),
            roles: Vec::new(),
            scopes: Vec::new(),
            tenant: TenantChoice::None,
            expires_at: None,
        }
    }

    /// With one more role.
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.roles.push(role.into());
        self
    }

    /// With one more scope.
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scopes.push(scope.into());
        self
    }

    /// For which tenant it acts.
    pub fn tenant(mut self, tenant: TenantChoice) -> Self {
        self.tenant = tenant;
        self
    }

    /// Until when it counts.
    pub fn expires_at(mut self, at: Timestamp) -> Self {
        self.expires_at = Some(at);
        self
    }
}

/// The service keys of a process.
#[derive(Debug, Default)]
pub struct ServiceKeys {
    keys: HashMap<Digest, ServiceKey, RandomState>,
    clock: Clock,
}

impl ServiceKeys {
    /// These keys. Two of one name or of one value cannot be told apart and are refused.
    pub fn new(keys: impl IntoIterator<Item = ServiceKey>) -> Result<Self, KeyError> {
        let mut all = HashMap::with_hasher(RandomState::default());
        for key in keys {
            if all
                .values()
                .any(|known: &ServiceKey| known.name == key.name)
                || all.contains_key(&key.digest)
            {
                return Err(KeyError::Ambiguous(key.name));
            }
            all.insert(key.digest.clone(), key);
        }
        Ok(Self {
            keys: all,
            clock: Clock::system(),
        })
    }

    /// Another clock, for tests.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Who the bearer of this key is. `tenant` is the one that the call names, if it names one; a key that does not act for
    /// it is refused.
    pub fn verify(&self, key: &str, tenant: Option<&TenantId>) -> Result<Identity, AuthError> {
        let known = self
            .keys
            .get(&Digest::of(key))
            .ok_or(AuthError::ServiceKey)?;
        if known.expires_at.is_some_and(|end| end <= self.clock.now()) {
            return Err(AuthError::ServiceKey);
        }
        let tenant = match (&known.tenant, tenant) {
            (TenantChoice::None, None) => None,
            (TenantChoice::Fixed(own), None) => Some(own.clone()),
            (TenantChoice::Fixed(own), Some(named)) if own == named => Some(own.clone()),
            (TenantChoice::Named, named) => named.cloned(),
            (TenantChoice::None | TenantChoice::Fixed(_), Some(_)) => {
                return Err(AuthError::ServiceKey);
            }
        };
        let boxed = |texts: &[String]| texts.iter().map(|text| text.as_str().into()).collect();
        Ok(Identity::new(Facts {
            kind: Kind::Service,
            subject: known.name.as_str().into(),
            tenant,
            roles: boxed(&known.roles),
            scopes: boxed(&known.scopes),
            tier: None,
            session: None,
            expires_at: known.expires_at,
        }))
    }
}
