//! From the text of a token to an identity.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::base64url;
use crate::binding::BindingKey;
use crate::claims::{Expected, Names, Read};
use crate::clock::Clock;
use crate::error::AuthError;
use crate::identity::Identity;
use crate::jwks::RemoteKeys;
use crate::keys::Keys;
use crate::remembered::{Remembered, Verified};
use crate::sessions::{Found, Sessions};
use crate::token::Token;

/// Verifies tokens. Share it by `Arc`.
///
/// A token that was verified is remembered, so that the signature is checked once in five minutes; its end, its session and
/// its binding are checked on every call.
#[derive(Debug)]
pub struct Verifier {
    source: Source,
    expected: Expected,
    cache: Option<Arc<Remembered>>,
    sessions: Option<Sessions>,
    binding: Option<BindingKey>,
    clock: Clock,
}

#[derive(Debug)]
enum Source {
    Fixed(Keys),
    Remote(Arc<RemoteKeys>),
}

impl Verifier {
    /// How many verified tokens are remembered unless said otherwise, each with its text of at most 8 KiB.
    pub const CACHED_TOKENS: usize = 5_000;
    /// For how long unless said otherwise.
    pub const CACHED_FOR: Duration = Duration::from_mins(5);
    /// By how much clocks may differ unless said otherwise.
    pub const LEEWAY: Duration = Duration::from_secs(30);

    /// Verifies with these keys.
    pub fn new(keys: Keys) -> Self {
        Self::with(Source::Fixed(keys))
    }

    /// Verifies with the keys that an issuer publishes.
    pub fn remote(keys: Arc<RemoteKeys>) -> Self {
        Self::with(Source::Remote(keys))
    }

    fn with(source: Source) -> Self {
        let expected = Expected {
            issuers: Vec::new(),
            audiences: Vec::new(),
            leeway: Self::LEEWAY.as_secs() as i64,
            names: Names::default(),
        };
        let verifier = Self {
            source,
            expected,
            cache: None,
            sessions: None,
            binding: None,
            clock: Clock::system(),
        };
        verifier.cache(Self::CACHED_TOKENS, Self::CACHED_FOR)
    }

