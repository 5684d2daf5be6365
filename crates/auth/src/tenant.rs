//! The name of a tenant.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Which tenant: 1 to 64 characters of `A-Z a-z 0-9 . _ : -`.
///
/// It is a name and opens nothing: what may be read of a tenant follows from an [`Identity`](crate::Identity).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(Arc<str>);

/// The text is no tenant's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a tenant's id of 1 to 64 characters out of letters, digits and `._:-`")]
pub struct TenantIdError;

impl TenantId {
    /// How many characters it has at most.
    pub const MAX_LEN: usize = 64;

    /// Reads a name.
    pub fn parse(text: &str) -> Result<Self, TenantIdError> {
        let is_fitting = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        if text.is_empty() || text.len() > Self::MAX_LEN || !text.bytes().all(is_fitting) {
            return Err(TenantIdError);
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TenantId {
    type Error = TenantIdError;

    fn try_from(text: String) -> Result<Self, TenantIdError> {
        Self::parse(&text)
    }
}

impl From<TenantId> for String {
    fn from(tenant: TenantId) -> Self {
        tenant.as_str().to_owned()
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TenantId({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for good in [
            "acme",
            "0190f3c2-7d5e-7c1a-8f00-000000000001",
            "org_a.b:c",
            &"x".repeat(64),
        ] {
            assert_eq!(TenantId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", " ", "a b", "a/b", "a*", "ä", "a\0", &"x".repeat(65)] {
            assert!(TenantId::parse(bad).is_err(), "{bad:?}");
        }
    }
}
