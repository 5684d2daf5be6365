//! The digest under which a secret text is found again without being kept.

use aws_lc_rs::digest;

/// SHA-256.
pub(crate) fn sha256(text: &str) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}
