//! The store as the rest of the platform holds it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::{Backend, Kind};
use crate::error::StoreError;
use crate::lock::{self, Guard};
use crate::memory::MemoryStore;
use crate::namespace::Namespace;
use crate::redis::{RedisOptions, RedisStore};
use crate::sqlite::{SqliteOptions, SqliteStore};
use crate::subscription::Subscription;
use crate::url::RedisUrl;

/// A store of any kind. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    backend: Arc<dyn Backend>,
    redis: Option<RedisStore>,
    /// Namespaces that live elsewhere than the rest.
    apart: Arc<HashMap<Namespace, Arc<dyn Backend>>>,
}

impl Store {
    /// A store in this process's memory, with the default limits.
    pub fn memory() -> Self {
        Self::from(MemoryStore::default())
    }

    /// A store in a file that several processes of this machine share. See [`SqliteStore::open`].
    ///
    /// # Errors
    /// [`StoreError::File`] if the file cannot be used, [`StoreError::Timeout`] if other processes keep it busy.
    pub async fn sqlite(
        path: impl Into<PathBuf>,
        options: SqliteOptions,
    ) -> Result<Self, StoreError> {
        Ok(Self::from(SqliteStore::open(path, options).await?))
    }

    /// A store in Redis: one server, a cluster or the master that sentinels name, as the URL says. Connects when first
    /// used, so a server that is away now does no harm.
    ///
    /// Must be called within a tokio runtime; the connection lives on it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the client cannot be set up.
    pub fn redis(url: &RedisUrl, options: RedisOptions) -> Result<Self, StoreError> {
        Ok(Self::from(RedisStore::new(url, options)?))
    }

    /// As [`Store::redis`], with some namespaces in databases of their own, as `{"sessions": 0, "cache": 1}`. All others,
    /// and [`Store::raw`], are in the URL's database. Keys have their namespace's prefix in every database, and so have
    /// channels, which Redis does not keep apart by database.
    ///
    /// # Errors
    /// As [`Store::redis`]; [`UrlError::NoDatabases`](crate::UrlError::NoDatabases) on Redis Cluster.
    pub fn redis_with_databases(
        url: &RedisUrl,
        options: RedisOptions,
        databases: &HashMap<Namespace, u32>,
    ) -> Result<Self, StoreError> {
        let mut opened: HashMap<u32, Arc<dyn Backend>> = HashMap::new();
        let mut apart = HashMap::new();
        for (namespace, index) in databases {
            let backend = match opened.entry(*index) {
                Entry::Occupied(entry) => entry.get().clone(),
                Entry::Vacant(entry) => {
                    let store = RedisStore::new(&url.with_database(*index)?, options)?;
                    entry.insert(Arc::new(store)).clone()
                }
            };
            apart.insert(*namespace, backend);
        }
        Ok(Self {
            apart: Arc::new(apart),
            ..Self::redis(url, options)?
        })
    }

    /// Which back end it is.
    pub fn kind(&self) -> Kind {
        self.backend.kind()
    }

    /// The Redis back end, for what only it can do.
    pub fn as_redis(&self) -> Option<&RedisStore> {
        self.redis.as_ref()
    }

    /// Ends well if the store can be used: for readiness checks.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.backend.ping().await?;
        for backend in self.apart.values() {
            backend.ping().await?;
        }
        Ok(())
    }

    /// The keys of one concern.
    pub fn namespace(&self, namespace: Namespace) -> Space {
        Space {
            backend: self.backend_of(namespace).clone(),
            prefix: namespace.prefix(),
        }
    }

    /// Takes the lock of this name if nobody has it, `None` if somebody has. It lasts for `ttl` and is renewed while the
    /// guard lives; a holder that dies or is frozen loses it within `ttl`.
    ///
    /// Where a Redis replica takes over, a lock may be lost that it had not heard of yet. Its next holder's token is still the
    /// greater one, as long as the servers' clocks differ by less than the take-over lasts.
    ///
    /// Choose a `ttl` of several times [`RedisOptions::response_timeout`], so that a short outage loses no lock.
    pub async fn lock(&self, name: &str, ttl: Duration) -> Result<Option<Guard>, StoreError> {
        let namespace = Namespace::Locks;
        let key = format!("{}{}", namespace.prefix(), lock::tag(name));
        lock::acquire(self.backend_of(namespace).clone(), key, ttl).await
    }

    fn backend_of(&self, namespace: Namespace) -> &Arc<dyn Backend> {
        self.apart.get(&namespace).unwrap_or(&self.backend)
    }

    /// All keys, as they are: for those that operators set by hand.
    pub fn raw(&self) -> Space {
        Space {
            backend: self.backend.clone(),
            prefix: "",
        }
    }
}

