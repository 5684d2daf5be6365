//! The life of a program on the facade, seen from outside: real processes, real servers, signals and faults.
#![allow(clippy::unwrap_used, reason = "a test that panics says where")]

mod harness;
mod start;
mod stop;
mod workers;
