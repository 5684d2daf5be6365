//! Methods called in every way there is.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod alike;
mod caching;
mod closed;
mod connections;
mod cors;
mod feeds;
mod files;
mod http;
mod lines;
mod macros;
mod matrix;
mod observe;
mod openapi;
mod openapi_structure;
mod ops;
mod own;
mod proxies;
mod registry;
mod routes;
mod serve;
mod sockets;
mod spans;
mod streams;
mod support;
mod webhooks;
mod websocket;
