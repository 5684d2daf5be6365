//! The store in Redis. The only folder that knows the client library.

mod connection;
mod failure;
mod link;
mod listen;

use std::fmt;
use std::time::Duration;

use redis::{Cmd, FromRedisValue, Value, cmd};

use self::failure::{Failure, failure};
use self::link::Link;
use crate::backend::{Answer, Backend, Kind, Reply, whole_number};
use crate::error::StoreError;
use crate::subscription::Subscription;
use crate::url::{RedisUrl, Target};

pub use connection::{Call, RedisConnection, Script};

/// How long to wait for Redis.
#[derive(Debug, Clone, Copy)]
pub struct RedisOptions {
    /// For a connection to be made. Default 1 s.
    pub connect_timeout: Duration,
    /// For an answer, reconnecting included. Default 1 s.
    pub response_timeout: Duration,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(1),
        }
    }
}

/// A Redis server, a Redis Cluster, or the master that sentinels name. One connection (in a cluster one for each node)
/// carries the operations of everybody, many at a time, and is remade when it breaks. Cheap to clone.
///
/// What replication has not carried over yet is lost when a replica takes over. On a cluster, a change whose connection
/// breaks is sent again: an increment may then count twice.
#[derive(Clone)]
pub struct RedisStore {
    link: Link,
    kind: Kind,
    options: RedisOptions,
    url: RedisUrl,
}

/// `ARGV`: expected or nothing, new value or nothing, milliseconds or 0; each optional one behind a 0 or 1.
const COMPARE_AND_SET: &str = r"
local present = redis.call('GET', KEYS[1])
if ARGV[1] == '1' then
  if present ~= ARGV[2] then return 0 end
elseif present then
  return 0
end
if ARGV[3] == '0' then
  redis.call('DEL', KEYS[1])
elseif ARGV[5] == '0' then
  redis.call('SET', KEYS[1], ARGV[4])
else
  redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[5])
end
return 1
";

/// `ARGV`: what to add, milliseconds or 0. The time to live is given to a new number only. The sum comes back as text: Lua's
/// own numbers hold no more than 53 bits.
const INCREMENT: &str = r"
local fresh = redis.call('EXISTS', KEYS[1]) == 0
redis.call('INCRBY', KEYS[1], ARGV[1])
if fresh and ARGV[2] ~= '0' then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return redis.call('GET', KEYS[1])
";

/// `KEYS`: the lock, its last token. `ARGV`: milliseconds. Tokens follow the time, in microseconds, so that they go on growing
/// when the server has lost the last one, which it also forgets a week after its last use.
const ACQUIRE: &str = r"
if redis.call('EXISTS', KEYS[1]) == 1 then return false end
local time = redis.call('TIME')
local token = math.max(tonumber(redis.call('GET', KEYS[2]) or 0) + 1, time[1] * 1000000 + time[2])
token = string.format('%.0f', token)
redis.call('SET', KEYS[2], token, 'PX', 604800000 + tonumber(ARGV[1]))
redis.call('SET', KEYS[1], token, 'PX', ARGV[1])
return token
";

impl RedisStore {
    /// Sets the store up; connects when first used.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the client cannot be set up.
    pub fn new(url: &RedisUrl, options: RedisOptions) -> Result<Self, StoreError> {
        // The first one installed stays; it is the only one in the tree.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let link = Link::new(url.target(), options)
            .map_err(|error| failure(&error, options.connect_timeout))?;
        Ok(Self {
            link,
            kind: match url.target() {
                Target::Cluster(_) => Kind::RedisCluster,
                Target::Server(_) | Target::Sentinel { .. } => Kind::Redis,
            },
            options,
            url: url.clone(),
        })
    }

    /// A connection of one's own, which is not remade when it breaks: for those who must know that it did.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Timeout`]; [`StoreError::Refused`] on Redis Cluster, where no
    /// connection leads to all keys.
    pub async fn connect(&self, timeout: Duration) -> Result<RedisConnection, StoreError> {
        RedisConnection::open(&self.link, timeout).await
    }

    /// Runs a script on keys as they are; `keys` must share a hash tag. Loads it where the server does not know it.
    pub async fn run(&self, script: &Script, call: &Call) -> Result<Reply, StoreError> {
        let by_hash = call.command("EVALSHA", script.hash());
        match self.query::<Value>(by_hash).await {
            Err(Failure {
                missing_script: true,
                ..
            }) => {
                let whole = call.command("EVAL", script.text());
                connection::reply(
                    self.query::<Value>(whole)
                        .await
                        .map_err(|failure| failure.error)?,
                )
            }
            Err(failure) => Err(failure.error),
            Ok(value) => connection::reply(value),
        }
    }

