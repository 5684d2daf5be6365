//! One connection's life: from the greeting to the first failure.

use std::sync::Arc;
use std::time::Duration;

use bastide_store::{Call, RedisConnection, RedisStore, Script, StoreError};

use super::wire;
use crate::clock;
use crate::limit::{Limit, State};
use crate::link::{Link, SharedOptions};
use crate::message::{Reply, Request};
use crate::share::Nodes;

/// How many limits go in one message.
const BATCH: usize = 512;

pub(super) struct Scripts {
    lease: Script,
    nodes: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            lease: Script::new(wire::LEASE_SCRIPT),
            nodes: Script::new(wire::NODES_SCRIPT),
        }
    }
}

/// A working connection, and which life of the server it talks to.
pub(super) struct Session<'a> {
    connection: RedisConnection,
    scripts: &'a Scripts,
    options: &'a SharedOptions,
    name: &'a str,
    life: String,
    /// Until when nodes may not have found this life of the server yet.
    settled_at: u64,
    /// The nodes known before this connection, and until when they may not be back yet.
    before: Option<(Nodes, u64)>,
}

impl<'a> Session<'a> {
    /// Connects, and learns who else is there before anything is admitted on the strength of it.
    pub(super) async fn open(
        redis: &RedisStore,
        scripts: &'a Scripts,
        options: &'a SharedOptions,
        name: &'a str,
        before: Option<Nodes>,
    ) -> Result<(Self, Nodes), StoreError> {
        let deadline = options.deadline;
        let mut connection = redis.connect(deadline).await?;
        let asked = clock::now();
        let (life, uptime) = connection.server_life(deadline).await?;
        connection.load(&scripts.lease, deadline).await?;
        connection.load(&scripts.nodes, deadline).await?;
        let settled_at = (asked + micros(options.grace)).saturating_sub(micros(uptime));
        let mut session = Self {
            connection,
            scripts,
            options,
            name,
            life,
            settled_at,
            before: before.map(|nodes| (nodes, asked + micros(options.grace))),
        };
        let nodes = session.heartbeat().await?;
        Ok((session, nodes))
    }

    pub(super) async fn heartbeat(&mut self) -> Result<Nodes, StoreError> {
        let nodes = self.say(micros(self.options.heartbeat) * 3).await?;
        // Who was there before the connection broke comes back one by one; shares must not grow meanwhile.
        Ok(match self.before {
            Some((before, until)) if clock::now() < until && before.count > nodes.count => before,
            _ => nodes,
        })
    }

    /// Takes leave, so that the others' shares grow at once.
    pub(super) async fn leave(&mut self) {
        // If it fails, they will notice by themselves.
        let _ = self.say(0).await;
    }

    async fn say(&mut self, patience: u64) -> Result<Nodes, StoreError> {
        let call = wire::nodes_call(&self.options.prefix, self.name, patience);
        let answers = self
            .connection
            .run_all(&[(&self.scripts.nodes, call)], self.options.deadline)
            .await?;
        let answer = answers.into_iter().next().ok_or_else(unreadable)??;
        wire::nodes(&answer).ok_or_else(unreadable)
    }

    /// Asks about these limits, and tells each what was said. On an error, all of those not answered know of it.
    pub(super) async fn ask(
        &mut self,
        link: &Link,
        limits: &[Arc<Limit>],
    ) -> Result<(), StoreError> {
        for (done, batch) in limits.chunks(BATCH).enumerate() {
            if let Err(error) = self.ask_batch(link, batch).await {
                // Said first, so that those who are woken do not ask again.
                link.set_down(clock::now());
                give_up(&limits[done * BATCH..]);
                return Err(error);
            }
        }
        Ok(())
    }

    async fn ask_batch(&mut self, link: &Link, limits: &[Arc<Limit>]) -> Result<(), StoreError> {
        let sent = clock::now();
        let setting = wire::Setting {
            prefix: &self.options.prefix,
            life: &self.life,
            probation: self.settled_at.saturating_sub(sent),
            grace: micros(self.options.grace),
            time: None,
        };
        let mut calls: Vec<(&Script, Call)> = Vec::with_capacity(limits.len());
        for limit in limits {
            let request = request(limit, sent, link.nodes());
            let geometries = &limit.core().geometries;
            calls.push((
                &self.scripts.lease,
                wire::call(&setting, limit.key(), limit.windows(), geometries, &request),
            ));
        }
        let answers = self
            .connection
            .run_all(&calls, self.options.deadline)
            .await?;
        if answers.len() != limits.len() {
            return Err(unreadable());
        }
        let mut refused = Vec::new();
        let mut reason = None;
        for (limit, answer) in limits.iter().zip(answers) {
            match answer.and_then(|value| wire::reply(&value).ok_or_else(unreadable)) {
                Ok(reply) => answered(limit, sent, link.nodes(), &reply),
                Err(error) => {
                    refused.push(limit.clone());
                    reason = Some(error);
                }
            }
        }
        match reason {
            // A server that refuses everything has forgotten the scripts, or takes no writes: start anew.
            Some(error) if refused.len() == limits.len() => Err(error),
            Some(error) => {
                tracing::warn!(%error, limit = %refused[0].key(), "redis refuses a rate limit; this node keeps it alone");
                give_up(&refused);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

fn request(limit: &Limit, now: u64, nodes: Nodes) -> Request {
    let mut guard = limit.core().lock();
    let State { tally, lease } = &mut *guard;
    let now = tally.advance(now);
    let lease = lease.as_mut().expect("only shared limits are queued");
    lease.request(
        now,
        tally,
        limit.windows(),
        nodes,
        limit.policy().is_exact(),
    )
}

fn answered(limit: &Limit, sent: u64, nodes: Nodes, reply: &Reply) {
    {
        let mut guard = limit.core().lock();
        let State { tally, lease } = &mut *guard;
        let now = tally.advance(clock::now());
        let lease = lease.as_mut().expect("only shared limits are queued");
        lease.reply(sent, now, tally, limit.windows(), nodes, reply);
    }
    limit.core().answered.notify_waiters();
}

/// Lets those who wait decide for themselves.
pub(super) fn give_up(limits: &[Arc<Limit>]) {
    for limit in limits {
        if let Some(lease) = &mut limit.core().lock().lease {
            lease.failed(clock::now());
        }
        limit.core().answered.notify_waiters();
    }
}

fn unreadable() -> StoreError {
    StoreError::Refused(
        "a script answered in an unknown form; is another version using this prefix?".to_owned(),
    )
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros() as u64
}