    /// Accepts tokens of this issuer (`iss`). Without any issuer they are not looked at; the keys alone decide.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.expected.issuers.push(issuer.into());
        self
    }

    /// Accepts tokens for this audience (`aud`). Without any, only tokens that name none are accepted.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.expected.audiences.push(audience.into());
        self
    }

    /// By how much the issuer's clock may differ; whole seconds.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.expected.leeway = leeway.as_secs() as i64;
        self
    }

    /// The claim that names the tenant; `tenant_id` unless said otherwise.
    pub fn tenant_claim(mut self, name: impl Into<String>) -> Self {
        self.expected.names.tenant = name.into();
        self
    }

    /// The claim that lists roles; `roles` unless said otherwise.
    pub fn roles_claim(mut self, name: impl Into<String>) -> Self {
        self.expected.names.roles = name.into();
        self
    }

    /// The claim that names the plan; `tier` unless said otherwise.
    pub fn tier_claim(mut self, name: impl Into<String>) -> Self {
        self.expected.names.tier = name.into();
        self
    }

    /// Remembers this many verified tokens for this long. Zero of either: none.
    pub fn cache(mut self, tokens: usize, ttl: Duration) -> Self {
        self.cache = (tokens > 0 && !ttl.is_zero()).then(|| Arc::new(Remembered::new(tokens, ttl)));
        self
    }

    /// Asks the registry on every call. From then on a token without a session is refused.
    pub fn sessions(mut self, sessions: Sessions) -> Self {
        self.sessions = Some(sessions);
        self
    }

    /// Accepts only tokens that are bound to their session's active refresh token.
    ///
    /// # Panics
    /// If there is no registry yet: it is what knows the active refresh token. Give [`Verifier::sessions`] first.
    pub fn binding(mut self, key: BindingKey) -> Self {
        assert!(
            self.sessions.is_some(),
            "a binding is checked against a session; give `sessions` first"
        );
        self.binding = Some(key);
        self
    }

    /// Another clock, for tests.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Who the bearer of this token is.
    pub async fn verify(&self, token: &str) -> Result<Identity, AuthError> {
        let verified = match self.remembered(token) {
            Some(verified) => verified,
            None => self.check(token).await?,
        };
        let Read {
            identity,
            fingerprint,
            ..
        } = &verified.read;
        if let Some(sessions) = &self.sessions {
            self.check_session(sessions, identity, fingerprint.as_deref())
                .await?;
        }
        Ok(identity.clone())
    }

    /// Forgets every verified token, so that each signature is checked again.
    pub fn forget_all(&self) {
        if let Some(cache) = &self.cache {
            cache.forget_all();
        }
    }

    /// How often a signature did not have to be checked, and how often it had to: hits and misses of the token cache.
    pub fn cache_counts(&self) -> (u64, u64) {
        self.cache_counter()()
    }

    /// The same to be asked later, when the verifier is somebody else's.
    pub fn cache_counter(&self) -> impl Fn() -> (u64, u64) + Send + Sync + use<> {
        let cache = self.cache.clone();
        move || cache.as_deref().map_or((0, 0), Remembered::counts)
    }

    /// The token as it was verified before.
    fn remembered(&self, token: &str) -> Option<Arc<Verified>> {
        let cache = self.cache.as_ref()?;
        let now = self.clock.now();
        cache.find(token, |one| {
            now < one.until
                && now.as_second() < one.read.last_second
                && one.generation == self.generation()
        })
    }

    /// Checks signature and claims. Only a token that passes is remembered: bad ones cannot push out good ones.
    async fn check(&self, text: &str) -> Result<Arc<Verified>, AuthError> {
        let token = Token::read(text)?;
        let generation = match &self.source {
            Source::Fixed(keys) => {
                keys.verify(&token)?;
                0
            }
            Source::Remote(remote) => {
                let (keys, generation) = remote.keys_for(token.key_id.as_deref()).await?;
                keys.verify(&token)?;
                generation
            }
        };
        let payload = base64url::decode(token.payload)
            .ok_or(AuthError::Invalid("the claims are not base64url"))?;
        let now = self.clock.now();
        let read = self.expected.read(&payload, now)?;
        let ttl = self
            .cache
            .as_deref()
            .map_or(Duration::ZERO, Remembered::ttl);
        let until = now.checked_add(ttl).unwrap_or(Timestamp::MAX);
        let verified = Arc::new(Verified {
            read,
            until,
            generation,
        });
        if let Some(cache) = &self.cache {
            cache.keep(text, verified.clone());
        }
        Ok(verified)
    }

    async fn check_session(
        &self,
        sessions: &Sessions,
        identity: &Identity,
        fingerprint: Option<&str>,
    ) -> Result<(), AuthError> {
        let id = identity.session().ok_or(AuthError::Invalid("no session"))?;
        let found = sessions.find(id).await;
        let record = match found.map_err(|error| AuthError::Unavailable(error.to_string()))? {
            Found::Active(record) => record,
            Found::Revoked => return Err(AuthError::SessionRevoked),
            Found::Unknown => return Err(AuthError::SessionUnknown),
        };
        if record.user != identity.subject() || record.tenant.as_ref() != identity.tenant() {
            return Err(AuthError::Invalid("the session is another user's"));
        }
        if let Some(key) = &self.binding {
            let fingerprint = fingerprint.ok_or(AuthError::Invalid("the token is not bound"))?;
            if !key.fits(fingerprint, &record.refresh) {
                return Err(AuthError::Superseded);
            }
        }
        Ok(())
    }

    fn generation(&self) -> u64 {
        match &self.source {
            Source::Fixed(_) => 0,
            Source::Remote(remote) => remote.generation(),
        }
    }
}
