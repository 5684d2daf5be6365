//! Under what a value is found again.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bastide_auth::TenantId;
use serde::Serialize;
use serde_json::Value;

use crate::canonical;
use crate::digest::Parts;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The arguments have no JSON, so they cannot be compared.
    #[error("the arguments of `{name}` cannot be written as JSON ({source}); pass what can")]
    Arguments {
        /// The name that was given for the key.
        name: String,
        /// What the serialiser says.
        source: serde_json::Error,
    },
}

impl KeyError {
    /// Stable code for logs and replies.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Arguments { .. } => "cache_key_arguments",
        }
    }
}

/// Whose a value is, and so who may be given it.
#[derive(Debug, Clone, Copy)]
pub enum Owner<'a> {
    /// All callers of the tenant share it.
    Tenant(&'a TenantId),
    /// Only this subject of the tenant may see it.
    Subject(&'a TenantId, &'a str),
    /// It is the same for everybody. Only for values that depend on no tenant's data.
    Everybody,
}

/// Whose value it is, what made it, and of which arguments. Two keys are equal only if all of these are.
///
/// `name` says what was computed, as `users.find`. Arguments are compared by their JSON, with the members of objects in
/// any order; what JSON cannot tell apart (`None`, `()` and a number that is not finite) are the same arguments.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    digest: [u8; 32],
    tenant: Option<TenantId>,
}

impl Key {
    /// The key of what all of a tenant's callers share.
    pub fn for_tenant(
        tenant: &TenantId,
        name: &str,
        arguments: &impl Serialize,
    ) -> Result<Self, KeyError> {
        Ok(Self::of_json(
            Owner::Tenant(tenant),
            name,
            &json(name, arguments)?,
        ))
    }

    /// The key of what only one subject of the tenant may see.
    pub fn for_subject(
        tenant: &TenantId,
        subject: &str,
        name: &str,
        arguments: &impl Serialize,
    ) -> Result<Self, KeyError> {
        let owner = Owner::Subject(tenant, subject);
        Ok(Self::of_json(owner, name, &json(name, arguments)?))
    }

    /// The key of what is the same for everybody. Only for values that depend on no tenant's data.
    pub fn shared(name: &str, arguments: &impl Serialize) -> Result<Self, KeyError> {
        Ok(Self::of_json(
            Owner::Everybody,
            name,
            &json(name, arguments)?,
        ))
    }

    /// The key of arguments that are JSON already.
    pub fn of_json(owner: Owner<'_>, name: &str, arguments: &Value) -> Self {
        let (scope, tenant, subject) = match owner {
            Owner::Tenant(tenant) => ("tenant", Some(tenant), ""),
            Owner::Subject(tenant, subject) => ("subject", Some(tenant), subject),
            Owner::Everybody => ("shared", None, ""),
        };
        let of_tenant = tenant.map_or("", TenantId::as_str);
        let mut parts = Parts::of([scope, of_tenant, subject, name]);
        parts.push(|bytes| canonical::write(arguments, bytes));
        Self {
            digest: parts.digest(),
            tenant: tenant.cloned(),
        }
    }

    /// The place of this key's value in a cache.
    pub(crate) fn slot(&self, cache: &'static str) -> Slot {
        Slot {
            cache,
            digest: self.digest,
        }
    }

    /// The end of the names under which the store keeps what belongs to this key. The tenant is there for people to
    /// read; the digest tells keys apart.
    pub(crate) fn stored(&self, cache: &str) -> String {
        let tenant = self.tenant.as_ref().map_or("-", TenantId::as_str);
        let digest = URL_SAFE_NO_PAD.encode(self.digest);
        format!("{cache}:{tenant}:{digest}")
    }
}

fn json(name: &str, arguments: &impl Serialize) -> Result<Value, KeyError> {
    serde_json::to_value(arguments).map_err(|source| KeyError::Arguments {
        name: name.to_owned(),
        source,
    })
}

/// The place of a value within this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    cache: &'static str,
    digest: [u8; 32],
}
