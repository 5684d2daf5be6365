//! Services and their methods, called over HTTP, and one way for every call.
//!
//! A [`Method`] is a name, a stated policy and the code behind it; a [`Route`] is the same for a path where requests and
//! responses are as HTTP has them: uploads, files ([`Files`], [`Content`]), webhooks ([`Signature`]). A [`Service`] is methods and routes
//! under a version; the [`Dispatcher`] takes an [`Invocation`] to its method. [`Server`] brings calls from sockets; [`Ops`] is what the
//! operator asks. `#[service]` writes services and methods from an `impl` ([`IntoService`]).
//!
//! # Ways
//! - `POST /rpc/{service}@{version}/{method}`, and the path of a method's own. A method's stream is answered as server-sent
//!   events: `data` with each item and its running number as `id`, then `end`, or `problem` with a problem document.
//! - `POST /rpc`: a batch.
//! - A WebSocket at `/ws`, with JSON in text frames. Its client sends
//!   `{"id":1,"call":"users@1.0.0/find","input":{..},"timeoutMs":500}`, `{"id":1,"cancel":true}` or
//!   `{"authenticate":{"token":".."}}`, whose token the calls after it show (a stream under way keeps its own). Each call is answered under its id: with
//!   `{"id":1,"status":200,"output":..}`, with `{"id":1,"item":..}` for each item of a stream and `{"id":1,"end":true}` after
//!   them, or with `{"id":1,"status":403,"problem":{..}}`. An id is free again after its call's last frame. A problem without an
//!   id is one of a frame that was no call.
//!
//! # Invariants
//! - **One dispatch path.** A request, an item of a batch, a path of a method's own, a frame of a WebSocket: each becomes an
//!   [`Invocation`], and the stations in `dispatch.rs` are the only ones that decide about it, and about requests to routes.
//! - **No entry without policy.** A method has no handler before its policy is stated, and the policy decides what the handler
//!   may know of its caller: who lets strangers in cannot ask for a tenant.
//! - **Nothing of the request is identity.** Credentials are handed to the verifier; no member of an input and no field but
//!   those of credentials is looked at.
//! - **A deadline cancels.** When it passes, the handler's future is dropped; a caller may ask for less time and never gets
//!   more.
//! - **A stream is its caller's.** It is made no faster than it is read, and ends with its reader, its token or its session.
//! - **An event is its signer's.** What the handler of a webhook gets can be made by the verifier alone.
//! - **Bodies of routes stream.** What is held whole is bounded by whoever holds it.
//! - **Every line of the log has its call**: `request_id` and `trace_id`, with the number of a batch's item (`item`) or a WebSocket's
//!   frame (`call`).
//! - **Who may be anybody decides nothing**: an address in `X-Forwarded-For` and a flag in `traceparent` count from where strangers
//!   do not get to.
//! - **No client makes a metric series**, and no line of the log has a query, a path as it was sent, or a body.
//! - **Wrong input is named**, member by member, and nothing inside is told to anybody.
//!
//! # What it deliberately does not do
//! No middleware: what has to happen to every call is a station, what one method needs is in its code. No extraction by
//! type: a method's input is one value with a schema. No resuming: a stream that broke off is begun anew.
//!
//! # Example
//! ```
//! use std::sync::Arc;
//! use bastide_rpc::{Dispatcher, HttpEntry, HttpOptions, Method, Problem, Registry, Server, Service};
//! use bastide_telemetry::metrics;
//!
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! struct Greet { name: String }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let greeter = Service::new("greeter", "1.0.0")?.method(
//!     Method::named("greet")
//!         .public("anybody may be greeted")
//!         .handler(|_, input: Greet| async move { Ok::<_, Problem>(format!("hello {}", input.name)) }),
//! );
//! let dispatcher = Dispatcher::new(Registry::new([greeter])?, &metrics::Registry::new(), None)?;
//! let mut server = Server::new(HttpEntry::new(Arc::new(dispatcher), HttpOptions::default()));
//! let address = server.listen(([127, 0, 0, 1], 0).into()).await?;
//! println!("curl http://{address}/rpc/greeter@1.0.0/greet -d '{{\"name\":\"Ada\"}}' -H 'content-type: application/json'");
//! # server.drain(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

// What macros write names this crate; in it too.
extern crate self as bastide_rpc;

mod access;
mod attempts;
mod caching;
mod declared;
mod dispatch;
mod files;
mod http;
mod input;
mod into_service;
mod limit;
mod method;
mod metrics;
mod openapi;
mod ops;
mod problem;
mod replay;
mod repo_error;
mod rest;
mod route;
mod service;
mod signature;
mod spans;
mod stream;

pub use access::Access;
pub use attempts::Attempts;
#[doc(inline)]
pub use bastide_macros::{ApiError, api, service};
pub use caching::Cached;
pub use dispatch::{Credentials, Dispatcher, Invocation, Outcome};
pub use files::{FileError, Files};
pub use http::{
    Body, BodyStream, Broken, Content, Cors, CorsError, CredentialFields, Drain, EntityTag,
    HttpEntry, HttpOptions, RawBody, RawHead, RawRequest, RawResponse, ServeError, Server,
};
pub use into_service::IntoService;
pub use limit::{LimitRule, LimitTextError};
pub use method::{Guarded, Method, One, OneOrMany, Outline};
pub use openapi::openapi;
pub use ops::{Ops, health_service, health_service_for};
pub use problem::{ApiError, Declared, FieldError, Position, Problem};
pub use rest::Rest;
pub use route::{GuardedRoute, Route, RouteEntry, RouteOutline, SignedRoute};
pub use service::{Entry, Listed, Registry, RegistryError, Service};
pub use signature::{HmacSha256, ShortSecret, Signature, SignedField, Verified};
pub use stream::{Items, Output};

/// What macros write names these here, so that an author needs no crate beside this one.
#[doc(hidden)]
pub mod expansion {
    pub use bastide_auth::Policy;
    pub use bastide_context::{Cx, Known, Public, Tenant};
    pub use {schemars, serde};

    pub use crate::declared::{count, joined};
}
