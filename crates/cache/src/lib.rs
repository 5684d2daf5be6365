//! A cache in two tiers: this process's memory (L1) over the shared store (L2), the same in every process.
//!
//! [`Cache::get_or_compute`] gives the value of a [`Key`] from the nearest tier or computes it, once for all who ask at the
//! same time. A [`Keep`] says for how long it is kept and on what it depends; [`Cache::invalidate`] makes void what depends
//! on a [`Tag`], in every process.
//!
//! # Invariants
//! - **A key carries its tenant**, or says that it has none ([`Key::shared`]). Tenant, subject, name and arguments are hashed
//!   with their lengths, so two different calls never have one key. Tags are as strict.
//! - **A value from before an invalidation is not served after it.** When [`Cache::invalidate`] has returned
//!   [`Reach::Everywhere`], this process serves the old value no more; every other one that reaches the store serves it for
//!   at most [`CacheOptions::max_staleness`] longer (usually: milliseconds), and one that does not reach the store for
//!   at most [`CacheOptions::outage_ttl`]. The caller whose computation was under way gets its result; nobody else does.
//! - **No call fails for the store.** While it is away, values are computed and kept in memory. Who finds it away waits for
//!   [`CacheOptions::store_timeout`]; the others do not ask until it is back. An invalidation meanwhile
//!   ([`Reach::HereOnly`]) holds here at once and is delivered when the store is back, and no process that was cut off reads
//!   the store's values until the others have had the time to deliver theirs. What a process had yet to deliver is
//!   lost with it: then an old value in the store ends with its time.
//! - **Nobody waits without bound**: not for another call, not for another process ([`CacheOptions::lease`]).
//! - **Memory is bounded** by entries and by bytes.
//!
//! # How it knows
//! Each tag has a *generation* in the store, a random number which an invalidation deletes. A value in the store carries the
//! generations of its tags as they were read before it was computed, and is a miss when they are others: it does not matter
//! when it was written. In memory no store is asked: invalidations are published under consecutive numbers. A process that
//! misses a number, or learns from the store's count (asked four times in `max_staleness`) that it has missed the
//! last one, empties its memory. Memory that was not confirmed for `max_staleness` is served only as long as `outage_ttl`
//! allows.
//!
//! # Eviction
//! What gives way in memory is chosen by `quick_cache`'s form of Clock-PRO, close to S3-FIFO: a new value must be asked for
//! again before it can displace those in use. LRU, which other caches offer beside it, lets one pass over many keys empty the
//! cache; it is not offered here, and so there is no option.
//!
//! # What it deliberately does not do
//! - No `put`: a value whose tags' generations were not read before it was made may be old already.
//! - No removal by key: give the value a tag.
//! - No format but JSON: it needs no schema, and what another version of a program wrote is either read or a miss.
//! - No compression, no lists of keys, and no values for callers without the [`Key`].
//!
//! # Example
//! ```
//! use std::time::Duration;
//! use bastide_auth::TenantId;
//! use bastide_cache::{Cache, CacheOptions, Keep, Key, Reach, Tag};
//! use bastide_store::Store;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cache = Cache::new(&Store::memory(), CacheOptions::default()).await?;
//! let users = cache.named("users");
//!
//! let acme = TenantId::parse("acme")?;
//! let key = Key::for_tenant(&acme, "users.find", &7)?;
//! let tag = Tag::for_tenant(&acme, "user:7");
//! let keep = Keep::lasting(Duration::from_secs(60)).tag(tag);
//!
//! let read = async || Ok::<_, std::io::Error>("ada".to_owned());
//! assert_eq!(users.get_or_compute(&key, &keep, read).await?, "ada");
//! assert_eq!(users.get_or_compute(&key, &keep, read).await?, "ada");
//! assert_eq!(users.counters().hits_l1.get(), 1);
//!
//! assert_eq!(cache.invalidate(&[tag]).await, Reach::Everywhere);
//! let changed = async || Ok::<_, std::io::Error>("ada lovelace".to_owned());
//! assert_eq!(users.get_or_compute(&key, &keep, changed).await?, "ada lovelace");
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod cache;
mod canonical;
mod counters;
mod digest;
mod entry;
mod flights;
mod keep;
mod key;
mod l1;
mod link;
mod listener;
mod lookup;
mod options;
mod remote;
mod sequence;
mod tag;
mod tiers;
mod turn;
mod voids;

pub use cache::Cache;
pub use counters::{Counters, Totals};
pub use keep::Keep;
pub use key::{Key, KeyError, Owner};
pub use options::{CacheOptions, OptionsError};
pub use tag::Tag;
pub use tiers::Reach;
