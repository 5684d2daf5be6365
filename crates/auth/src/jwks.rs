//! Keys that an issuer publishes as a JWK set, fetched and kept fresh.

mod fetch;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use tokio::sync::Mutex;

use crate::clock::Clock;
use crate::error::AuthError;
use crate::keys::Keys;

pub use fetch::https_keys;

/// Fetches the text of a JWK set.
pub trait FetchKeys: Send + Sync {
    /// The set as JSON, or in words why not.
    fn fetch(&self) -> Fetched<'_>;
}

/// The answer of [`FetchKeys`].
pub type Fetched<'a> = Pin<Box<dyn Future<Output = Result<String, String>> + Send + 'a>>;

/// The published keys of one issuer. Share it by `Arc`.
///
/// They are fetched when first needed, again when they are ten minutes old, and early for a token whose key is not among
/// them, but then at most once in thirty seconds: a flood of invented key ids costs the issuer nothing. While the issuer
/// is away, the last keys count for a day.
pub struct RemoteKeys {
    fetch: Box<dyn FetchKeys>,
    current: ArcSwapOption<Current>,
    /// When fetching was last tried; held by the one who tries.
    tried: Mutex<Option<Timestamp>>,
    clock: Clock,
}

struct Current {
    text: String,
    keys: Arc<Keys>,
    fetched: Timestamp,
    generation: u64,
}

const FRESH: Duration = Duration::from_mins(10);
const PAUSE: Duration = Duration::from_secs(30);
const USABLE: Duration = Duration::from_hours(24);
const PATIENCE: Duration = Duration::from_secs(5);

impl RemoteKeys {
    /// Nothing is fetched yet.
    pub fn new(fetch: impl FetchKeys + 'static) -> Self {
        Self {
            fetch: Box::new(fetch),
            current: ArcSwapOption::empty(),
            tried: Mutex::new(None),
            clock: Clock::system(),
        }
    }

    /// Another clock, for tests.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Counts up when the keys change.
    pub(crate) fn generation(&self) -> u64 {
        self.current
            .load()
            .as_ref()
            .map_or(0, |current| current.generation)
    }

    /// The keys to verify a token with this key id, and their generation.
    pub(crate) async fn keys_for(&self, id: Option<&str>) -> Result<(Arc<Keys>, u64), AuthError> {
        if let Some(found) = self.usable(id, FRESH) {
            return Ok(found);
        }
        let known = self.usable(id, USABLE);
        // One fetches; who has keys that will do does not wait for it.
        let mut tried = match (&known, self.tried.try_lock()) {
            (_, Ok(tried)) => tried,
            (Some(_), Err(_)) => return Ok(known.expect("matched")),
            (None, Err(_)) => self.tried.lock().await,
        };
        let now = self.clock.now();
        let paused = tried.is_some_and(|last| now < last + PAUSE);
        if !paused && self.usable(id, FRESH).is_none() {
            *tried = Some(now);
            self.refresh(now).await;
        }
        drop(tried);
        if let Some(found) = self.usable(id, USABLE) {
            return Ok(found);
        }
        match self.usable(None, USABLE) {
            Some(_) => Err(AuthError::Invalid("the issuer publishes no key of its id")),
            None => Err(AuthError::Unavailable(
                "the issuer's keys cannot be fetched".to_owned(),
            )),
        }
    }

    fn usable(&self, id: Option<&str>, age: Duration) -> Option<(Arc<Keys>, u64)> {
        let current = self.current.load();
        let current = current.as_ref()?;
        (self.clock.now() < current.fetched + age && current.keys.knows(id))
            .then(|| (current.keys.clone(), current.generation))
    }

    async fn refresh(&self, now: Timestamp) {
        let fetched = tokio::time::timeout(PATIENCE, self.fetch.fetch()).await;
        let text = fetched.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")));
        let parsed = text.and_then(|text| {
            let keys = Keys::jwk_set(&text).map_err(|error| error.to_string())?;
            Ok((text, keys))
        });
        let (text, keys) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => {
                tracing::warn!(
                    error,
                    "the issuer's keys were not fetched; those known go on to count"
                );
                return;
            }
        };
        let before = self.current.load_full();
        let generation = match &before {
            Some(before) if before.text == text => before.generation,
            Some(before) => before.generation + 1,
            None => 1,
        };
        self.current.store(Some(Arc::new(Current {
            text,
            keys: Arc::new(keys),
            fetched: now,
            generation,
        })));
    }
}

impl fmt::Debug for RemoteKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteKeys")
            .field("generation", &self.generation())
            .finish_non_exhaustive()
    }
}
