//! Calling services from programs, and clients made from their descriptions.
//!
//! [`Client`] calls methods of a service over TCP or a Unix socket, one at a time, several in a [`Batch`], or as a stream of
//! items. [`generate`] reads the `OpenAPI` document of a service and writes typed clients in Rust and TypeScript, and tells
//! which changes between two documents break those who call.
//!
//! # Invariants
//! - **Nothing happens twice by itself.** A call is sent again only where it cannot have been carried out (no connection was
//!   made, its token was refused), or where its caller said that twice is as good as once.
//! - **Every call ends.** There is always a timeout; the service is told how much of it is left, so that it stops too.
//! - **Memory is bounded.** No answer, and no item of a stream, is read beyond [`Client::max_answer`].
//! - **What cannot be expressed is an error** that names its place in the document, and never quietly any type at all.
//!
//! # What it deliberately does not do
//! No TLS: siblings meet over Unix sockets or a private network. No balancing over several addresses: the gateway does that.
//! No checks of an input against its schema: the service does that, and says what is wrong.
//!
//! # Example
//! ```no_run
//! use bastide_client::{CallError, Client};
//!
//! #[derive(serde::Serialize)]
//! struct Greet<'a> { name: &'a str }
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::new("http://127.0.0.1:8080")?;
//! match client.call::<_, String>("greeter@1.0.0/greet", &Greet { name: "Ada" }).await {
//!     Ok(greeting) => println!("{greeting}"),
//!     Err(CallError::Problem(problem)) if problem.code == "rate_limited" => println!("later: {:?}", problem.retry_after),
//!     Err(error) => return Err(error.into()),
//! }
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod address;
mod batch;
mod client;
mod credentials;
mod error;
mod exchange;
pub mod generate;
pub mod sse;
mod stream;
mod transport;

pub use address::AddressError;
pub use batch::{Answers, Batch, Slot};
pub use client::{Client, Request};
pub use error::{CallError, FieldError, Problem};
pub use stream::Items;
