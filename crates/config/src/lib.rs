//! Configuration: documents and environment variables in, typed values or *all* of their mistakes out.
//!
//! - [`read`] walks a [`serde_json::Value`] tree with small [`parse`] functions and collects every [`Problem`].
//! - [`document`] turns TOML, YAML or JSON text into such a tree and remembers the line and column of each value.
//! - [`layers`] merges files and variables into one such tree, whose every value knows where it came from; [`Watched`] reads it
//!   again when a file changes, for the sections that allow it.
//! - [`mod@env`] reads settings with the precedence flag, environment, default, and prints the effective ones, redacted.
//! - [`ByteSize`] and [`TimeSpan`] are sizes and times that are written with their unit.
//! - [`network`] says whose word counts about where a request came from.
//! - [`Secret`] is text that cannot be printed by accident.
//!
//! # Invariants
//! - One run reports every problem, not the first one, up to [`problem::MAX_PROBLEMS`].
//! - An unknown key is always a problem. Nothing that is accepted is ignored.
//! - A message says where, what was expected, what was found, and never shows a secret or the password of a URL.
//! - A value is returned only if nothing at all was wrong with the tree.
//!
//! # What it deliberately does not do
//! No derive macro of its own: a hand-written reader is where rules across fields and good messages live, and a section of a
//! program's own is read by `serde` ([`Fields::section`]). No templates: a value that looks like one (`${`) is refused in layers. No
//! global state; nothing is read from the process except through [`env::Env::process`].
//!
//! # Example
//! ```
//! use bastide_config::document::{Document, Format};
//! use bastide_config::parse;
//!
//! let text = "[[routes]]\nmethod = \"GTE\"\n";
//! let document = Document::parse("gateway.toml", Format::Toml, text)?;
//! let method = parse::choice(&[("GET", 1), ("POST", 2)]);
//! let problems = document
//!     .read(|root| root.object(|fields| {
//!         let routes = fields.list("routes", |route| route.object(|fields| fields.required("method", &method)));
//!         Some(routes)
//!     }))
//!     .unwrap_err();
//! let lines: Vec<String> = problems.iter().map(|problem| document.describe(problem)).collect();
//! assert_eq!(
//!     lines,
//!     ["gateway.toml:2:10: routes[0].method: expected one of GET, POST; found \"GTE\"; did you mean GET?"],
//! );
//! # Ok::<(), bastide_config::document::DocumentError>(())
//! ```
#![forbid(unsafe_code)]

pub mod document;
pub mod env;
mod found;
pub mod layers;
mod ledger;
pub mod network;
pub mod parse;
pub mod path;
pub mod problem;
pub mod read;
pub mod secret;
mod section;
mod shown;
mod units;

pub use layers::{Layers, Watched};
pub use path::Path;
pub use problem::{Problem, Problems};
pub use read::{Fields, Node, Patch};
pub use secret::Secret;
pub use shown::Shown;
pub use units::{ByteSize, TimeSpan};
