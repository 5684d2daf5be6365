//! Under what a value is found again.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bastide_auth::TenantId;
use serde::Serialize;

use crate::canonical;
use crate::digest;

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
        Self::build("tenant", Some(tenant), "", name, arguments)
    }

    /// The key of what only one subject of the tenant may see.
    pub fn for_subject(
        tenant: &TenantId,
        subject: &str,
        name: &str,
        arguments: &impl Serialize,
    ) -> Result<Self, KeyError> {
        Self::build("subject", Some(tenant), subject, name, arguments)
    }

    /// The key of what is the same for everybody. Only for values that depend on no tenant's data.
    pub fn shared(name: &str, arguments: &impl Serialize) -> Result<Self, KeyError> {
        Self::build("shared", None, "", name, arguments)
    }

    fn build(
        scope: &str,
        tenant: Option<&TenantId>,
        subject: &str,
        name: &str,
        arguments: &impl Serialize,
    ) -> Result<Self, KeyError> {
        let value = serde_json::to_value(arguments).map_err(|source| KeyError::Arguments {
            name: name.to_owned(),
            source,
        })?;
        let mut text = Vec::new();
        canonical::write(&value, &mut text);
        let whose = tenant.map_or("", TenantId::as_str);
        let [scope, whose, subject, name] = [scope, whose, subject, name].map(str::as_bytes);
        Ok(Self {
            digest: digest::of_parts(&[scope, whose, subject, name, &text]),
            tenant: tenant.cloned(),
        })
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

/// The place of a value within this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    cache: &'static str,
    digest: [u8; 32],
}
