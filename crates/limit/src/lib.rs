//! Rate limits: exact sliding windows, kept in this process or shared between nodes over Redis.
//!
//! A [`Policy`] says how many in which time; a [`Limiter`] makes [`Limit`]s of policies; [`Limit::try_acquire`] decides about a
//! request in some tens of nanoseconds, without waiting, allocating or asking anybody.
//!
//! # Invariants
//!
//! - **Never more than the limit in any window.** Not per calendar minute: in *any* interval of the window's length. Between
//!   nodes too, because what a node may spend ahead has been counted in Redis before. In return at least 95 % of the limit
//!   is reached under saturation (windows of 1 s and more), not always 100 %.
//! - **No request fails because Redis does.** A request waits for it 5 ms at most, and only where no lease is in hand. When
//!   it is gone, the policy's [`FailMode`] holds; by default each node admits its share, and the shares add up to the limit.
//!   When it returns, nodes first report what they admitted meanwhile (or all they remember, if it comes back empty), keep to
//!   their shares until everybody had time to, and lease again.
//! - **Traffic to Redis follows time, not requests**: at most one message per tick and node while there is demand, none
//!   when there is none, but for a heartbeat each second.
//! - **Nobody is refused while there is room**: only where Redis said that there is none (and that is checked again four
//!   times a second while requests come), or where it cannot be asked. What a node holds ahead looks used to the others,
//!   so it is little, goes back when it is not touched for 250 ms, and is nothing where a node's share is below 16: such
//!   limits cost each request a round trip to Redis.
//! - **What a client is told is true**: after [`Quota::retry_after`] a request is admitted if nobody else came.
//!
//! What these rest on: all nodes of a fleet use the same limits, Redis does not evict keys (`maxmemory-policy
//! noeviction`) and its clock is not set forward in jumps. A node cut off from a Redis that others still reach keeps to its
//! share *in addition* to what the others lease, until it is back.
//!
//! # Deliberately absent
//!
//! Queues (a request is admitted or refused, never delayed to fit), persistence (counts live as long as somebody holds the
//! limit), and names made from client input: every limit is configured. The pure parts (windows, shares, leases) know no
//! clock; only [`clock`], [`Limit::acquire`] and the leasing task do.
//!
//! # Example
//!
//! ```
//! use bastide_limit::{Limiter, LimitKey, Outcome, Policy, Rate, clock};
//!
//! let limiter = Limiter::local();
//! let policy = Policy::new(Rate::Window { limit: 2, window_ms: 60_000 })?;
//! let limit = limiter.handle(LimitKey::new("tenant", "acme"), &policy);
//!
//! assert!(limit.try_acquire(clock::now()).is_admitted());
//! assert!(limit.try_acquire(clock::now()).is_admitted());
//! match limit.try_acquire(clock::now()) {
//!     Outcome::Refused(quota) => assert!(quota.remaining == 0 && quota.retry_after > 59_000_000),
//!     other => panic!("{other:?}"),
//! }
//! # Ok::<(), bastide_limit::PolicyError>(())
//! ```
//!
//! Between nodes the limiter comes with a task to spawn:
//!
//! ```no_run
//! # use bastide_limit::{Limiter, SharedOptions};
//! # use bastide_store::{RedisOptions, RedisStore, RedisUrl};
//! # async fn start() -> Result<(), Box<dyn std::error::Error>> {
//! let redis = RedisStore::new(&RedisUrl::parse("redis://localhost:6379")?, RedisOptions::default())?;
//! let (limiter, leasing) = Limiter::shared(redis, SharedOptions::default());
//! tokio::spawn(leasing);
//! # drop(limiter);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod clock;
mod key;
mod lease;
mod limit;
mod limiter;
mod link;
mod message;
mod policy;
mod quota;
mod ring;
mod share;
mod shared;
mod tally;

pub use key::LimitKey;
pub use limit::{Limit, acquire_all, try_acquire_all};
pub use limiter::Limiter;
pub use link::SharedOptions;
pub use policy::{FailMode, MAX_COUNT, MAX_WINDOW_MS, Policy, PolicyError, Rate, Window, Windows};
pub use quota::{Outcome, Quota};
