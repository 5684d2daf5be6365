//! What a gateway does when upstreams misbehave: circuit breaking, retries under a budget, health, load balancing.
//!
//! One module holds one machine. Each is arithmetic over its own state: the caller passes the time (microseconds of one
//! monotonic clock) and random numbers. What threads share is a thin shell over the same arithmetic.
//!
//! # Invariants
//! - A half-open breaker has no more probes out than it is configured for.
//! - Retries never exceed their budget, whatever the number of threads.
//! - News from other nodes is advice, late and possibly wrong; what this node has seen itself decides.
//! - What was learned belongs to one endpoint or upstream and is kept by the caller, so a reload forgets nothing but
//!   whose turn it was.
//!
//! # What it does not do
//! No sockets, timers or tasks: who probes, waits and forwards is the caller's matter. No outlier ejection by success
//! ratio. It knows nothing of HTTP.
//!
//! # Example
//! ```
//! use bastide_resilience::balance::{Balancer, Load, Strategy};
//! use bastide_resilience::breaker::{Availability, Breaker, BreakerConfig, Outcome};
//!
//! let breaker = || Breaker::new(BreakerConfig { failure_threshold: 1, ..BreakerConfig::default() });
//! let breakers = [breaker(), breaker()];
//! let loads = [Load::default(), Load::default()];
//! let balancer = Balancer::new(Strategy::RoundRobin, &[1, 1]);
//! let (now, random) = (1_000, 0);
//! let pick = || {
//!     let ready = |at: usize| breakers[at].availability(now) == Availability::Ready;
//!     balancer.pick(ready, |at| &loads[at], random, now)
//! };
//!
//! let first = pick().expect("both are ready");
//! let permit = breakers[first].try_acquire(now).expect("it is ready");
//! breakers[first].record(permit, Outcome::Failure, now);
//! assert_eq!(pick(), Some(1 - first));
//! assert_eq!(pick(), Some(1 - first), "an open breaker is passed over");
//! ```

#![forbid(unsafe_code)]

pub mod backoff;
pub mod balance;
pub mod breaker;
pub mod budget;
pub mod health;
