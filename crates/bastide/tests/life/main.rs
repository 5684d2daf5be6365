//! The life of a program on the facade, seen from outside: real processes, real servers, signals and faults.
#![allow(clippy::unwrap_used, reason = "a test that panics says where")]

mod faults;
mod fleet;
mod harness;
mod secrets;
mod start;
mod stop;
mod workers;
