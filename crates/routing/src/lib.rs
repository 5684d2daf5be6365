//! Which route serves a request, and what path goes upstream: pure functions over bytes.
//!
//! A request passes through three steps. [`canonical`] and [`canonical_host`] read the target and the host, once, into the
//! one form that everything behind works on, or refuse them. [`RouteTable::lookup`] finds the best route in a time that
//! does not grow with the number of routes; the module of [`RouteTable`] lists the precedence. [`forward_path`] and
//! [`PathRewrite`] make the path to forward.
//!
//! # Invariants
//! - The form that is matched is the form that is forwarded. No accepted path holds a dot segment, however often it is
//!   decoded; joining and rewriting cannot bring one about.
//! - A lookup takes no lock and, with buffers that have grown, no allocation. Expressions take linear time and are not
//!   run where the beginning of the path rules them out.
//! - A table never changes. Whatever can be wrong with a route is found when it is read, with a message that names the
//!   part at fault.
//!
//! # What it does not do
//! It resolves no paths, decodes no `%2F`, merges no slashes, and knows no tenants: a tenant has a table, the platform
//! has one, and [`RouteTable::lookup_in`] takes them in order. It does not read `Forwarded` fields, answer preflights or
//! compare header fields.
//!
//! # Example
//! ```
//! use bastide_routing::*;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let route = |route, kind, path| -> Result<Route, ConfigError> {
//!     let path = PathPattern::parse(kind, path)?;
//!     Ok(Route { route, host: None, methods: MethodFilter::parse("GET")?, path, priority: 0, age: 0 })
//! };
//! let table = RouteTable::build(&[
//!     route(0, PathKind::Prefix, "/api")?,
//!     route(1, PathKind::Exact, "/api/users/{id}")?,
//! ])?;
//!
//! let (mut buffer, mut scratch) = (String::new(), Scratch::default());
//! let path = canonical(b"/api/users/4%32?full", &mut buffer)?;
//! assert_eq!((path.path(), path.query()), ("/api/users/42", Some("full")));
//!
//! let request = RequestLine { host: "", method: Method::Get, path };
//! let Lookup::Found(found) = table.lookup(&request, &mut scratch) else { panic!("no route") };
//! assert_eq!((found.route, found.parameters.values(path).next()), (1, Some("42")));
//!
//! let request = RequestLine { method: Method::Post, ..request };
//! let Lookup::MethodNotAllowed(allow) = table.lookup(&request, &mut scratch) else { panic!("served") };
//! assert_eq!(allow.to_string(), "GET, HEAD");
//!
//! assert_eq!(canonical(b"/api/%2e%2E/admin", &mut String::new()), Err(PathError::DotSegment));
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod bucket;
mod build;
mod error;
mod expression;
mod forward;
mod host;
mod index;
mod matched;
mod method;
mod path;
mod pattern;
mod rewrite;
mod segments;
mod table;
mod trie;

pub use build::Route;
pub use error::{ConfigError, PathError, RewriteError};
pub use forward::{BasePath, forward_path};
pub use host::{HostPattern, canonical_host};
pub use matched::{Lookup, MAX_PARAMETERS, Match, Parameters, RequestLine};
pub use method::{Allow, Method, MethodFilter};
pub use path::{CanonicalPath, canonical};
pub use pattern::{PathKind, PathPattern};
pub use rewrite::{PathRewrite, RewriteScratch};
pub use segments::Scratch;
pub use table::RouteTable;
