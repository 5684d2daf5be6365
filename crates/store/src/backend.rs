//! What every back end does.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::error::StoreError;
use crate::subscription::Subscription;

/// The answer of a back end, some time.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Which back end it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One process only; gone when it ends.
    Memory,
    /// A file that the processes of one machine share.
    Sqlite,
    /// A Redis server, or the master that sentinels name.
    Redis,
    /// Redis servers that share the keys among them.
    RedisCluster,
}

/// What a Redis script returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Nothing.
    Nil,
    /// A whole number.
    Int(i64),
    /// Text or bytes.
    Bytes(Vec<u8>),
    /// Several.
    List(Vec<Reply>),
}

/// The operations, on keys as they are. A `ttl` is at least one millisecond; `None` keeps the value until deleted.
pub trait Backend: Send + Sync + std::fmt::Debug {
    /// Which back end it is.
    fn kind(&self) -> Kind;

    /// Ends well if the store can be used.
    fn ping(&self) -> Answer<'_, ()>;

    /// The value, if there is one.
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Vec<u8>>>;

    /// The values in the order of the keys, in one round trip; on Redis Cluster in one to each node, so not of one moment.
    fn get_many<'a>(&'a self, keys: &'a [String]) -> Answer<'a, Vec<Option<Vec<u8>>>>;

    /// Puts a value, whatever was there.
    fn set<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Option<Duration>) -> Answer<'a, ()>;

    /// Puts `value` (or deletes, if `None`) only where the present one equals `expected` (`None`: where there is none).
    /// Says whether it did.
    fn compare_and_set<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a [u8]>,
        value: Option<&'a [u8]>,
        ttl: Option<Duration>,
    ) -> Answer<'a, bool>;

    /// Says whether there was a value.
    fn delete<'a>(&'a self, key: &'a str) -> Answer<'a, bool>;

    /// Adds to a number, 0 where there is none, and returns the sum. The `ttl` counts from the number's creation and is
    /// not renewed.
    fn increment<'a>(&'a self, key: &'a str, by: i64, ttl: Option<Duration>) -> Answer<'a, i64>;

    /// Puts a new token, in decimal, where there is no value, and returns it; `None` where there is one. Of one key every
    /// token is greater than all before, also when the values have expired or been deleted. The key contains a hash tag.
    fn acquire<'a>(&'a self, key: &'a str, ttl: Duration) -> Answer<'a, Option<u64>>;

    /// Tells those who listen now.
    fn publish<'a>(&'a self, channel: &'a str, message: &'a [u8]) -> Answer<'a, ()>;

    /// Listens from the moment this has been answered. On Redis Cluster, whose nodes tell each other, what was said just
    /// before may be heard too.
    fn subscribe<'a>(&'a self, channel: &'a str) -> Answer<'a, Subscription>;
}

/// A number as the operations write it: no sign but a minus, no leading zeros, no spaces. Redis reads no other.
pub(crate) fn whole_number(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    text.parse()
        .ok()
        .filter(|number: &i64| number.to_string() == text)
}
