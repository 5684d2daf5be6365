//! The cache's part of the shared store.
//!
//! | key behind `cache:` and the prefix | value |
//! |---|---|
//! | `e:{cache}:{tenant}:{digest}` | an [`Entry`] |
//! | `l:{cache}:{tenant}:{digest}` | who computes it |
//! | `g:{tag}` | the tag's generation: random, deleted by an invalidation, made again by whoever computes next |
//! | `id` | random: another one after the store has lost its data |
//! | `seq` | how many invalidations there were |
//! | channel `invalidated` | the invalidations, numbered |
//!
//! A generation that is missing agrees with none, so a store that forgets keys costs hits and nothing else.

use std::sync::Arc;
use std::time::Duration;

use bastide_store::{Namespace, Space, Store, StoreError, Subscription};
use bytes::{Buf, BufMut, Bytes};
use futures_util::future::join_all;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::counters::Totals;
use crate::entry::{Entry, Generation};
use crate::link::Link;
use crate::options::CacheOptions;
use crate::tag::Tag;

/// The first byte of a message.
const VERSION: u8 = 1;

/// One writer in so many lets the generations of its tags live on, so that those of tags in use do not end, and with them
/// all that carries them.
const RENEW_ONE_IN: u32 = 8;

#[derive(Debug)]
pub(crate) struct Remote {
    space: Space,
    prefix: String,
    patience: Duration,
    generation_ttl: Duration,
    lease_ttl: Duration,
    has_values: bool,
    pub(crate) link: Link,
    totals: Arc<Totals>,
}

/// What the store has for a key.
#[derive(Debug)]
pub(crate) struct Look {
    /// Only if it agrees with the generations.
    pub(crate) entry: Option<Entry>,
    pub(crate) generations: Vec<Option<Generation>>,
    /// Whether some process computes it.
    pub(crate) is_leased: bool,
}

/// The answer to who wants to compute.
#[derive(Debug)]
pub(crate) enum Bid {
    Won(Lease),
    /// Another process has it.
    Lost,
    /// The store is away.
    Void,
}

/// The right to compute among processes. Given back when dropped, too, though later.
#[derive(Debug)]
pub(crate) struct Lease {
    remote: Arc<Remote>,
    key: String,
    token: Option<[u8; 16]>,
}

/// An invalidation as it is published.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) number: u64,
    pub(crate) tags: Vec<Tag>,
}

fn random() -> [u8; 16] {
    Uuid::new_v4().into_bytes()
}

fn block(bytes: Option<Vec<u8>>) -> Option<[u8; 16]> {
    bytes?.try_into().ok()
}

impl Remote {
    pub(crate) fn new(store: &Store, options: &CacheOptions, totals: Arc<Totals>) -> Self {
        Self {
            space: store.namespace(Namespace::Cache),
            prefix: options.prefix.clone(),
            patience: options.store_timeout,
            generation_ttl: options.l2_ttl.saturating_mul(2),
            lease_ttl: options.lease,
            has_values: options.multi_tier,
            link: Link::new(),
            totals,
        }
    }

    fn name(&self, kind: &str, rest: &str) -> String {
        [&self.prefix, kind, rest].concat()
    }

    fn generation_name(&self, tag: &Tag) -> String {
        self.name("g:", &tag.stored())
    }

    /// Waits for the store no longer than a caller can be made to. Who finds it away says so, and the others do not ask
    /// until the listener has found it back.
    async fn ask<T>(&self, operation: impl Future<Output = Result<T, StoreError>>) -> Option<T> {
        match timeout(self.patience, operation).await {
            Ok(Ok(value)) => return Some(value),
            Ok(Err(error)) if error.is_unavailable() => self.link.lost(),
            Ok(Err(error)) => {
                tracing::debug!(code = error.code(), "the shared store refused the cache");
            }
            Err(_) => self.link.lost(),
        }
        self.totals.store_errors.add(1);
        None
    }

    /// Whether the store's values may be used now.
    pub(crate) fn is_usable(&self) -> bool {
        self.has_values && self.link.is_usable(Instant::now())
    }

    pub(crate) async fn look(&self, stored: &str, tags: &[Tag]) -> Option<Look> {
        let mut names = vec![self.name("e:", stored), self.name("l:", stored)];
        names.extend(tags.iter().map(|tag| self.generation_name(tag)));
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut found = self.ask(self.space.get_many(&names)).await?.into_iter();
        let entry = found.next().flatten();
        let is_leased = found.next().flatten().is_some();
        let generations: Vec<_> = found.map(block).collect();
        Some(Look {
            entry: entry
                .and_then(|bytes| Entry::decode(bytes.into()))
                .filter(|entry| entry.agrees(tags, &generations)),
            generations,
            is_leased,
        })
    }

    /// The generations of the tags, made where there is none.
    pub(crate) async fn generations(
        &self,
        tags: &[Tag],
        known: Vec<Option<Generation>>,
    ) -> Option<Vec<Generation>> {
        let each = tags.iter().zip(known).map(async |(tag, known)| {
            if known.is_some() {
                return known;
            }
            let (name, new) = (self.generation_name(tag), random());
            let ttl = Some(self.generation_ttl);
            if self.ask(self.space.set_if_absent(&name, &new, ttl)).await? {
                return Some(new);
            }
            block(self.ask(self.space.get(&name)).await?)
        });
        join_all(each).await.into_iter().collect()
    }

