//! The ids of tenants that a file makes.
//!
//! They follow from the name, so that a tenant that leaves the file and comes back, or a file that is applied to an empty
//! database, gives the ids that were there before: metrics, logs and upstreams (`X-Tenant-Id`) know tenants by them.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use uuid::{Builder, Uuid};

/// The namespace of the names. Never to be changed.
const NAMESPACE: Uuid = Uuid::from_u128(0x7d0c_5f0e_3b52_4b7e_9d0b_52a4_6f0c_9a11);

/// The UUID v5 of the name (RFC 9562, section 5.5).
pub(super) fn of(name: &str) -> Uuid {
    let mut text = NAMESPACE.as_bytes().to_vec();
    text.extend_from_slice(name.as_bytes());
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &text);
    let first = hash.as_ref().first_chunk().expect("SHA-1 makes 20 bytes");
    Builder::from_sha1_bytes(*first).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `uuidgen --sha1 --namespace 7d0c5f0e-3b52-4b7e-9d0b-52a46f0c9a11 --name acme` says it.
    #[test]
    fn the_id_is_what_other_tools_make_of_the_name() {
        assert_eq!(
            of("acme").to_string(),
            "121f18a1-e55f-51ea-b8cd-692c5f14affb"
        );
        assert_eq!(of("acme").get_version_num(), 5);
    }
}
