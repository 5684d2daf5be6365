//! The registry of sessions: what makes a signed token end before its time.
//!
//! It lives in the shared store under `sessions:{id}`, so that what one process ends is over for all. The value is what a
//! verifier needs: whose session it is and which refresh token is the active one.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bastide_store::{Namespace, Space, Store, StoreError};
use jiff::Timestamp;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Clock;
use crate::error::AuthError;
use crate::tenant::TenantId;

/// The id of a session: 1 to 64 characters of `A-Z a-z 0-9 _ -`. Not a secret, but unguessable if its maker does well.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionId(Arc<str>);

impl SessionId {
    /// Reads an id.
    pub fn parse(text: &str) -> Result<Self, AuthError> {
        let is_fitting = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if text.is_empty() || text.len() > 64 || !text.bytes().all(is_fitting) {
            return Err(AuthError::Invalid("the session's id is malformed"));
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SessionId {
    type Error = AuthError;

    fn try_from(text: String) -> Result<Self, AuthError> {
        Self::parse(&text)
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> Self {
        id.as_str().to_owned()
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the registry keeps of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// Whose session it is; a token's `sub` must agree.
    #[serde(rename = "u")]
    pub user: String,
    /// The id of the refresh token that is the active one.
    #[serde(rename = "r")]
    pub refresh: String,
    /// For which tenant, if for one; a token's tenant must agree.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// When it ends if it is not refreshed, in Unix seconds.
    #[serde(rename = "e")]
    pub expires_at: i64,
}

/// What the registry knows of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It is under way.
    Active(SessionRecord),
    /// Somebody ended it.
    Revoked,
    /// It ended long ago, or never was.
    Unknown,
}

/// Why it is not known how a session stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// The registry cannot be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The registry does not know the session, and [`LookUpSession`] could not find it out.
    #[error("the session is not in the shared store, and looking it up failed: {0}")]
    LookUp(String),
    /// The same, as there was no answer in time.
    #[error(
        "the session is not in the shared store, and looking it up took longer than {0:?}; check who answers for sessions"
    )]
    LookUpTimeout(Duration),
}

/// Finds a session of which the registry knows nothing, where sessions are kept for good. A registry that lost its memory
/// fills up again this way.
pub trait LookUpSession: Send + Sync {
    /// The session if it is under way; an error if that cannot be found out.
    fn look_up(&self, id: &SessionId) -> LookedUp<'_>;
}

/// The answer of [`LookUpSession`].
pub type LookedUp<'a> =
    Pin<Box<dyn Future<Output = Result<Option<SessionRecord>, String>> + Send + 'a>>;

/// The registry. Cheap to clone.
#[derive(Clone)]
pub struct Sessions {
    space: Space,
    lookup: Option<Arc<dyn LookUpSession>>,
    known: Option<Arc<Known>>,
    clock: Clock,
}

/// What was found lately, where a stale answer is allowed.
struct Known {
    found: Cache<SessionId, (Found, Timestamp)>,
    staleness: Duration,
}

/// How long it is remembered that a session was ended. It has to outlast a look-up that began before: afterwards the place
/// where sessions are kept for good knows too, and without one an unknown session is refused anyway.
const TOMBSTONE: Duration = Duration::from_mins(10);
const TOMBSTONE_VALUE: &[u8] = br#"{"revoked":true}"#;
const LOOKUP_PATIENCE: Duration = Duration::from_secs(2);
const KNOWN_SESSIONS: usize = 10_000;

impl Sessions {
    /// The registry in this store. It is asked on every call: what is ended is refused on the very next one.
    pub fn new(store: &Store) -> Self {
        Self {
            space: store.namespace(Namespace::Sessions),
            lookup: None,
            known: None,
            clock: Clock::system(),
        }
    }

    /// Looks here for sessions that the registry does not know.
    pub fn lookup(mut self, lookup: impl LookUpSession + 'static) -> Self {
        self.lookup = Some(Arc::new(lookup));
        self
    }

    /// Allows answers that are this old at most: fewer questions to the store, for sessions that end this much later.
    pub fn staleness(mut self, staleness: Duration) -> Self {
        self.known = (!staleness.is_zero()).then(|| {
            let found = Cache::new(KNOWN_SESSIONS);
            Arc::new(Known { found, staleness })
        });
        self
    }

    /// Another clock, for tests.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// What is known of a session.
    pub async fn find(&self, id: &SessionId) -> Result<Found, FindError> {
        let now = self.clock.now();
        let Some(known) = &self.known else {
            return self.ask(id).await;
        };
        if let Some((found, until)) = known.found.get(id)
            && now < until
        {
            return Ok(Self::unless_over(found, now));
        }
        let found = self.ask(id).await?;
        known
            .found
            .insert(id.clone(), (found.clone(), now + known.staleness));
        Ok(found)
    }

