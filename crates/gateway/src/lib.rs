//! The multi-tenant API gateway: tenants, keys, limits and routes in front of any HTTP service.
//!
//! Two halves that share nothing but an immutable snapshot: the data plane (`data`), which carries requests, and the
//! control plane ([`control`], [`admin`], [`declare`]), which changes what they may do.
//!
//! # Invariants
//! - No request waits for the database or, but for limits that ask for it, for the shared store.
//! - No request is forwarded whose framing or path could be read in two ways.
//! - An identity is made from a verified key and from nothing else.
//! - A configuration is served whole or not at all; losing its source changes nothing for traffic.
//!
//! # What it deliberately does not do
//! It keeps no sessions and no bodies, and it has no plug-ins.

#![deny(unsafe_code)]

pub mod admin;
pub mod control;
pub(crate) mod data;
pub mod declare;
mod front;
pub mod handover;
mod http2;
pub mod keys;
mod legacy_keys;
pub mod maintenance;
pub mod model;
pub mod repository;
mod run;
pub mod seed;
pub mod settings;
mod snapshot;
pub mod start;
mod sys;
mod upstream;

use bastide_config::network;
pub use bastide_config::network::{NotANetwork, TrustedPeers};
pub use data::listen::ListenError;
pub use data::tls::TlsError;
pub use run::Gateway;
pub use start::StartError;
pub use upstream::trust::TrustError;
