//! The API key that came last on a connection: clients send the same one with every request, and its digest is then known.
//!
//! What the key is good for is looked up every time, so a revocation holds for the very next request.

use aws_lc_rs::constant_time;

use crate::keys::Keys;

/// A longer text is no key; it is not worth keeping.
const MAX: usize = 256;

#[derive(Default)]
pub(crate) struct LastKey {
    key: Vec<u8>,
    digest: [u8; 32],
}

impl LastKey {
    /// The digest of a key.
    pub(crate) fn digest(&mut self, keys: &Keys, key: &[u8]) -> [u8; 32] {
        // A connection may carry the keys of many, so how much of another's was guessed must not show.
        if constant_time::verify_slices_are_equal(&self.key, key).is_ok() {
            return self.digest;
        }
        let digest = keys.digest(key);
        if key.len() <= MAX {
            self.key.clear();
            self.key.extend_from_slice(key);
            self.digest = digest;
        }
        digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_its_key_in_any_order() {
        let keys = Keys::new(b"pepper");
        let long = [b'k'; MAX + 1];
        let mut last = LastKey::default();
        for key in [
            &b"one"[..],
            b"one",
            b"two",
            b"one",
            b"on",
            &long,
            b"on",
            &long,
        ] {
            assert_eq!(last.digest(&keys, key), keys.digest(key));
        }
    }
}