    /// Registers a session that begins. `false`: there is one of this id, or it was ended, or the record has ended already.
    /// Nothing is changed then: the session that is there goes on with the record that it has, whoever's it is, and tokens of
    /// the one that was to begin are refused. Who gets it takes another id.
    pub async fn begin(&self, id: &SessionId, record: &SessionRecord) -> Result<bool, StoreError> {
        match self.remaining(record) {
            None => Ok(false),
            Some(ttl) => {
                self.space
                    .set_if_absent(id.as_str(), &encode(record), Some(ttl))
                    .await
            }
        }
    }

    /// Replaces the record of a session that was refreshed. `false`: it has been replaced or ended meanwhile, and the
    /// refresh must not count.
    pub async fn replace(
        &self,
        id: &SessionId,
        before: &SessionRecord,
        after: &SessionRecord,
    ) -> Result<bool, StoreError> {
        let Some(ttl) = self.remaining(after) else {
            return Ok(false);
        };
        // What is stored may be spelled differently, by a version before this one; only its meaning has to agree.
        let stored = self.space.get(id.as_str()).await?;
        let agrees = match stored.as_deref().map(decode) {
            Some(Found::Active(stored)) => stored == *before,
            Some(_) => false,
            // Lost by the store: the one who asks has found it where sessions are kept for good.
            None => true,
        };
        let done = agrees
            && self
                .space
                .compare_and_set(
                    id.as_str(),
                    stored.as_deref(),
                    Some(&encode(after)),
                    Some(ttl),
                )
                .await?;
        self.forget(id);
        Ok(done)
    }

    /// Ends a session. From the answer on, every process that asks refuses its tokens.
    ///
    /// This is remembered for ten minutes: until then the place where sessions are kept for good has to know too. Who cannot be
    /// sure of that says how long the session could go on: [`Sessions::revoke_for`].
    pub async fn revoke(&self, id: &SessionId) -> Result<(), StoreError> {
        self.revoke_for(id, TOMBSTONE).await
    }

    /// The same, remembered for this long and for ten minutes at least. A session that could live no longer is never looked up
    /// again, whatever became of the place where it is kept for good; it takes the store no more room than while it was under
    /// way.
    pub async fn revoke_for(&self, id: &SessionId, time: Duration) -> Result<(), StoreError> {
        self.space
            .set(id.as_str(), TOMBSTONE_VALUE, Some(time.max(TOMBSTONE)))
            .await?;
        self.forget(id);
        Ok(())
    }

    fn forget(&self, id: &SessionId) {
        if let Some(known) = &self.known {
            known.found.remove(id);
        }
    }

    async fn ask(&self, id: &SessionId) -> Result<Found, FindError> {
        let stored = self.space.get(id.as_str()).await?;
        let found = match (stored, &self.lookup) {
            (Some(bytes), _) => decode(&bytes),
            (None, None) => Found::Unknown,
            (None, Some(lookup)) => self.warm(id, &**lookup).await?,
        };
        Ok(Self::unless_over(found, self.clock.now()))
    }

    /// Brings a session back into the registry, unless it is ended in the same moment.
    async fn warm(&self, id: &SessionId, lookup: &dyn LookUpSession) -> Result<Found, FindError> {
        let looked_up = tokio::time::timeout(LOOKUP_PATIENCE, lookup.look_up(id)).await;
        let record = match looked_up {
            Ok(Ok(record)) => record,
            Ok(Err(error)) => return Err(FindError::LookUp(error)),
            Err(_) => return Err(FindError::LookUpTimeout(LOOKUP_PATIENCE)),
        };
        let Some((record, ttl)) =
            record.and_then(|record| self.remaining(&record).map(|ttl| (record, ttl)))
        else {
            return Ok(Found::Unknown);
        };
        if self
            .space
            .set_if_absent(id.as_str(), &encode(&record), Some(ttl))
            .await?
        {
            return Ok(Found::Active(record));
        }
        let stored = self.space.get(id.as_str()).await?;
        Ok(stored.map_or(Found::Unknown, |bytes| decode(&bytes)))
    }

    fn unless_over(found: Found, now: Timestamp) -> Found {
        match found {
            Found::Active(record) if record.expires_at <= now.as_second() => Found::Unknown,
            found => found,
        }
    }

    fn remaining(&self, record: &SessionRecord) -> Option<Duration> {
        let left = record
            .expires_at
            .saturating_sub(self.clock.now().as_second());
        u64::try_from(left)
            .ok()
            .filter(|left| *left > 0)
            .map(Duration::from_secs)
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("space", &self.space)
            .field("lookup", &self.lookup.is_some())
            .field(
                "staleness",
                &self.known.as_ref().map(|known| known.staleness),
            )
            .finish_non_exhaustive()
    }
}

fn encode(record: &SessionRecord) -> Vec<u8> {
    serde_json::to_vec(record).expect("texts and numbers are JSON")
}

/// What is there but cannot be read ends the session: it must not let anybody in.
fn decode(bytes: &[u8]) -> Found {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(value) if value.get("revoked").is_some() => Found::Revoked,
        Ok(value) => serde_json::from_value(value).map_or(Found::Unknown, Found::Active),
        Err(_) => Found::Unknown,
    }
}
