//! The gateway as its users meet it: the real program, real sockets, real servers, nothing mocked but the upstreams.
//!
//! Each file has one subject. Its tests are named by the row of the specification that they show, and those whose outcome
//! could depend on the stores run twice: `embedded` (SQLite and this process's memory) and `servers` (Postgres and Redis).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(
    clippy::needless_pass_by_value,
    reason = "`json!` makes values, and a test reads better without `&`"
)]

mod access_log;
mod admin;
mod admin_refusals;
mod audit;
mod balancing;
mod breaker;
mod damaged_database;
mod declarative;
mod documentation;
mod drain;
mod exact_limits;
mod fallback;
mod framing;
mod gauges;
mod harness;
mod health_checks;
mod imported_keys;
mod keys;
mod limits;
mod maintenance;
mod metrics;
mod open_limits;
mod probes;
mod proxying;
mod readme;
mod retries;
mod routing;
mod settings;
mod shared_limits;
mod stores;
mod streaming;
mod tenants;
mod timeouts;
mod tls;
mod tls_upstreams;
mod transforms;
mod unix_upstreams;
mod upstream_names;
