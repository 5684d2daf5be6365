//! The head that goes to the upstream: what the client sent, less what ends at the gateway, plus what the gateway knows.

use bastide_http1::{self as http1, Known, RequestBody, RequestHead, Upgrade, Version};

use super::call::Call;
use crate::snapshot::{Endpoint, RouteEntry};

/// The name that the gateway goes by in `Via` and `Proxy-Status`.
pub(crate) const PSEUDONYM: &str = "bastide";

/// A request that has passed so many gateways of this name is going in circles.
const MAX_PASSES: usize = 8;

/// Writes the whole head. `path` is what became of the request's after prefix, base path and rewrite.
pub(crate) fn write(
    out: &mut Vec<u8>,
    call: &Call<'_>,
    route: &RouteEntry,
    endpoint: &Endpoint,
    path: &str,
) {
    let head = call.head;
    out.extend_from_slice(head.method());
    out.push(b' ');
    out.extend_from_slice(path.as_bytes());
    if let Some(query) = call.target.query() {
        out.push(b'?');
        out.extend_from_slice(query.as_bytes());
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");

    let plan = &route.request_headers;
    let is_plain = plan.is_empty();
    if is_plain || !plan.drops(b"host") {
        out.extend_from_slice(&endpoint.host_line);
    }
    let trusted = call.peer.is_trusted;
    for field in head.fields() {
        if field.hop {
            continue;
        }
        let replaced = match field.known {
            Known::Other => !trusted && is_forwarded(head.name(field)),
            Known::Host
            | Known::ContentLength
            | Known::Expect
            | Known::XRequestId
            | Known::XTenantId => true,
            // Keys of this gateway end here, also where nobody asked for one: the next hop is not meant to have them.
            Known::XApiKey | Known::XAdminKey => true,
            Known::XForwardedFor
            | Known::XForwardedHost
            | Known::XForwardedProto
            | Known::XForwardedPort
            | Known::XForwardedPrefix
            | Known::XRealIp
            | Known::Forwarded => !trusted || field.known == Known::XForwardedFor,
            _ => false,
        };
        if replaced || (!is_plain && plan.drops(head.name(field))) {
            continue;
        }
        http1::copy_field(out, head.name(field), head.value(field));
    }
    write_provenance(out, call, |name| is_plain || !plan.drops(name));
    match head.body() {
        RequestBody::None => {}
        RequestBody::Length(length) => http1::write_length(out, length),
        RequestBody::Chunked => http1::write_chunked(out),
    }
    if head.upgrade() == Upgrade::WebSocket {
        out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
    }
    if !is_plain {
        plan.write(|name| head.find_name(name).is_some(), out);
    }
    http1::end_head(out);
}

/// Who asked, for whom, through what.
fn write_provenance(out: &mut Vec<u8>, call: &Call<'_>, wanted: impl Fn(&[u8]) -> bool) {
    let head = call.head;
    if wanted(b"x-forwarded-for") {
        out.extend_from_slice(b"X-Forwarded-For: ");
        if call.peer.is_trusted {
            for earlier in head.all(Known::XForwardedFor) {
                out.extend_from_slice(earlier);
                out.extend_from_slice(b", ");
            }
        }
        out.extend_from_slice(call.peer.text.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    let kept = |known| call.peer.is_trusted && head.find(known).is_some();
    if !kept(Known::XForwardedHost)
        && wanted(b"x-forwarded-host")
        && let Some(host) = head.host()
    {
        http1::copy_field(out, b"X-Forwarded-Host", host);
    }
    if !kept(Known::XForwardedProto) && wanted(b"x-forwarded-proto") {
        let scheme: &[u8] = if call.secure {
            b"X-Forwarded-Proto: https\r\n"
        } else {
            b"X-Forwarded-Proto: http\r\n"
        };
        out.extend_from_slice(scheme);
    }
    if let Some(identity) = &call.identity
        && wanted(b"x-tenant-id")
    {
        http1::copy_field(out, b"X-Tenant-Id", identity.tenant.id_text.as_bytes());
    }
    http1::copy_field(out, b"X-Request-Id", call.request_id.as_bytes());
    // How the request came, not how it goes on (RFC 9110 section 7.6.3).
    out.extend_from_slice(match head.version() {
        Version::Http10 => b"Via: 1.0 bastide\r\n",
        Version::Http11 => b"Via: 1.1 bastide\r\n",
        Version::Http2 => b"Via: 2.0 bastide\r\n",
    });
}

/// Whether a field says something of the client that only a trusted peer may say: there are more names that begin with
/// `X-Forwarded-` than this gateway knows, and programs behind it that read `_` and `-` alike.
fn is_forwarded(name: &[u8]) -> bool {
    const PREFIX: &[u8] = b"x-forwarded-";
    let same = |(byte, wanted): (&u8, &u8)| {
        byte.eq_ignore_ascii_case(wanted) || (*byte == b'_' && *wanted == b'-')
    };
    name.len() >= PREFIX.len() && name.iter().zip(PREFIX).all(same)
}

/// Whether the request passed gateways of our name too often to be on its way anywhere.
pub(crate) fn is_looping(head: &RequestHead) -> bool {
    let Some(_) = head.find(Known::Via) else {
        return false;
    };
    let passes = head
        .all(Known::Via)
        .flat_map(|via| via.split(|byte| *byte == b','));
    passes
        .filter(|entry| entry.trim_ascii().ends_with(PSEUDONYM.as_bytes()))
        .count()
        >= MAX_PASSES
}
