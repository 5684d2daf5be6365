//! HTTP/1.1 framing (RFC 9112) without I/O, both directions, strict.
//!
//! Bytes go in, heads and body data come out; heads and body data go in, bytes come out. A server
//! reads [`RequestHead`]s and writes responses; a client writes requests and reads [`ResponseHead`]s; a
//! gateway does both. Bodies pass through [`BodyDecoder`] and [`BodyEncoder`].
//!
//! # Invariants
//!
//! - **One reading.** A message that two readers could take apart differently is refused, also where
//!   the RFC allows leniency: two framing fields, a bare CR or LF, a folded line, a repeated length, a
//!   signed chunk size. What is accepted has one host, one body length and one list of fields.
//! - **How input is cut does not matter.** Byte by byte or at once: the same outcome, in linear time.
//! - **Everything a peer can make us keep has a bound** ([`Limits`]).
//! - **No allocation in steady state.** Heads, decoders and buffers are reused; body data is never
//!   copied on the way in, and only on request on the way out.
//! - **Nothing is written that starts a line of its own**: values from outside are checked.
//!
//! # What it deliberately does not do
//!
//! It opens no sockets, knows no time and starts no tasks: deadlines are the caller's. It does not decode
//! or normalise paths, does not merge fields, does not speak HTTP/2 (a head can be built from the parts
//! of an HTTP/2 request, so that all that follows sees one kind of head), does not do HTTP/0.9, and has
//! no transfer coding but `chunked`.
//!
//! # Example
//!
//! ```
//! use bastide_http1::{BodyDecoder, Known, Limits, RequestHead, Step, end_head, write_length, write_status_line};
//!
//! let limits = Limits::default();
//! let mut input = b"POST /greet HTTP/1.1\r\nHost: example.com\r\nContent-Length: 5\r\n\r\nhello".to_vec();
//!
//! let mut head = RequestHead::new();
//! let consumed = head.parse(&input, &limits)?.expect("a complete head");
//! assert_eq!(head.path_and_query(), b"/greet");
//! assert_eq!(head.find(Known::Host), Some(&b"example.com"[..]));
//! input.drain(..consumed);
//!
//! let mut body = BodyDecoder::new(head.body(), &limits);
//! let Step::Data { data, .. } = body.decode(&input)? else { panic!("the body is there") };
//! assert_eq!(&input[data], b"hello");
//! assert!(body.is_done());
//!
//! let mut out = Vec::new();
//! write_status_line(&mut out, 200, b"OK")?;
//! write_length(&mut out, 2);
//! end_head(&mut out);
//! out.extend_from_slice(b"hi");
//! assert_eq!(out, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod charset;
mod chunk_line;
mod connection;
mod decode;
mod encode;
mod error;
mod field;
mod framing;
mod head;
mod known;
mod limits;
mod method;
mod request;
mod request_line;
mod request_parts;
mod response;
mod target;
mod trailers;
mod write;

pub use charset::{is_valid_name, is_valid_value};
pub use connection::{Upgrade, Version};
pub use decode::{BodyDecoder, Step};
pub use encode::BodyEncoder;
pub use error::{BodyError, EncodeError, FieldError, FramingError, RequestError, ResponseError};
pub use field::{Field, Span};
pub use known::Known;
pub use limits::Limits;
pub use method::Method;
pub use request::{RequestBody, RequestHead};
pub use response::{ResponseBody, ResponseHead};
pub use target::{TargetForm, split_authority};
pub use trailers::Trailers;
pub use write::{
    copy_field, end_head, reason_phrase, write_chunked, write_field, write_length,
    write_request_line, write_status_line,
};
