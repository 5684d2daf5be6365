//! Who was found to be calling.

use std::sync::Arc;

use jiff::Timestamp;

use crate::sessions::SessionId;
use crate::tenant::TenantId;

/// What kind of caller it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A person, or a program acting as one, with a token.
    User,
    /// A trusted program with a service key.
    Service,
}

/// Who is calling, as the verifier found. Cheap to clone.
///
/// There is no way to make one but [`Verifier::verify`](crate::Verifier::verify) and
/// [`ServiceKeys::verify`](crate::ServiceKeys::verify):
/// ```compile_fail
/// let forged: bastide_auth::Identity = serde_json::from_str("{}").unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Identity(Arc<Facts>);

#[derive(Debug)]
pub(crate) struct Facts {
    pub kind: Kind,
    pub subject: Box<str>,
    pub tenant: Option<TenantId>,
    pub roles: Vec<Box<str>>,
    pub scopes: Vec<Box<str>>,
    pub tier: Option<Box<str>>,
    pub session: Option<SessionId>,
    /// `None`: a service key without an end.
    pub expires_at: Option<Timestamp>,
}

impl Identity {
    pub(crate) fn new(facts: Facts) -> Self {
        Self(Arc::new(facts))
    }

    /// A user's id, or a service key's name.
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// Whether a person's token or a service's key.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The tenant for whom the caller acts, if for one.
    pub fn tenant(&self) -> Option<&TenantId> {
        self.0.tenant.as_ref()
    }

    /// Whether the caller has this role.
    pub fn has_role(&self, role: &str) -> bool {
        self.0.roles.iter().any(|one| **one == *role)
    }

    /// Whether the caller has this scope.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.0.scopes.iter().any(|one| **one == *scope)
    }

    /// The roles, in the token's order.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.0.roles.iter().map(AsRef::as_ref)
    }

    /// The scopes, in the token's order.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.0.scopes.iter().map(AsRef::as_ref)
    }

    /// The plan that the tenant pays for, where the token says so; chooses the tier of rate limits.
    pub fn tier(&self) -> Option<&str> {
        self.0.tier.as_deref()
    }

    /// The session in the registry, if the token belongs to one.
    pub fn session(&self) -> Option<&SessionId> {
        self.0.session.as_ref()
    }

    /// When the token ends. `None`: a service key without an end.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.0.expires_at
    }
}
