//! What an identity must have to enter.

use std::fmt;

use crate::identity::{Identity, Kind};

/// What is asked of an identity beyond being one. All parts must hold.
///
/// ```
/// use bastide_auth::Policy;
/// const POLICY: Policy = Policy::any_role(&["admin", "owner"]).all_scopes(&["users:write"]);
/// assert_eq!(POLICY.to_string(), "role admin or owner; scope users:write");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    any_role: &'static [&'static str],
    all_scopes: &'static [&'static str],
    services_only: bool,
}

/// Why a known caller may not enter. An HTTP 403.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// None of the roles that are let in.
    #[error("this needs another role")]
    Role,
    /// A scope is missing.
    #[error("this needs another scope; ask for a token that has it")]
    Scope,
    /// The caller acts for no tenant.
    #[error("this needs a token that belongs to a tenant")]
    Tenant,
    /// Only services are let in.
    #[error("this is for services alone")]
    ServicesOnly,
}

impl Denied {
    /// The stable code of problem documents.
    pub fn code(self) -> &'static str {
        match self {
            Self::Role => "role_required",
            Self::Scope => "scope_required",
            Self::Tenant => "tenant_required",
            Self::ServicesOnly => "service_required",
        }
    }
}

impl Policy {
    /// Any identity.
    pub const fn identified() -> Self {
        Self {
            any_role: &[],
            all_scopes: &[],
            services_only: false,
        }
    }

    /// Those who have at least one of these roles.
    pub const fn any_role(roles: &'static [&'static str]) -> Self {
        let mut policy = Self::identified();
        policy.any_role = roles;
        policy
    }

    /// Of these, those who have every one of these scopes.
    pub const fn all_scopes(mut self, scopes: &'static [&'static str]) -> Self {
        self.all_scopes = scopes;
        self
    }

    /// Of these, only services.
    pub const fn services_only(mut self) -> Self {
        self.services_only = true;
        self
    }

    /// The roles of which one is needed; none if any identity will do.
    pub const fn roles(&self) -> &'static [&'static str] {
        self.any_role
    }

    /// The scopes that are needed, all of them.
    pub const fn scopes(&self) -> &'static [&'static str] {
        self.all_scopes
    }

    /// Whether this identity may enter.
    pub fn admit(&self, identity: &Identity) -> Result<(), Denied> {
        if self.services_only && identity.kind() != Kind::Service {
            return Err(Denied::ServicesOnly);
        }
        if !self.any_role.is_empty() && !self.any_role.iter().any(|role| identity.has_role(role)) {
            return Err(Denied::Role);
        }
        if !self
            .all_scopes
            .iter()
            .all(|scope| identity.has_scope(scope))
        {
            return Err(Denied::Scope);
        }
        Ok(())
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.services_only {
            parts.push("services alone".to_owned());
        }
        if !self.any_role.is_empty() {
            parts.push(format!("role {}", self.any_role.join(" or ")));
        }
        if !self.all_scopes.is_empty() {
            parts.push(format!("scope {}", self.all_scopes.join(" and ")));
        }
        if parts.is_empty() {
            parts.push("any identity".to_owned());
        }
        f.write_str(&parts.join("; "))
    }
}
