//! The gateway among peers that break, lie, dawdle and attack: upstreams that fail in every way that a server can,
//! clients that smuggle, wander and drip, stores that die and come back.
//!
//! Each file has one subject, each test is named for what it shows. The program is the real one, and so are the sockets and
//! the servers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../gateway/harness/mod.rs"]
mod harness;

mod load;
mod memory;
mod raw;
mod scene;
mod succession;

mod broken_bodies;
mod chaotic_upstream;
mod drain;
mod faults;
mod flood;
mod handed_over;
mod headers;
mod path_confusion;
mod poisoned_connections;
mod reloads;
mod room;
mod slow_clients;
mod smuggled_bodies;
mod smuggling;
mod stale_connections;
mod streaming;
mod tunnels;
mod upgrade;
mod volume;
mod websockets;
