//! Every option of a program's configuration, by name: each test starts a program with it and looks at what changes. What is what
//! stands in `tests/OPTIONS.md`.
#![allow(clippy::unwrap_used, reason = "a test that panics says where")]
#![allow(
    clippy::float_cmp,
    reason = "metrics are numbers of things that were counted"
)]

mod auth;
mod cache;
mod config;
mod database;
mod documentation;
mod health;
mod http;
mod logger;
mod metrics;
mod mistakes;
mod rate_limit;
mod shop;
mod store;
mod traces;
