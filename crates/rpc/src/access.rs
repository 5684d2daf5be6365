//! Who may enter, as it is listed.

use std::fmt;

use bastide_auth::{Identity, Policy};
use bastide_context::{Known, Public, Refused, Scope, Tenant};

/// The stated policy of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody, for this reason.
    Public(&'static str),
    /// Whoever signed the body, in this way. The signature is looked at once the body is there.
    Signed(&'static str),
    /// Those whom the policy admits, whether they act for a tenant or not.
    Known(Policy),
    /// Those whom the policy admits and who act for a tenant.
    Tenant(Policy),
}

impl Access {
    /// Whether strangers may enter too, so that a bad token is no token.
    pub fn is_public(&self) -> bool {
        matches!(self, Self::Public(_) | Self::Signed(_))
    }

    /// The verdict about this caller. It is the only place where one is given, for every way in.
    pub fn admit(&self, identity: Option<&Identity>) -> Result<(), Refused> {
        let identity = identity.cloned();
        match self {
            Self::Public(_) | Self::Signed(_) => Public::admit(identity).map(drop),
            Self::Known(policy) => ruled(policy, identity, Known::admit),
            Self::Tenant(policy) => ruled(policy, identity, Tenant::admit),
        }
    }
}

/// Role and scope are asked for before the tenant: who lacks both learns first what is nearer to the door.
fn ruled<S>(
    policy: &Policy,
    identity: Option<Identity>,
    admit: fn(Option<Identity>) -> Result<S, Refused>,
) -> Result<(), Refused> {
    if let Some(identity) = &identity {
        policy.admit(identity)?;
    }
    admit(identity).map(drop)
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public(reason) => write!(f, "public: {reason}"),
            Self::Signed(way) => write!(f, "signed: {way}"),
            Self::Known(policy) => write!(f, "{policy}"),
            Self::Tenant(policy) => write!(f, "{policy}; for a tenant"),
        }
    }
}
