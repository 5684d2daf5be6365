//! What the cache's users may rely on.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod flights;
mod invalidation;
mod keys;
mod options;
mod outage;
mod processes;
mod support;
mod tiers;
