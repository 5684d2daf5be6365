//! API keys: how they look, how they are made and how they are hashed.
//!
//! A key reads `gk_<secret><checksum>`: the prefix lets leak scanners recognise it, the secret is 43 base-62 digits (256
//! random bits) and the checksum, six more, is the CRC-32 of all before it, so that a scanner can tell a key from a
//! look-alike. Callers may also choose keys of their own. Either kind is kept only as HMAC-SHA-256 under the
//! installation's pepper: finding a key is one hash and one map look-up however many tenants there are, and a stolen
//! table alone is of no use.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};

use crate::model::KeyHash;

const PREFIX: &str = "gk_";
const SECRET_DIGITS: usize = 43;
const CHECKSUM_DIGITS: usize = 6;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// How many of a key's last characters are kept so that people can tell keys apart.
const HINT_CHARS: usize = 4;

/// Makes and hashes API keys under one pepper.
#[derive(Clone)]
pub struct Keys {
    pepper: hmac::Key,
}

/// A key that was just made. This is the only moment at which it is known.
pub struct MintedKey {
    /// To be shown once.
    pub key: String,
    /// Its last characters.
    pub hint: String,
    /// To be kept.
    pub hash: KeyHash,
}

impl Keys {
    /// The pepper may have any length; 32 random bytes are right.
    pub fn new(pepper: &[u8]) -> Self {
        Self {
            pepper: hmac::Key::new(hmac::HMAC_SHA256, pepper),
        }
    }

    /// A fresh secret of 256 random bits as base-62 digits: a pepper, or an admin key.
    pub fn random_secret() -> String {
        random_digits(&SystemRandom::new(), SECRET_DIGITS)
    }

    /// Makes a key of 256 random bits.
    pub fn mint(&self) -> MintedKey {
        let mut key = String::from(PREFIX);
        key.push_str(&random_digits(&SystemRandom::new(), SECRET_DIGITS));
        let mut checksum = crc32fast::hash(key.as_bytes());
        for _ in 0..CHECKSUM_DIGITS {
            key.push(char::from(BASE62[(checksum % 62) as usize]));
            checksum /= 62;
        }
        MintedKey {
            hint: self.hint(&key),
            hash: self.hash(&key),
            key,
        }
    }

    /// What is kept of a key.
    pub fn hash(&self, key: &str) -> KeyHash {
        KeyHash::Hmac(self.digest(key.as_bytes()))
    }

    /// The bare digest, as the data plane looks it up.
    pub fn digest(&self, key: &[u8]) -> [u8; 32] {
        let tag = hmac::sign(&self.pepper, key);
        tag.as_ref()
            .try_into()
            .expect("HMAC-SHA-256 makes 32 bytes")
    }

    /// The key's last four characters.
    pub fn hint(&self, key: &str) -> String {
        let skip = key.chars().count().saturating_sub(HINT_CHARS);
        key.chars().skip(skip).collect()
    }
}

/// Unbiased base-62 digits: random bytes of 248 and above are thrown away (62 * 4 = 248).
fn random_digits(source: &SystemRandom, count: usize) -> String {
    let mut digits = String::with_capacity(count);
    let mut bytes = [0; 64];
    while digits.len() < count {
        source
            .fill(&mut bytes)
            .expect("the operating system gives random bytes");
        let usable = bytes.iter().filter(|byte| **byte < 248);
        digits.extend(
            usable
                .map(|byte| char::from(BASE62[usize::from(byte % 62)]))
                .take(count - digits.len()),
        );
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minted_key_has_the_documented_form_and_a_true_checksum() {
        let minted = Keys::new(b"pepper").mint();
        assert_eq!(
            minted.key.len(),
            PREFIX.len() + SECRET_DIGITS + CHECKSUM_DIGITS
        );
        assert!(minted.key.starts_with("gk_"));
        assert!(minted.key.ends_with(&minted.hint));
        let (body, checksum) = minted.key.split_at(minted.key.len() - CHECKSUM_DIGITS);
        let value = checksum.bytes().rev().fold(0u64, |value, digit| {
            value * 62 + BASE62.iter().position(|d| *d == digit).unwrap() as u64
        });
        assert_eq!(value, u64::from(crc32fast::hash(body.as_bytes())));
    }

    #[test]
    fn the_hash_depends_on_key_and_pepper() {
        let keys = Keys::new(b"pepper");
        assert_eq!(keys.hash("a key"), keys.hash("a key"));
        assert_ne!(keys.hash("a key"), keys.hash("another key"));
        assert_ne!(keys.hash("a key"), Keys::new(b"salt").hash("a key"));
    }

    #[test]
    fn a_long_key_counts_to_its_last_byte() {
        let keys = Keys::new(b"pepper");
        let long = "k".repeat(200);
        assert_ne!(
            keys.hash(&format!("{long}1")),
            keys.hash(&format!("{long}2"))
        );
    }
}
