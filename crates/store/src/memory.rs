//! The store of one process.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use tokio::sync::broadcast;

use crate::backend::{Answer, Backend, Kind, whole_number};
use crate::error::StoreError;
use crate::subscription::{BACKLOG, Event, Subscription};

/// How much a [`MemoryStore`] holds before it refuses more.
#[derive(Debug, Clone, Copy)]
pub struct MemoryLimits {
    /// Values. Default 1 000 000.
    pub entries: usize,
    /// Bytes of keys and values together. Default 256 MiB.
    pub bytes: usize,
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self {
            entries: 1_000_000,
            bytes: 256 << 20,
        }
    }
}

/// Values in this process. Expired ones are removed as others are written, each in O(log n).
pub struct MemoryStore {
    limits: MemoryLimits,
    /// Time since some fixed moment.
    clock: Box<dyn Fn() -> Duration + Send + Sync>,
    values: Mutex<Values>,
    channels: Mutex<HashMap<String, broadcast::Sender<Event>, RandomState>>,
}

#[derive(Default)]
struct Values {
    by_key: HashMap<Arc<str>, Entry, RandomState>,
    /// Keys that expire, soonest first. The number keeps apart those that expire together.
    by_expiry: BTreeMap<(Duration, u64), Arc<str>>,
    sequence: u64,
    /// The last token of a lock, whichever.
    token: u64,
    bytes: usize,
}

struct Entry {
    value: Vec<u8>,
    expiry: Option<(Duration, u64)>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(limits: MemoryLimits) -> Self {
        let start = Instant::now();
        Self::with_clock(limits, move || start.elapsed())
    }

    /// A store whose time is told by `clock`, which must not go backwards: for tests.
    pub fn with_clock(
        limits: MemoryLimits,
        clock: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Self {
        Self {
            limits,
            clock: Box::new(clock),
            values: Mutex::default(),
            channels: Mutex::default(),
        }
    }

    /// The values, rid of those that have expired.
    fn values(&self) -> MutexGuard<'_, Values> {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let now = (self.clock)();
        while let Some(first) = values
            .by_expiry
            .first_entry()
            .filter(|first| first.key().0 <= now)
        {
            let key = first.get().clone();
            values.remove(&key);
        }
        values
    }

    fn expiry(&self, ttl: Option<Duration>) -> Option<Duration> {
        ttl.map(|ttl| (self.clock)().saturating_add(ttl.max(Duration::from_millis(1))))
    }

    fn put(
        &self,
        values: &mut Values,
        key: &str,
        value: Vec<u8>,
        at: Option<Duration>,
    ) -> Result<(), StoreError> {
        let before = values
            .by_key
            .get(key)
            .map(|entry| key.len() + entry.value.len());
        let entries = values.by_key.len() + usize::from(before.is_none());
        let bytes = values.bytes - before.unwrap_or(0) + key.len() + value.len();
        if entries > self.limits.entries || bytes > self.limits.bytes {
            return Err(StoreError::Full);
        }
        values.remove(key);
        values.insert(key.into(), value, at);
        Ok(())
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(MemoryLimits::default())
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Values {
    fn insert(&mut self, key: Arc<str>, value: Vec<u8>, at: Option<Duration>) {
        self.bytes += key.len() + value.len();
        let expiry = at.map(|at| {
            self.sequence += 1;
            (at, self.sequence)
        });
        if let Some(expiry) = expiry {
            self.by_expiry.insert(expiry, key.clone());
        }
        self.by_key.insert(key, Entry { value, expiry });
    }

    fn remove(&mut self, key: &str) -> bool {
        let Some(entry) = self.by_key.remove(key) else {
            return false;
        };
        self.bytes -= key.len() + entry.value.len();
        if let Some(expiry) = entry.expiry {
            self.by_expiry.remove(&expiry);
        }
        true
    }

    fn get(&self, key: &str) -> Option<&[u8]> {
        self.by_key.get(key).map(|entry| entry.value.as_slice())
    }
}

fn ready<'a, T: Send + 'a>(result: Result<T, StoreError>) -> Answer<'a, T> {
    Box::pin(std::future::ready(result))
}

impl Backend for MemoryStore {
    fn kind(&self) -> Kind {
        Kind::Memory
    }

    fn ping(&self) -> Answer<'_, ()> {
        ready(Ok(()))
    }

    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        ready(Ok(self.values().get(key).map(<[u8]>::to_vec)))
    }

    fn get_many<'a>(&'a self, keys: &'a [String]) -> Answer<'a, Vec<Option<Vec<u8>>>> {
        let values = self.values();
        ready(Ok(keys
            .iter()
            .map(|key| values.get(key).map(<[u8]>::to_vec))
            .collect()))
    }

    fn set<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Option<Duration>) -> Answer<'a, ()> {
        ready(self.put(&mut self.values(), key, value.to_vec(), self.expiry(ttl)))
    }

    fn compare_and_set<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a [u8]>,
        value: Option<&'a [u8]>,
        ttl: Option<Duration>,
    ) -> Answer<'a, bool> {
        let mut values = self.values();
        if values.get(key) != expected {
            return ready(Ok(false));
        }
        let Some(value) = value else {
            values.remove(key);
            return ready(Ok(true));
        };
        ready(
            self.put(&mut values, key, value.to_vec(), self.expiry(ttl))
                .map(|()| true),
        )
    }

    fn delete<'a>(&'a self, key: &'a str) -> Answer<'a, bool> {
        ready(Ok(self.values().remove(key)))
    }

    fn increment<'a>(&'a self, key: &'a str, by: i64, ttl: Option<Duration>) -> Answer<'a, i64> {
        let mut values = self.values();
        let present = match values.by_key.get(key) {
            None => Some((0, self.expiry(ttl))),
            Some(entry) => {
                whole_number(&entry.value).map(|number| (number, entry.expiry.map(|(at, _)| at)))
            }
        };
        let Some((sum, at)) = present.and_then(|(number, at)| Some((number.checked_add(by)?, at)))
        else {
            return ready(Err(StoreError::NotANumber));
        };
        ready(
            self.put(&mut values, key, sum.to_string().into_bytes(), at)
                .map(|()| sum),
        )
    }

    fn acquire<'a>(&'a self, key: &'a str, ttl: Duration) -> Answer<'a, Option<u64>> {
        let mut values = self.values();
        if values.by_key.contains_key(key) {
            return ready(Ok(None));
        }
        values.token += 1;
        let token = values.token;
        let value = token.to_string().into_bytes();
        ready(
            self.put(&mut values, key, value, self.expiry(Some(ttl)))
                .map(|()| Some(token)),
        )
    }

    fn publish<'a>(&'a self, channel: &'a str, message: &'a [u8]) -> Answer<'a, ()> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = channels.get(channel)
            && sender.send(Event::Message(message.to_vec())).is_err()
        {
            channels.remove(channel);
        }
        ready(Ok(()))
    }

    fn subscribe<'a>(&'a self, channel: &'a str) -> Answer<'a, Subscription> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        channels.retain(|_, sender| sender.receiver_count() > 0);
        let sender = channels
            .entry(channel.to_owned())
            .or_insert_with(|| broadcast::channel(BACKLOG).0);
        ready(Ok(Subscription::new(sender.subscribe())))
    }
}
