//! What the tests stand on: the program, a client, an upstream that does as it is told, and waiting.
//!
//! It has no rows of its own, needs nothing but this folder, and can be used by another test binary with
//! `#[path = "../gateway/harness/mod.rs"] mod harness;`.
#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "no test binary uses all of it"
)]

pub(crate) mod certificates;
pub(crate) mod client;
pub(crate) mod gateway;
pub(crate) mod program;
pub(crate) mod redis_client;
pub(crate) mod relay;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod setup;
pub(crate) mod stores;
pub(crate) mod tls_client;
pub(crate) mod upstream;
pub(crate) mod wait;

pub(crate) use certificates::{Authority, Certificate};
pub(crate) use client::Client;
pub(crate) use gateway::{ADMIN_KEY, Gateway, Options};
pub(crate) use relay::Relay;
pub(crate) use request::Request;
pub(crate) use response::Response;
pub(crate) use setup::TenantKey;
pub(crate) use stores::{Backend, Stores};
pub(crate) use tls_client::TlsClient;
pub(crate) use upstream::{Answer, Gate, Received, Upstream};
pub(crate) use wait::{eventually, pause};

/// Makes one test body two tests: `name::embedded` and `name::servers`.
macro_rules! on_both {
    ($($(#[doc = $doc:literal])* fn $name:ident($backend:ident) $body:block)*) => {
        $(
            $(#[doc = $doc])*
            mod $name {
                #[allow(unused_imports, reason = "not every body needs everything that its file imports")]
                use super::*;

                fn body($backend: crate::harness::Backend) $body

                #[test]
                fn embedded() {
                    body(crate::harness::Backend::Embedded);
                }

                #[test]
                fn servers() {
                    body(crate::harness::Backend::Servers);
                }
            }
        )*
    };
}
pub(crate) use on_both;
