//! Names of fixed length for lists of texts.

use aws_lc_rs::digest::{Context, SHA256};

/// SHA-256 over the parts, each behind its length: two different lists are never one input.
pub(crate) fn of_parts(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}
