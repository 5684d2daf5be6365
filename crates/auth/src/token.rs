//! The form of a signed token: JWS compact serialization (RFC 7515, 7.1), read before anything of it is trusted.

use crate::base64url;
use crate::error::AuthError;
use crate::keys::Algorithm;
use crate::object::Object;

/// What the text of a token is made of. Nothing has been verified.
#[derive(Debug)]
pub(crate) struct Token<'a> {
    pub algorithm: Algorithm,
    pub key_id: Option<String>,
    /// `header.payload`, what was signed.
    pub message: &'a str,
    pub payload: &'a str,
    pub signature: &'a str,
}

/// Header parameters which change what the payload or the signature means. Keys and URLs of keys (`jwk`, `jku`, `x5c`, `x5u`)
/// change nothing, because they are not looked at.
const EXTENSIONS: [&str; 5] = ["crit", "b64", "zip", "cty", "enc"];

/// A request's whole head has 16 KiB.
const MAX_TOKEN: usize = 8 * 1024;
const MAX_KEY_ID: usize = 256;

impl<'a> Token<'a> {
    pub(crate) fn read(token: &'a str) -> Result<Self, AuthError> {
        if token.len() > MAX_TOKEN {
            return Err(AuthError::Invalid("longer than 8 KiB"));
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(AuthError::Invalid("not three parts with dots between them"));
        };
        let bytes =
            base64url::decode(header).ok_or(AuthError::Invalid("the header is not base64url"))?;
        const NO_HEADER: AuthError = AuthError::Invalid("the header is not a JOSE header");
        let header = Object::read(&bytes).ok_or(NO_HEADER)?;
        let text = |name: &str| header.text(name).map_err(|_| NO_HEADER);
        let algorithm = text("alg")?.ok_or(NO_HEADER)?;
        let key_id = text("kid")?;
        if EXTENSIONS.iter().any(|name| header.has(name)) {
            return Err(AuthError::Invalid("the header asks for an extension"));
        }
        if text("typ")?.is_some_and(|typ| !is_access_token(typ)) {
            return Err(AuthError::Invalid("a token of another type"));
        }
        if key_id.is_some_and(|id| id.len() > MAX_KEY_ID) {
            return Err(AuthError::Invalid("the key id is too long"));
        }
        Ok(Self {
            algorithm: Algorithm::read(algorithm)
                .ok_or(AuthError::Invalid("an algorithm that is not accepted"))?,
            key_id: key_id.map(str::to_owned),
            message: &token[..token.len() - signature.len() - 1],
            payload,
            signature,
        })
    }
}

/// RFC 8725, 3.11: a token made for another purpose says so here.
fn is_access_token(typ: &str) -> bool {
    ["JWT", "at+jwt", "application/at+jwt"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(typ))
}
