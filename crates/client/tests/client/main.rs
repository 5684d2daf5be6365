//! Clients, written by hand and made from a description, against real servers.

#![allow(clippy::unwrap_used, reason = "a test that panics says where")]

mod batch;
mod calls;
mod orders;
mod retry;
mod script;
mod stream;
mod token;
