//! What the author of a service imports: authenticated, tenant-isolated, cached, limited, probed and measured methods out of a
//! struct and its functions.
//!
//! A program is a function that is given an [`App`]: it asks for the parts it needs, builds its services of them by plain
//! code, and runs.
#![forbid(unsafe_code)]

mod app;
mod commands;
mod configuration;
mod error;
mod launch;
mod migrations;
mod notify;
mod parts;
pub mod prelude;
mod readiness;
mod serve;
pub mod settings;
mod signals;
mod tables;
#[cfg(feature = "testing")]
pub mod testing;
mod watch;
mod workers;

pub use app::{App, Stop};
pub use error::StartError;
pub use launch::{Program, launch};

pub use bastide_accounts as accounts;
pub use bastide_auth as auth;
pub use bastide_cache as cache;
pub use bastide_client as client;
pub use bastide_config as config;
pub use bastide_context as context;
pub use bastide_db as db;
pub use bastide_health as health;
pub use bastide_limit as limit;
#[doc(inline)]
pub use bastide_macros::main;
pub use bastide_repo as repo;
pub use bastide_rpc as rpc;
pub use bastide_settings as runtime_settings;
pub use bastide_store as store;
pub use bastide_telemetry as telemetry;
pub use {anyhow, schemars, serde, serde_json, tokio, tracing};

/// What a program's function gives: any error ends it, with all its causes on one line.
pub type Result<T, E = anyhow::Error> = std::result::Result<T, E>;

/// The guide's examples are compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/services.md")]
struct Guide;
