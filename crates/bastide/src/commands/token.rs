//! `token`: a token to try the program with.

use std::time::Duration;

use bastide_auth::{Claims, Issuer, SigningKey};

use super::print;
use crate::launch::TokenClaims;
use crate::parts::Parts;
use crate::settings::KeySource;

/// How long it lasts: as the tokens of an auth app.
const LIFETIME: Duration = Duration::from_mins(15);

pub(super) fn make(parts: &Parts, wanted: &TokenClaims) -> anyhow::Result<()> {
    let name = parts.environment.name();
    anyhow::ensure!(
        parts.environment.is_lenient(),
        "tokens are made here in development and tests alone, and this is {name} (BASTIDE_ENV)"
    );
    let settings = &parts.settings.auth;
    let Some(KeySource::Secret(secret)) = &settings.keys else {
        anyhow::bail!("auth.secret is not set: only whoever has the signing key can make tokens");
    };
    anyhow::ensure!(
        !settings.sessions,
        "auth.sessions.enabled is on: a token belongs to a session, and an auth app begins those"
    );
    let mut issuer = Issuer::new(SigningKey::hs256(secret)?).lifetime(LIFETIME);
    if let Some(name) = &settings.issuer {
        issuer = issuer.issuer(name);
    }
    if let Some(audience) = &settings.audience {
        issuer = issuer.audience(audience);
    }
    let mut claims = Claims::new(&wanted.subject);
    if let Some(tenant) = &wanted.tenant {
        claims = claims.tenant(tenant);
    }
    claims = wanted.role.iter().fold(claims, Claims::role);
    claims = wanted.scope.iter().fold(claims, Claims::scope);
    if let Some(tier) = &wanted.tier {
        claims = claims.tier(tier);
    }
    print(issuer.sign(&claims)?.expose());
    Ok(())
}
