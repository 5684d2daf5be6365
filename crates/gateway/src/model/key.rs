//! A tenant's API key, as it is kept: never the key itself.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{ManagedBy, RateLimit};

/// One of a tenant's keys. The key itself is shown once, when it is made, and is not kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiKey {
    /// Made by the gateway (UUID v7).
    pub id: Uuid,
    /// The tenant that it speaks for.
    pub tenant_id: Uuid,
    /// 1 to 255 characters; what the operator calls it. Default `default`.
    pub name: String,
    /// What a presented key is compared with.
    pub hash: KeyHash,
    /// The key's last four characters, so that people can tell keys apart. Empty when it was imported as a hash.
    pub hint: String,
    /// The key's own limit, counted beside the tenant's.
    pub rate_limit: Option<RateLimit>,
    /// Refused with 403 from this moment on.
    pub expires_at: Option<Timestamp>,
    /// Refused with 403: the key was revoked at this moment.
    pub revoked_at: Option<Timestamp>,
    /// The key that a rotation made in its place; from then on `expires_at` is the end of the grace period.
    #[serde(default)]
    pub replaced_by: Option<Uuid>,
    /// Who may change it.
    #[serde(default)]
    pub managed_by: ManagedBy,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Counts changes from 1; the entity tag of the Admin API.
    pub version: i64,
}

/// What is kept of a key.
///
/// As text: `hmac-sha256:<64 hex digits>` or a bcrypt string (`$2b$12$...`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum KeyHash {
    /// HMAC-SHA-256 of the key under the installation's pepper.
    Hmac([u8; 32]),
    /// A bcrypt hash from an import; rewritten as [`KeyHash::Hmac`] when the key is first presented.
    Bcrypt(String),
}

const HMAC_PREFIX: &str = "hmac-sha256:";

/// A text that is neither of the two forms of [`KeyHash`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected `hmac-sha256:` and 64 hex digits, or a bcrypt hash that begins with `$2`")]
pub struct NotAKeyHash;

impl TryFrom<String> for KeyHash {
    type Error = NotAKeyHash;

    fn try_from(text: String) -> Result<Self, NotAKeyHash> {
        if let Some(hex) = text.strip_prefix(HMAC_PREFIX) {
            return decode_hex(hex).map(Self::Hmac).ok_or(NotAKeyHash);
        }
        let is_bcrypt = text.len() == 60
            && ["$2a$", "$2b$", "$2x$", "$2y$"]
                .iter()
                .any(|p| text.starts_with(p));
        if is_bcrypt {
            Ok(Self::Bcrypt(text))
        } else {
            Err(NotAKeyHash)
        }
    }
}

impl From<KeyHash> for String {
    fn from(hash: KeyHash) -> Self {
        match hash {
            KeyHash::Hmac(digest) => {
                use std::fmt::Write as _;
                digest
                    .iter()
                    .fold(Self::from(HMAC_PREFIX), |mut text, byte| {
                        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
                        text
                    })
            }
            KeyHash::Bcrypt(text) => text,
        }
    }
}

fn decode_hex(hex: &str) -> Option<[u8; 32]> {
    let digits = hex.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = (high * 16 + low) as u8;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_reads_back_as_it_was_written() {
        let hash = KeyHash::Hmac(std::array::from_fn(|i| i as u8 * 7));
        assert_eq!(KeyHash::try_from(String::from(hash.clone())), Ok(hash));
        let bcrypt = "$2b$12$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyz01234".to_owned();
        assert_eq!(
            KeyHash::try_from(bcrypt.clone()).map(String::from),
            Ok(bcrypt)
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "hmac-sha256:",
            "hmac-sha256:zz",
            "sha256:00",
            "$2b$12$short",
            "secret",
        ] {
            assert_eq!(
                KeyHash::try_from(text.to_owned()),
                Err(NotAKeyHash),
                "{text}"
            );
        }
    }
}
