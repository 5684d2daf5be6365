//! What a verifier accepts, and everything that it must not.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod attacks;
mod cache;
mod claims;
mod keys;
mod support;
