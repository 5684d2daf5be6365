//! Scripts, and connections of one's own.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, Value, cmd};

use super::failure::failure;
use super::link::Link;
use crate::backend::Reply;
use crate::error::StoreError;

/// A Lua script that runs whole, with nothing else in between.
#[derive(Debug, Clone)]
pub struct Script {
    script: redis::Script,
    text: String,
}

impl Script {
    /// A script in Lua 5.1, as Redis embeds it.
    pub fn new(text: &str) -> Self {
        Self {
            script: redis::Script::new(text),
            text: text.to_owned(),
        }
    }

    pub(super) fn hash(&self) -> &str {
        self.script.get_hash()
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// One call of a script: `KEYS` and `ARGV`.
#[derive(Debug, Clone, Default)]
pub struct Call {
    keys: Vec<String>,
    args: Vec<Vec<u8>>,
}

impl Call {
    /// A call without keys and arguments.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key. All keys of a call share a hash tag, or Redis Cluster refuses it.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.keys.push(key.into());
        self
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl Into<Vec<u8>>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds a number as an argument.
    pub fn number(self, number: u64) -> Self {
        self.arg(number.to_string())
    }

    pub(super) fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = cmd(name);
        command
            .arg(script)
            .arg(self.keys.len())
            .arg(&self.keys)
            .arg(&self.args);
        command
    }
}

/// One connection, not remade when it breaks. An error other than [`StoreError::Refused`] means that it is no longer of
/// use.
#[derive(Clone)]
pub struct RedisConnection {
    connection: MultiplexedConnection,
}

impl RedisConnection {
    pub(super) async fn open(link: &Link, timeout: Duration) -> Result<Self, StoreError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(timeout))
            .set_response_timeout(None);
        let connecting = async {
            let Some(client) = link.master().await? else {
                return Ok(None);
            };
            let connecting = client.get_multiplexed_async_connection_with_config(&config);
            connecting.await.map(Some)
        };
        match tokio::time::timeout(timeout, connecting).await {
            Ok(Ok(Some(connection))) => Ok(Self { connection }),
            Ok(Ok(None)) => Err(StoreError::Refused(
                "no connection leads to all keys of a Redis Cluster; give the URL of one server or of sentinels"
                    .to_owned(),
            )),
            Ok(Err(error)) => Err(failure(&error, timeout)),
            Err(_) => Err(StoreError::Timeout(timeout)),
        }
    }

    /// Makes a script known to the server, so that [`run_all`](Self::run_all) may call it.
    pub async fn load(&mut self, script: &Script, timeout: Duration) -> Result<(), StoreError> {
        let mut command = cmd("SCRIPT");
        command.arg("LOAD").arg(script.text());
        self.bounded(command, timeout).await.map(drop)
    }

    /// A name of this life of the server: it changes whenever the server restarts. And for how long it has run, in
    /// whole seconds.
    pub async fn server_life(
        &mut self,
        timeout: Duration,
    ) -> Result<(String, Duration), StoreError> {
        let mut command = cmd("INFO");
        command.arg("server");
        let text = match reply(self.bounded(command, timeout).await?)? {
            Reply::Bytes(text) => String::from_utf8_lossy(&text).into_owned(),
            _ => String::new(),
        };
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        };
        match (
            field("run_id"),
            field("uptime_in_seconds").and_then(|seconds| seconds.trim().parse().ok()),
        ) {
            (Some(life), Some(uptime)) => Ok((life.trim().to_owned(), Duration::from_secs(uptime))),
            _ => Err(StoreError::Refused(
                "INFO server shows no run_id; allow the command to this user".to_owned(),
            )),
        }
    }

    /// Runs loaded scripts in one message. The answers come in order; a call that the server refused has its error, and
    /// the others have run.
    pub async fn run_all(
        &mut self,
        calls: &[(&Script, Call)],
        timeout: Duration,
    ) -> Result<Vec<Result<Reply, StoreError>>, StoreError> {
        let mut pipeline = redis::Pipeline::with_capacity(calls.len());
        for (script, call) in calls {
            pipeline.add_command(call.command("EVALSHA", script.hash()));
        }
        pipeline.ignore_errors();
        let sending =
            pipeline.query_async::<Vec<Result<Value, redis::RedisError>>>(&mut self.connection);
        match tokio::time::timeout(timeout, sending).await {
            Ok(Ok(values)) => Ok(values
                .into_iter()
                .map(|value| {
                    value
                        .map_err(|error| failure(&error, timeout))
                        .and_then(reply)
                })
                .collect()),
            Ok(Err(error)) => Err(failure(&error, timeout)),
            Err(_) => Err(StoreError::Timeout(timeout)),
        }
    }

    async fn bounded(&mut self, command: Cmd, timeout: Duration) -> Result<Value, StoreError> {
        match tokio::time::timeout(timeout, command.query_async::<Value>(&mut self.connection))
            .await
        {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(failure(&error, timeout)),
            Err(_) => Err(StoreError::Timeout(timeout)),
        }
    }
}

impl std::fmt::Debug for RedisConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisConnection")
    }
}

/// A value of the server in our terms.
pub(super) fn reply(value: Value) -> Result<Reply, StoreError> {
    Ok(match value {
        Value::Nil => Reply::Nil,
        Value::Int(number) => Reply::Int(number),
        Value::Boolean(yes) => Reply::Int(i64::from(yes)),
        Value::BulkString(bytes) => Reply::Bytes(bytes),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => {
            Reply::Bytes(text.into_bytes())
        }
        Value::Okay => Reply::Bytes(b"OK".to_vec()),
        Value::Array(values) | Value::Set(values) => {
            Reply::List(values.into_iter().map(reply).collect::<Result<_, _>>()?)
        }
        other => {
            return Err(StoreError::Refused(format!(
                "unexpected answer of kind {other:?}"
            )));
        }
    })
}
