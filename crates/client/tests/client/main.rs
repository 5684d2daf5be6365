//! Clients, written by hand and made from a description, against real servers.

#![allow(clippy::unwrap_used, reason = "a test that panics says where")]

mod batch;
mod breaking;
mod calls;
#[rustfmt::skip]
#[allow(dead_code, unreachable_pub, missing_docs, reason = "it is made for crates that export it")]
mod generated;
mod orders;
mod retry;
mod rust;
mod script;
mod shapes;
mod stream;
mod token;
mod typescript;