    /// Asks for the right to compute.
    pub(crate) async fn bid(self: &Arc<Self>, stored: &str) -> Bid {
        let (key, token) = (self.name("l:", stored), random());
        let lease = Lease {
            remote: Arc::clone(self),
            key,
            token: Some(token),
        };
        let ttl = Some(self.lease_ttl);
        match self
            .ask(self.space.set_if_absent(&lease.key, &token, ttl))
            .await
        {
            Some(true) => Bid::Won(lease),
            Some(false) => {
                lease.forget();
                Bid::Lost
            }
            // It may have been granted; dropping it gives it back.
            None => Bid::Void,
        }
    }

    pub(crate) async fn put(&self, stored: &str, entry: &Entry) {
        if !self.is_usable() {
            return;
        }
        let (name, bytes) = (self.name("e:", stored), entry.encode());
        let ttl = Some(entry.fresh.saturating_add(entry.stale));
        let renewals = if fastrand::u32(..RENEW_ONE_IN) == 0 {
            entry.generations.as_slice()
        } else {
            &[]
        };
        let renewals = renewals.iter().map(async |(tag, generation)| {
            let name = self.generation_name(tag);
            let (same, ttl) = (Some(generation.as_slice()), Some(self.generation_ttl));
            self.ask(self.space.compare_and_set(&name, same, same, ttl))
                .await;
        });
        tokio::join!(
            self.ask(self.space.set(&name, &bytes, ttl)),
            join_all(renewals)
        );
    }

    /// Makes every process's values with these tags void. `false`: it is not known to have happened.
    pub(crate) async fn invalidate(&self, tags: &[Tag]) -> bool {
        // First the generations: who hears the notice must not find the old ones.
        if self.has_values {
            let deletions = tags.iter().map(async |tag| {
                let name = self.generation_name(tag);
                self.ask(self.space.delete(&name)).await
            });
            if join_all(deletions).await.iter().any(Option::is_none) {
                return false;
            }
        }
        let seq = self.name("seq", "");
        let Some(number) = self.ask(self.space.increment(&seq, 1, None)).await else {
            return false;
        };
        let notice = Notice {
            number: number as u64,
            tags: tags.to_vec(),
        };
        let channel = self.channel();
        self.ask(self.space.publish(&channel, &notice.encode()))
            .await
            .is_some()
    }

    fn channel(&self) -> String {
        self.name("invalidated", "")
    }

    pub(crate) async fn subscribe(&self) -> Option<Subscription> {
        let channel = self.channel();
        // Making a connection takes longer than an operation, and has a bound of its own.
        let subscription = self.space.subscribe(&channel).await.ok();
        if subscription.is_none() {
            self.totals.store_errors.add(1);
        }
        subscription
    }

    /// The store's id and the number of the last invalidation.
    pub(crate) async fn state(&self) -> Option<([u8; 16], u64)> {
        let (id, seq) = (self.name("id", ""), self.name("seq", ""));
        let mut found = self.ask(self.space.get_many(&[&id, &seq])).await?;
        let number = found
            .pop()
            .flatten()
            .and_then(|text| String::from_utf8(text).ok()?.parse().ok())
            .unwrap_or(0);
        if let Some(id) = block(found.pop().flatten()) {
            return Some((id, number));
        }
        let new = random();
        if self.ask(self.space.set_if_absent(&id, &new, None)).await? {
            return Some((new, number));
        }
        Some((block(self.ask(self.space.get(&id)).await?)?, number))
    }

    /// Lets the count go on where it had been, in a store that fell back to an earlier state.
    pub(crate) async fn recount(&self, by: u64) -> Option<u64> {
        let seq = self.name("seq", "");
        let sum = self.space.increment(&seq, by as i64, None);
        Some(self.ask(sum).await? as u64)
    }
}

impl Remote {
    async fn give_back(&self, key: &str, token: [u8; 16]) {
        if self.link.is_there() {
            self.ask(self.space.compare_and_set(key, Some(&token), None, None))
                .await;
        }
    }
}

impl Lease {
    /// Gives the right back, if it is still this one's.
    pub(crate) async fn release(mut self) {
        if let Some(token) = self.token {
            self.remote.give_back(&self.key, token).await;
            self.token = None;
        }
    }

    fn forget(mut self) {
        self.token = None;
    }
}

impl Drop for Lease {
    /// The request was cancelled, or it panicked: the others need not wait for the lease's end.
    fn drop(&mut self) {
        if let Some(token) = self.token.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let (remote, key) = (Arc::clone(&self.remote), std::mem::take(&mut self.key));
            runtime.spawn(async move { remote.give_back(&key, token).await });
        }
    }
}

impl Notice {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(9 + self.tags.len() * Tag::LEN);
        out.put_u8(VERSION);
        out.put_u64(self.number);
        for tag in &self.tags {
            out.put_slice(tag.as_bytes());
        }
        out
    }

    /// `None`: it is of another version, so nobody knows what it says.
    pub(crate) fn decode(bytes: Vec<u8>) -> Option<Self> {
        let mut bytes = Bytes::from(bytes);
        if bytes.try_get_u8().ok()? != VERSION {
            return None;
        }
        let number = bytes.try_get_u64().ok()?;
        let (tags, []) = bytes.as_chunks::<{ Tag::LEN }>() else {
            return None;
        };
        Some(Self {
            number,
            tags: tags.iter().copied().map(Tag::from_bytes).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_reads_what_it_wrote_and_nothing_else() {
        let notice = Notice {
            number: 7,
            tags: vec![Tag::shared("a"), Tag::shared("b")],
        };
        let bytes = notice.encode();
        assert_eq!(Notice::decode(bytes.clone()), Some(notice));
        assert_eq!(Notice::decode(bytes[..bytes.len() - 1].to_vec()), None);
        assert_eq!(Notice::decode(vec![2; 9]), None);
        assert_eq!(Notice::decode(Vec::new()), None);
    }
}
