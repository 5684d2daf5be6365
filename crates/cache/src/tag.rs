//! What values are invalidated by.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bastide_auth::TenantId;

use crate::digest::Parts;

/// Something that values depend on, as `user:7`. Values that carry the tag, in whichever cache, go together.
///
/// A tenant's tag is another than that of the same text of another tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag([u8; Tag::LEN]);

impl Tag {
    pub(crate) const LEN: usize = 16;

    /// Something of one tenant.
    pub fn for_tenant(tenant: &TenantId, text: &str) -> Self {
        Self::of(["tenant", tenant.as_str(), text])
    }

    /// Something that belongs to no tenant. A tenant's values may depend on it too.
    pub fn shared(text: &str) -> Self {
        Self::of(["shared", text])
    }

    /// Carried by every value: for when the store has lost something and nobody knows what.
    pub(crate) fn everything() -> Self {
        Self::of(["everything"])
    }

    /// Carried by every value of one cache.
    pub(crate) fn cache(name: &str) -> Self {
        Self::of(["cache", name])
    }

    fn of<const N: usize>(parts: [&str; N]) -> Self {
        let mut id = [0; Self::LEN];
        // Half of the digest: should two tags ever meet, one is invalidated with the other.
        id.copy_from_slice(&Parts::of(parts).digest()[..Self::LEN]);
        Self(id)
    }

    pub(crate) fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    pub(crate) fn stored(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}
