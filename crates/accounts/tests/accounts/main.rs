//! Accounts over real servers: the auth app, and another app that shares nothing with it but keys and the store.
#![allow(clippy::unwrap_used, reason = "a test that panics says where")]

mod refresh;
mod registry;
mod secrets;
mod service;
mod sessions;
mod sign_in;
mod support;
mod tenants;