    async fn query<T: FromRedisValue>(&self, command: Cmd) -> Result<T, Failure> {
        self.link
            .query(&command, self.options.response_timeout)
            .await
    }

    async fn ask<T: FromRedisValue>(&self, command: Cmd) -> Result<T, StoreError> {
        self.query(command).await.map_err(|failure| failure.error)
    }
}

/// Milliseconds that a script of the server can still add something to.
const LONGEST: u64 = u64::MAX >> 12;

fn milliseconds(ttl: Option<Duration>) -> u64 {
    ttl.map_or(0, |ttl| {
        u64::try_from(ttl.as_millis())
            .unwrap_or(LONGEST)
            .clamp(1, LONGEST)
    })
}

impl Backend for RedisStore {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn ping(&self) -> Answer<'_, ()> {
        Box::pin(async move { self.ask::<String>(cmd("PING")).await.map(drop) })
    }

    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        let mut command = cmd("GET");
        command.arg(key);
        Box::pin(self.ask(command))
    }

    fn get_many<'a>(&'a self, keys: &'a [String]) -> Answer<'a, Vec<Option<Vec<u8>>>> {
        if keys.is_empty() {
            return Box::pin(std::future::ready(Ok(Vec::new())));
        }
        let mut command = cmd("MGET");
        command.arg(keys);
        Box::pin(self.ask(command))
    }

    fn set<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Option<Duration>) -> Answer<'a, ()> {
        let mut command = cmd("SET");
        command.arg(key).arg(value);
        if ttl.is_some() {
            command.arg("PX").arg(milliseconds(ttl));
        }
        Box::pin(self.ask(command))
    }

    fn compare_and_set<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a [u8]>,
        value: Option<&'a [u8]>,
        ttl: Option<Duration>,
    ) -> Answer<'a, bool> {
        let call = Call::new()
            .key(key)
            .arg(u8::from(expected.is_some()).to_string())
            .arg(expected.unwrap_or_default())
            .arg(u8::from(value.is_some()).to_string())
            .arg(value.unwrap_or_default())
            .arg(milliseconds(ttl).to_string());
        Box::pin(async move {
            Ok(self.run(&Script::new(COMPARE_AND_SET), &call).await? == Reply::Int(1))
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> Answer<'a, bool> {
        let mut command = cmd("DEL");
        command.arg(key);
        Box::pin(self.ask(command))
    }

    fn increment<'a>(&'a self, key: &'a str, by: i64, ttl: Option<Duration>) -> Answer<'a, i64> {
        let call = Call::new()
            .key(key)
            .arg(by.to_string())
            .arg(milliseconds(ttl).to_string());
        Box::pin(async move {
            match self.run(&Script::new(INCREMENT), &call).await? {
                Reply::Bytes(sum) => whole_number(&sum).ok_or(StoreError::NotANumber),
                other => Err(StoreError::Refused(format!("unexpected answer {other:?}"))),
            }
        })
    }

    fn acquire<'a>(&'a self, key: &'a str, ttl: Duration) -> Answer<'a, Option<u64>> {
        let call = Call::new()
            .key(key)
            .key(format!("{key}:token"))
            .arg(milliseconds(Some(ttl)).to_string());
        Box::pin(async move {
            match self.run(&Script::new(ACQUIRE), &call).await? {
                Reply::Nil => Ok(None),
                Reply::Bytes(token) => {
                    let token = whole_number(&token).and_then(|token| token.try_into().ok());
                    token.map(Some).ok_or(StoreError::NotANumber)
                }
                other => Err(StoreError::Refused(format!("unexpected answer {other:?}"))),
            }
        })
    }

    fn publish<'a>(&'a self, channel: &'a str, message: &'a [u8]) -> Answer<'a, ()> {
        let mut command = cmd("PUBLISH");
        command.arg(channel).arg(message);
        Box::pin(async move { self.ask::<i64>(command).await.map(drop) })
    }

    fn subscribe<'a>(&'a self, channel: &'a str) -> Answer<'a, Subscription> {
        Box::pin(listen::subscribe(
            self.link.clone(),
            channel.to_owned(),
            self.options,
        ))
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("url", &self.url)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
