//! Tokens that count only as long as their session's refresh token does.

use std::fmt;
use std::fmt::Write as _;

use aws_lc_rs::{constant_time, hmac};
use bastide_config::Secret;

use crate::error::KeyError;
use crate::keys::checked_secret;

/// Makes the fingerprint of a refresh token's id that stands in the access token as `cnf.fp`.
///
/// It is the first 128 bits of HMAC-SHA-256, in hexadecimal. When the refresh token is rotated, fingerprints of the one
/// before fit no longer, so that an access token that was stolen ends with the next refresh. Give it a secret of its own:
/// whoever has it can bind tokens, whoever has the signing key can make them.
#[derive(Clone)]
pub struct BindingKey(hmac::Key);

const LENGTH: usize = 16;

impl BindingKey {
    /// With a secret of at least 32 bytes.
    pub fn new(secret: &Secret) -> Result<Self, KeyError> {
        Ok(Self(hmac::Key::new(
            hmac::HMAC_SHA256,
            checked_secret(secret)?,
        )))
    }

    /// The fingerprint of a refresh token's id.
    pub fn fingerprint(&self, refresh: &str) -> String {
        let tag = hmac::sign(&self.0, refresh.as_bytes());
        tag.as_ref()[..LENGTH]
            .iter()
            .fold(String::with_capacity(2 * LENGTH), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            })
    }

    /// Compares in constant time.
    pub(crate) fn fits(&self, fingerprint: &str, refresh: &str) -> bool {
        let expected = self.fingerprint(refresh);
        constant_time::verify_slices_are_equal(expected.as_bytes(), fingerprint.as_bytes()).is_ok()
    }
}

impl fmt::Debug for BindingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BindingKey")
    }
}
