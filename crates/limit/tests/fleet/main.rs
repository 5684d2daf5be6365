//! Several nodes on one real Redis.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "the figures are worth seeing")]

#[path = "../../../store/tests/support/mod.rs"]
mod support;

mod load;
mod outage;
mod saturation;
mod small;
mod traffic;
