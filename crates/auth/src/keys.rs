//! The keys that verify signatures.

use std::fmt;

use bastide_config::Secret;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{DecodingKey, crypto};

use crate::base64url;
use crate::error::{AuthError, KeyError};
use crate::token::Token;

/// How a token is signed (RFC 7518, RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// HMAC with SHA-256: who verifies can also sign.
    Hs256,
    /// RSASSA-PKCS1-v1_5 with SHA-256, keys of 2048 bits or more.
    Rs256,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    pub(crate) fn read(name: &str) -> Option<Self> {
        match name {
            "HS256" => Some(Self::Hs256),
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            // RFC 9864 gives EdDSA with this curve a name of its own.
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            _ => None,
        }
    }

    pub(crate) fn of_library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

/// Keys that verify. Each belongs to one algorithm, and may have an id that tokens name in `kid`.
///
/// A token that names a key is verified by the keys of that id, and by those that have none. A token that names none is
/// verified by those without an id, and by one with an id if it is the only key of its algorithm.
#[derive(Clone, Default)]
pub struct Keys(Vec<Key>);

#[derive(Clone)]
struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    decoding: DecodingKey,
}

const MIN_SECRET: usize = 32;

impl Keys {
    /// A secret that issuer and verifier share, at least 32 bytes.
    pub fn hs256(secret: &Secret) -> Result<Self, KeyError> {
        let bytes = checked_secret(secret)?;
        Ok(Self::one(Algorithm::Hs256, DecodingKey::from_secret(bytes)))
    }

    /// An RSA public key in PEM.
    pub fn rs256_pem(pem: &str) -> Result<Self, KeyError> {
        let key = DecodingKey::from_rsa_pem(pem.as_bytes());
        Ok(Self::one(
            Algorithm::Rs256,
            readable("an RSA public key in PEM", key)?,
        ))
    }

    /// A public key of the curve P-256 in PEM.
    pub fn es256_pem(pem: &str) -> Result<Self, KeyError> {
        let key = DecodingKey::from_ec_pem(pem.as_bytes());
        Ok(Self::one(
            Algorithm::Es256,
            readable("a P-256 public key in PEM", key)?,
        ))
    }

    /// An Ed25519 public key in PEM.
    pub fn eddsa_pem(pem: &str) -> Result<Self, KeyError> {
        let key = DecodingKey::from_ed_pem(pem.as_bytes());
        Ok(Self::one(
            Algorithm::EdDsa,
            readable("an Ed25519 public key in PEM", key)?,
        ))
    }

    /// The public keys of a JWK set (RFC 7517) that verify one of the four algorithms. Others are passed over, and so are
    /// shared secrets: what is published is not secret.
    pub fn jwk_set(json: &str) -> Result<Self, KeyError> {
        #[derive(serde::Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }
        let set: Set = readable("a JWK set", serde_json::from_str(json))?;
        let mut keys = Self::default();
        for value in set.keys {
            // Of a key that cannot be read nothing is known, not even whether it was meant for this.
            let Some(key) = serde_json::from_value(value)
                .ok()
                .and_then(|jwk| verifying(&jwk))
            else {
                continue;
            };
            keys = keys.and(Self(vec![key]))?;
        }
        if keys.0.is_empty() {
            return Err(KeyError::None);
        }
        Ok(keys)
    }

    /// Gives the key this id, which tokens then name in `kid`.
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        let id = id.into();
        for key in &mut self.0 {
            key.id = Some(id.clone());
        }
        self
    }

    /// These keys and those: while keys are being changed, tokens of both verify.
    pub fn and(mut self, other: Self) -> Result<Self, KeyError> {
        for key in other.0 {
            let same = |known: &&Key| known.id == key.id && known.algorithm == key.algorithm;
            if let (Some(id), Some(_)) = (&key.id, self.0.iter().find(same)) {
                return Err(KeyError::Ambiguous(id.clone()));
            }
            self.0.push(key);
        }
        Ok(self)
    }

    /// Whether a key has this id. A set with a key that has none knows every id.
    pub(crate) fn knows(&self, id: Option<&str>) -> bool {
        self.0
            .iter()
            .any(|key| key.id.is_none() || id.is_none() || key.id.as_deref() == id)
    }

    /// Verifies the signature over header and payload.
    pub(crate) fn verify(&self, token: &Token<'_>) -> Result<(), AuthError> {
        // The library reads base64 with padding bits of any value; one token shall have one spelling.
        if base64url::decode(token.signature).is_none_or(|bytes| bytes.is_empty()) {
            return Err(AuthError::Invalid("the signature is not base64url"));
        }
        let fits = |key: &&Key| {
            key.algorithm == token.algorithm
                && match (&key.id, &token.key_id) {
                    (None, _) => true,
                    (Some(id), Some(named)) => id == named,
                    (Some(_), None) => {
                        self.0
                            .iter()
                            .filter(|one| one.algorithm == key.algorithm)
                            .count()
                            == 1
                    }
                }
        };
        let algorithm = token.algorithm.of_library();
        let mut candidates = self.0.iter().filter(fits).peekable();
        if candidates.peek().is_none() {
            return Err(AuthError::Invalid("no key for its algorithm and key id"));
        }
        let verifies = |key: &Key| {
            crypto::verify(
                token.signature,
                token.message.as_bytes(),
                &key.decoding,
                algorithm,
            )
        };
        if candidates.any(|key| verifies(key).unwrap_or(false)) {
            Ok(())
        } else {
            Err(AuthError::Invalid("the signature does not verify"))
        }
    }

    fn one(algorithm: Algorithm, decoding: DecodingKey) -> Self {
        Self(vec![Key {
            id: None,
            algorithm,
            decoding,
        }])
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.iter().map(|key| (key.algorithm, &key.id));
        f.debug_list().entries(shown).finish()
    }
}

pub(crate) fn checked_secret(secret: &Secret) -> Result<&[u8], KeyError> {
    let bytes = secret.expose().as_bytes();
    if bytes.len() < MIN_SECRET {
        return Err(KeyError::Short(bytes.len()));
    }
    Ok(bytes)
}

pub(crate) fn readable<T, E: fmt::Display>(
    expected: &'static str,
    result: Result<T, E>,
) -> Result<T, KeyError> {
    result.map_err(|error| KeyError::Unreadable {
        expected,
        why: error.to_string(),
    })
}

/// The key of a set, if it is there to verify one of our algorithms.
fn verifying(jwk: &Jwk) -> Option<Key> {
    if !matches!(
        jwk.common.public_key_use,
        None | Some(PublicKeyUse::Signature)
    ) {
        return None;
    }
    let (algorithm, name) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::Rs256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::Es256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDsa, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    // `alg` is optional; where it stands, it is the only one.
    if jwk
        .common
        .key_algorithm
        .as_ref()
        .is_some_and(|declared| *declared != name)
    {
        return None;
    }
    Some(Key {
        id: jwk.common.key_id.clone(),
        algorithm,
        decoding: DecodingKey::from_jwk(jwk).ok()?,
    })
}