impl From<MemoryStore> for Store {
    fn from(memory: MemoryStore) -> Self {
        Self {
            backend: Arc::new(memory),
            redis: None,
            apart: Arc::default(),
        }
    }
}

impl From<SqliteStore> for Store {
    fn from(sqlite: SqliteStore) -> Self {
        Self {
            backend: Arc::new(sqlite),
            redis: None,
            apart: Arc::default(),
        }
    }
}

impl From<RedisStore> for Store {
    fn from(redis: RedisStore) -> Self {
        Self {
            backend: Arc::new(redis.clone()),
            redis: Some(redis),
            apart: Arc::default(),
        }
    }
}

/// Some of a store's keys and channels: those of one [`Namespace`], or all. Cheap to clone.
///
/// Every operation fails with [`StoreError::Unavailable`] or [`StoreError::Timeout`] while the store is away.
#[derive(Debug, Clone)]
pub struct Space {
    backend: Arc<dyn Backend>,
    prefix: &'static str,
}

impl Space {
    fn full(&self, key: &str) -> String {
        [self.prefix, key].concat()
    }

    /// The value, if there is one.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.backend.get(&self.full(key)).await
    }

    /// The values in the order of the keys, in one round trip; on Redis Cluster in one to each node, so not of one moment.
    pub async fn get_many(&self, keys: &[&str]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let keys: Vec<String> = keys.iter().map(|key| self.full(key)).collect();
        self.backend.get_many(&keys).await
    }

    /// Puts a value, whatever was there. Without a `ttl` it stays until deleted.
    pub async fn set(
        &self,
        key: &str,
        value: &[u8],
        ttl: Option<Duration>,
    ) -> Result<(), StoreError> {
        self.backend.set(&self.full(key), value, ttl).await
    }

    /// Puts a value where there is none. Says whether it did.
    pub async fn set_if_absent(
        &self,
        key: &str,
        value: &[u8],
        ttl: Option<Duration>,
    ) -> Result<bool, StoreError> {
        self.backend
            .compare_and_set(&self.full(key), None, Some(value), ttl)
            .await
    }

    /// Puts `value` (deletes, if `None`) only where the present one equals `expected` (`None`: where there is none).
    /// Says whether it did.
    pub async fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        value: Option<&[u8]>,
        ttl: Option<Duration>,
    ) -> Result<bool, StoreError> {
        self.backend
            .compare_and_set(&self.full(key), expected, value, ttl)
            .await
    }

    /// Says whether there was a value.
    pub async fn delete(&self, key: &str) -> Result<bool, StoreError> {
        self.backend.delete(&self.full(key)).await
    }

    /// Adds to a number, 0 where there is none, and returns the sum. The `ttl` counts from the number's creation and is
    /// not renewed.
    ///
    /// # Errors
    /// [`StoreError::NotANumber`] if something else is there, or the sum would pass 64 bits.
    pub async fn increment(
        &self,
        key: &str,
        by: i64,
        ttl: Option<Duration>,
    ) -> Result<i64, StoreError> {
        self.backend.increment(&self.full(key), by, ttl).await
    }

    /// Tells those who listen on the channel now. Nobody may be.
    pub async fn publish(&self, channel: &str, message: &[u8]) -> Result<(), StoreError> {
        self.backend.publish(&self.full(channel), message).await
    }

    /// Listens on the channel, from the moment this has been answered. On Redis Cluster, whose nodes tell each other, what
    /// was said just before may be heard too.
    pub async fn subscribe(&self, channel: &str) -> Result<Subscription, StoreError> {
        self.backend.subscribe(&self.full(channel)).await
    }
}
