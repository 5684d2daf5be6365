//! HTTP/2 at both edges (RFC 9113).
//!
//! One exchange of an HTTP/2 connection is dressed as an HTTP/1.1 connection that carries one request: it reads and
//! writes the bytes that such a connection would. The line between the edges knows one form of every message, so that no
//! rule has a second version that could differ, and every pair of versions works because each works. The framing itself is
//! the crate `h2`'s.
//!
//! A request's head comes in by its parts and never as text ([`Inbound`]); what goes the other way is text of the gateway's
//! own, read back by the strict parser before a field of it goes out.

mod body;
mod inbound;
mod outbound;
mod server;
mod shared;

pub(crate) use inbound::Inbound;
pub(crate) use outbound::Outbound;
pub(crate) use server::serve;
pub(crate) use shared::{SharedConnection, handshake};

use std::io;
use std::time::Duration;

use bastide_http1::Limits;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Bytes of a body that a peer may send before it was told that they were taken: the default of RFC 9113, which bounds what
/// one slow receiver makes us keep.
const STREAM_WINDOW: u32 = 64 * 1024 - 1;

/// How many exchanges are remembered that ended here while the peer may still be sending for them. What comes for one that
/// was forgotten is held against the peer, who could not know; it is to be more than end in [`REMEMBERED_FOR`].
const REMEMBERED: usize = 10_000;

/// For how long: longer than a round trip takes.
const REMEMBERED_FOR: Duration = Duration::from_secs(2);

/// Bytes of one exchange that wait for the peer's permission.
const SEND_BUFFER: usize = 64 * 1024;

/// What the gateway itself writes is longer than what it takes from others: a request, and what it adds.
fn own_limits() -> Limits {
    let limits = Limits::default();
    Limits {
        head_bytes: 4 * limits.head_bytes,
        fields: 4 * limits.fields,
        target_bytes: 2 * limits.head_bytes,
        ..limits
    }
}

/// Adds fields that the HTTP/1.1 side has checked.
fn append<'a>(
    fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    into: &mut HeaderMap,
) -> io::Result<()> {
    for (name, value) in fields {
        into.append(
            HeaderName::from_bytes(name).map_err(invalid)?,
            HeaderValue::from_bytes(value).map_err(invalid)?,
        );
    }
    Ok(())
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn broken(error: h2::Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}
