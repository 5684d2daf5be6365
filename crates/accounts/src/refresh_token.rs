//! The text of a refresh token: `tenant~id~secret`.
//!
//! The tenant stands in it because nothing can be looked up without one, the id because the row is found by it. Neither opens
//! anything: the secret has 256 random bits, and of it only the SHA-256 digest is kept.

use aws_lc_rs::{constant_time, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bastide_auth::TenantId;
use bastide_config::Secret;
use bastide_repo::Uuid;

use crate::error::AccountError;
use crate::hidden::Hidden;

/// A character that no tenant's name has.
const BETWEEN: char = '~';
const SECRET_BYTES: usize = 32;

/// A refresh token as its bearer shows it. Nothing of it has been checked.
pub(crate) struct Presented<'a> {
    pub(crate) tenant: TenantId,
    pub(crate) id: Uuid,
    secret: &'a str,
}

/// One that was just made: the text for the client, and what is kept.
pub(crate) struct Made {
    pub(crate) id: Uuid,
    pub(crate) text: Secret,
    pub(crate) digest: Hidden,
}

impl Made {
    pub(crate) fn new(tenant: &TenantId) -> Result<Self, AccountError> {
        let mut bytes = [0; SECRET_BYTES];
        getrandom::fill(&mut bytes)
            .map_err(|error| AccountError::Internal(format!("no random numbers: {error}")))?;
        let (id, secret) = (Uuid::new_v4(), URL_SAFE_NO_PAD.encode(bytes));
        let text = format!("{tenant}{BETWEEN}{}{BETWEEN}{secret}", id.simple());
        Ok(Self {
            id,
            digest: digest_of(&secret),
            text: Secret::new(text),
        })
    }
}

impl<'a> Presented<'a> {
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(3, BETWEEN);
        let (tenant, id, secret) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self {
            tenant: TenantId::parse(tenant).ok()?,
            id: Uuid::try_parse(id).ok()?,
            secret,
        })
    }

    /// Whether this is the token whose digest was kept.
    pub(crate) fn fits(&self, kept: &Hidden) -> bool {
        let (mine, kept) = (digest_of(self.secret), kept.expose());
        constant_time::verify_slices_are_equal(mine.expose().as_bytes(), kept.as_bytes()).is_ok()
    }
}

fn digest_of(secret: &str) -> Hidden {
    Hidden::new(hex(
        digest::digest(&digest::SHA256, secret.as_bytes()).as_ref()
    ))
}

/// In hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_read_and_fits() {
        let tenant = TenantId::parse("org_a.b:c-d").unwrap();
        let made = Made::new(&tenant).unwrap();
        let shown = Presented::read(made.text.expose()).unwrap();
        assert_eq!((&shown.tenant, shown.id), (&tenant, made.id));
        assert!(shown.fits(&made.digest));
        assert!(!shown.fits(&Made::new(&tenant).unwrap().digest));
        assert_eq!(made.digest.expose().len(), 64);
        assert!(!made.text.expose().contains(made.digest.expose()));
    }

    #[test]
    fn what_is_no_token_is_not_read() {
        let id = Uuid::new_v4();
        for bad in [
            String::new(),
            "acme".to_owned(),
            format!("acme~{id}"),
            format!("~{id}~x"),
            format!("a b~{id}~x"),
            "acme~1~x".to_owned(),
        ] {
            assert!(Presented::read(&bad).is_none(), "{bad}");
        }
    }
}
