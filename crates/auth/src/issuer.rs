//! Making tokens.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use bastide_config::Secret;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{DecodingKey, EncodingKey, Header, encode};
use serde_json::{Map, Value, json};

use crate::binding::BindingKey;
use crate::claims::Claims;
use crate::clock::Clock;
use crate::error::KeyError;
use crate::keys::{Algorithm, checked_secret, readable};

/// A key that signs.
#[derive(Clone)]
pub struct SigningKey {
    algorithm: Algorithm,
    key: EncodingKey,
    id: Option<String>,
}

impl SigningKey {
    /// A secret that issuer and verifiers share, at least 32 bytes.
    pub fn hs256(secret: &Secret) -> Result<Self, KeyError> {
        Ok(Self::new(
            Algorithm::Hs256,
            EncodingKey::from_secret(checked_secret(secret)?),
        ))
    }

    /// An RSA private key in PEM (PKCS#1 or PKCS#8).
    pub fn rs256_pem(pem: &Secret) -> Result<Self, KeyError> {
        let key = EncodingKey::from_rsa_pem(pem.expose().as_bytes());
        Ok(Self::new(
            Algorithm::Rs256,
            readable("an RSA private key in PEM", key)?,
        ))
    }

    /// A private key of the curve P-256 in PEM (PKCS#8).
    pub fn es256_pem(pem: &Secret) -> Result<Self, KeyError> {
        let key = EncodingKey::from_ec_pem(pem.expose().as_bytes());
        Ok(Self::new(
            Algorithm::Es256,
            readable("a P-256 private key in PEM (PKCS#8)", key)?,
        ))
    }

    /// An Ed25519 private key in PEM (PKCS#8).
    pub fn eddsa_pem(pem: &Secret) -> Result<Self, KeyError> {
        let key = EncodingKey::from_ed_pem(pem.expose().as_bytes());
        Ok(Self::new(
            Algorithm::EdDsa,
            readable("an Ed25519 private key in PEM (PKCS#8)", key)?,
        ))
    }

    /// Gives the key this id, which its tokens name in `kid`.
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    fn new(algorithm: Algorithm, key: EncodingKey) -> Self {
        Self {
            algorithm,
            key,
            id: None,
        }
    }

    /// The public half; a shared secret has none.
    fn public(&self) -> Result<Option<Jwk>, KeyError> {
        if self.algorithm == Algorithm::Hs256 {
            return Ok(None);
        }
        let algorithm = self.algorithm.of_library();
        let jwk = match self.algorithm {
            // The library takes the length of a PKCS#8 key of version 1 for granted; others bring the public half along.
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(self.key.as_bytes());
                let pair = readable("an Ed25519 private key (PKCS#8)", pair)?;
                let public = DecodingKey::from_ed_der(pair.public_key().as_ref());
                Jwk::from_decoding_key(&public, Some(algorithm))
            }
            _ => Jwk::from_encoding_key(&self.key, algorithm),
        };
        let mut jwk = readable("a key with a public half", jwk)?;
        jwk.common.key_id.clone_from(&self.id);
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(Some(jwk))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({:?}, {:?})", self.algorithm, self.id)
    }
}

/// Makes access tokens.
#[derive(Debug, Clone)]
pub struct Issuer {
    key: SigningKey,
    name: Option<String>,
    audience: Option<String>,
    lifetime: Duration,
    binding: Option<BindingKey>,
    clock: Clock,
}

impl Issuer {
    /// How long a token lives unless said otherwise.
    pub const LIFETIME: Duration = Duration::from_mins(15);

    /// Signs with this key; tokens live 15 minutes.
    pub fn new(key: SigningKey) -> Self {
        Self {
            key,
            name: None,
            audience: None,
            lifetime: Self::LIFETIME,
            binding: None,
            clock: Clock::system(),
        }
    }

    /// The name of who issues (`iss`).
    pub fn issuer(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// For whom the tokens are (`aud`).
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// How long a token lives; whole seconds.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Binds tokens that have a session to its refresh token.
    pub fn binding(mut self, key: BindingKey) -> Self {
        self.binding = Some(key);
        self
    }

    /// Another clock, for tests.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// A signed token.
    pub fn sign(&self, claims: &Claims) -> Result<Secret, KeyError> {
        let now = self.clock.now().as_second();
        // A program's own claims cannot take the place of ours: those are put over them.
        let mut payload = claims.more.clone();
        let mut put = |name: &str, value: Option<Value>| {
            payload.remove(name);
            if let Some(value) = value {
                payload.insert(name.to_owned(), value);
            }
        };
        let some_list = |list: &[String]| (!list.is_empty()).then(|| json!(list));
        let bound = self.binding.as_ref().zip(claims.session.as_ref());
        put("sub", Some(json!(claims.subject)));
        put("iss", self.name.as_ref().map(|name| json!(name)));
        put(
            "aud",
            self.audience.as_ref().map(|audience| json!(audience)),
        );
        put("iat", Some(json!(now)));
        put(
            "exp",
            Some(json!(now.saturating_add(self.lifetime.as_secs() as i64))),
        );
        put("nbf", None);
        put(
            "tenant_id",
            claims.tenant.as_ref().map(|tenant| json!(tenant)),
        );
        put("roles", some_list(&claims.roles));
        put(
            "scope",
            some_list(&claims.scopes).map(|_| json!(claims.scopes.join(" "))),
        );
        put("tier", claims.tier.as_ref().map(|tier| json!(tier)));
        put(
            "sid",
            claims
                .session
                .as_ref()
                .map(|(session, _)| json!(session.as_str())),
        );
        put(
            "cnf",
            bound.map(|(key, (_, refresh))| json!({ "fp": key.fingerprint(refresh) })),
        );
        self.sign_payload(&payload)
    }

    /// The public keys as a JWK set, for `/.well-known/jwks.json`. With [`Algorithm::Hs256`] it is empty.
    pub fn jwk_set(&self) -> Result<Value, KeyError> {
        let keys = self.key.public()?.into_iter().collect();
        readable("a JWK set", serde_json::to_value(JwkSet { keys }))
    }

    fn sign_payload(&self, payload: &Map<String, Value>) -> Result<Secret, KeyError> {
        let mut header = Header::new(self.key.algorithm.of_library());
        header.kid.clone_from(&self.key.id);
        encode(&header, payload, &self.key.key)
            .map(Secret::new)
            .map_err(|error| KeyError::Signing(error.to_string()))
    }
}
