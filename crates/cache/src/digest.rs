//! Names of fixed length for lists of texts.

use aws_lc_rs::digest::{SHA256, digest};

/// A list of texts, each behind its length: two different lists are never one input.
#[derive(Default)]
pub(crate) struct Parts(Vec<u8>);

impl Parts {
    pub(crate) fn of<const N: usize>(parts: [&str; N]) -> Self {
        const LENGTH: usize = size_of::<u64>();
        let size = parts.iter().map(|part| LENGTH + part.len()).sum();
        let mut all = Self(Vec::with_capacity(size));
        for part in parts {
            all.push(|bytes| bytes.extend_from_slice(part.as_bytes()));
        }
        all
    }

    /// One more, which this appends to the bytes.
    pub(crate) fn push(&mut self, append: impl FnOnce(&mut Vec<u8>)) {
        let Self(bytes) = self;
        let place = bytes.len();
        bytes.extend_from_slice(&[0; size_of::<u64>()]);
        let begin = bytes.len();
        append(bytes);
        let length = (bytes.len() - begin) as u64;
        bytes[place..begin].copy_from_slice(&length.to_be_bytes());
    }

    /// SHA-256 over the list.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let digest = digest(&SHA256, &self.0);
        digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_what_they_are_in_the_store() {
        let mut parts = Parts::of(["tenant", "acme", ""]);
        parts.push(|bytes| bytes.extend_from_slice(b"{}"));
        let mut input = Vec::new();
        for part in [&b"tenant"[..], b"acme", b"", b"{}"] {
            input.extend_from_slice(&(part.len() as u64).to_be_bytes());
            input.extend_from_slice(part);
        }
        assert_eq!(parts.digest(), digest(&SHA256, &input).as_ref());
        assert_ne!(
            Parts::of(["ab", "c"]).digest(),
            Parts::of(["a", "bc"]).digest()
        );
    }
}
