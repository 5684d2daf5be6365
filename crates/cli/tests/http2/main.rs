//! HTTP/2 on both sides of the gateway, and gRPC through it.
//!
//! Each file has one subject, each test is named for what it shows. The program is the real one; the clients and upstreams
//! are a real HTTP/2 library's, and where they are to misbehave, frames written by hand.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../gateway/harness/mod.rs"]
mod harness;
#[path = "../hostile/memory.rs"]
mod memory;

mod client;
mod frames;
mod scene;
mod server;
mod upstream;

mod answers;
mod chaos;
mod floods;
mod grpc;
mod life;
mod malformed;
mod requests;
mod sharing;
mod streams;
mod tls;
mod volume;
