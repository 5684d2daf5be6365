//! Users and their tokens.

use std::time::Duration;

use bastide_auth::{Claims, Issuer, SigningKey};
use bastide_config::Secret;

use crate::Failure;
use crate::users::TENANTS;

#[expect(clippy::print_stdout, reason = "it is what was asked for")]
pub(crate) fn print(secret: &Secret, count: u64) -> Result<(), Failure> {
    for user in 0..count {
        println!("{}", sign(secret, user)?);
    }
    Ok(())
}

/// The token of a user. They go round the tenants: the first is of `tenant-1`.
pub(crate) fn sign(secret: &Secret, user: u64) -> Result<String, Failure> {
    let issuer =
        Issuer::new(SigningKey::hs256(secret)?).lifetime(Duration::from_secs(24 * 60 * 60));
    let tenant = user % TENANTS + 1;
    let claims = Claims::new(format!("user-{user}")).tenant(format!("tenant-{tenant}"));
    Ok(issuer.sign(&claims)?.expose().to_owned())
}
