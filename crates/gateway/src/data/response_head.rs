//! The head that goes to the client, of a forwarded response and of one that the gateway makes itself.

use bastide_http1::{self as http1, Field, Known, ResponseBody, ResponseHead, Version};

use super::call::Call;
use super::grpc;
use super::proxy_status;
use super::rate_headers::RateHeaders;
use super::refusal::{Refusal, retry_after_seconds};
use super::request_head::PSEUDONYM;
use crate::snapshot::RouteEntry;
use crate::snapshot::last_good::Response;

/// How the body of a response is framed towards the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// No body: HEAD, 204, 304, or an interim response.
    None,
    /// `Content-Length`.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// Until the connection closes, for a client that knows no chunks.
    UntilClose,
}

impl From<Framing> for ResponseBody {
    fn from(framing: Framing) -> Self {
        match framing {
            Framing::None => Self::None,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked,
            Framing::UntilClose => Self::UntilClose,
        }
    }
}

impl Framing {
    pub(crate) fn towards(version: Version, body: ResponseBody) -> Self {
        match body {
            ResponseBody::None => Self::None,
            ResponseBody::Length(length) => Self::Length(length),
            ResponseBody::Chunked | ResponseBody::UntilClose if version == Version::Http10 => {
                Self::UntilClose
            }
            ResponseBody::Chunked | ResponseBody::UntilClose => Self::Chunked,
        }
    }
}

/// Writes the head of an upstream's response as the client gets it.
pub(crate) fn write_forwarded(
    out: &mut Vec<u8>,
    call: &Call<'_>,
    route: &RouteEntry,
    response: &ResponseHead,
    framing: Framing,
    keep_alive: bool,
) {
    http1::write_status_line(out, response.status(), response.reason())
        .expect("a parsed head holds a valid status and reason");
    let plan = &route.response_headers;
    let is_plain = plan.is_empty();
    let has_rate = call.rate.is_some();
    for field in response.fields() {
        let replaced = match field.known {
            Known::Other => false,
            Known::ContentLength | Known::XRequestId => true,
            // Two sources of one truth: the gateway's is the one that decides.
            Known::XRateLimitLimit
            | Known::XRateLimitRemaining
            | Known::XRateLimitReset
            | Known::RateLimit
            | Known::RateLimitPolicy => has_rate,
            _ => false,
        };
        let ends_here = field.hop && field.known != Known::ProxyAuthenticate;
        if ends_here || replaced || (!is_plain && plan.drops(response.name(field))) {
            continue;
        }
        copy_field(out, response, field);
    }
    match framing {
        Framing::Length(length) => http1::write_length(out, length),
        Framing::Chunked => http1::write_chunked(out),
        // HEAD and 304 say how long the body would have been.
        Framing::None => {
            if let Some(length) = response.content_length() {
                http1::write_length(out, length);
            }
        }
        Framing::UntilClose => {}
    }
    write_common(out, call, keep_alive && framing != Framing::UntilClose);
    if !is_plain {
        plan.write(|name| response.find_name(name).is_some(), out);
    }
    http1::end_head(out);
}

/// Writes a whole response of the gateway's own. `date` is the value of the `Date` field.
pub(crate) fn write_own(
    out: &mut Vec<u8>,
    call: &Call<'_>,
    own: &Own<'_>,
    date: &[u8],
    keep_alive: bool,
) {
    http1::write_status_line(out, own.status, http1::reason_phrase(own.status).as_bytes())
        .expect("the gateway's own status codes are valid");
    http1::copy_field(out, b"Date", date);
    if let Some(content_type) = own.content_type {
        http1::copy_field(out, b"Content-Type", content_type.as_bytes());
    }
    http1::write_length(out, own.body.len() as u64);
    out.extend_from_slice(b"Cache-Control: no-store\r\n");
    out.extend_from_slice(b"Proxy-Status: ");
    out.extend_from_slice(PSEUDONYM.as_bytes());
    if let Some(error) = own.proxy_error {
        out.extend_from_slice(b"; error=");
        out.extend_from_slice(error.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    for (name, value) in own.fields {
        http1::copy_field(out, name.as_bytes(), value.as_bytes());
    }
    write_common(out, call, keep_alive);
    http1::end_head(out);
    if !call.is_head() {
        out.extend_from_slice(own.body);
    }
}

/// A response of the gateway's own.
pub(crate) struct Own<'a> {
    pub(crate) status: u16,
    pub(crate) content_type: Option<&'a str>,
    pub(crate) body: &'a [u8],
    /// The error type of RFC 9209; `None` where nothing is wrong.
    pub(crate) proxy_error: Option<&'a str>,
    pub(crate) fields: &'a [(&'a str, &'a str)],
}

/// Writes an earlier response in place of one that cannot be had, with its age (RFC 9111 section 5.1) and what it stands in
/// for.
pub(crate) fn write_kept(
    out: &mut Vec<u8>,
    call: &Call<'_>,
    kept: &Response,
    instead_of: &Refusal,
    keep_alive: bool,
) {
    http1::write_status_line(out, 200, b"OK").expect("a constant status line is valid");
    out.extend_from_slice(&kept.fields);
    http1::write_length(out, kept.body.len() as u64);
    let age = kept.since.elapsed().as_secs();
    out.extend_from_slice(
        format!(
            "Age: {age}\r\nProxy-Status: {PSEUDONYM}; error={}\r\nX-Fallback: {}\r\n",
            instead_of.proxy_status(),
            instead_of.code()
        )
        .as_bytes(),
    );
    write_common(out, call, keep_alive);
    http1::end_head(out);
    out.extend_from_slice(&kept.body);
}

/// Writes the answer to a refused request.
pub(crate) fn write_refusal(
    out: &mut Vec<u8>,
    call: &Call<'_>,
    refusal: &Refusal,
    date: &[u8],
    keep_alive: bool,
) {
    let mut body = String::with_capacity(256);
    refusal.write_body(call.request_id.as_str(), &mut body);
    let retry_after = refusal
        .retry_after()
        .map(|wait| retry_after_seconds(wait).to_string());
    let mut fields = Vec::new();
    if let Some(seconds) = &retry_after {
        fields.push(("Retry-After", seconds.as_str()));
    }
    match refusal {
        Refusal::WrongMethod { allow } => fields.push(("Allow", allow)),
        // RFC 9110 section 15.5.2 wants a challenge; there is no registered scheme for a header key.
        Refusal::KeyMissing => fields.push((
            "WWW-Authenticate",
            "ApiKey realm=\"bastide\", header=\"X-API-Key\"",
        )),
        _ => {}
    }
    let mut own = Own {
        status: refusal.status(),
        content_type: Some(refusal.content_type()),
        body: body.as_bytes(),
        proxy_error: Some(refusal.proxy_status()),
        fields: &fields,
    };
    if !grpc::is_call(call.head) {
        return write_own(out, call, &own, date, keep_alive);
    }
    let status = grpc::status(own.status).to_string();
    let message = grpc::message(refusal.code(), &refusal.detail());
    let with_status = [
        own.fields,
        &[("grpc-status", &status), ("grpc-message", &message)],
    ];
    let fields = with_status.concat();
    own.content_type = Some(grpc::CONTENT_TYPE);
    own.body = &[];
    own.fields = &fields;
    write_own(out, call, &own, date, keep_alive);
}

/// Writes the head that turns the connection over to a WebSocket.
pub(crate) fn write_switch(
    out: &mut Vec<u8>,
    call: &Call<'_>,
    route: &RouteEntry,
    response: &ResponseHead,
) {
    http1::write_status_line(out, 101, response.reason())
        .expect("a parsed head holds a valid reason");
    for field in response.fields() {
        let ends_here = field.hop || field.known == Known::XRequestId;
        if !ends_here && !route.response_headers.drops(response.name(field)) {
            copy_field(out, response, field);
        }
    }
    out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
    write_common(out, call, true);
    http1::end_head(out);
}

/// Passes on a field of an upstream's.
pub(crate) fn copy_field(out: &mut Vec<u8>, response: &ResponseHead, field: &Field) {
    let (name, value) = (response.name(field), response.value(field));
    if field.known != Known::ProxyStatus {
        http1::copy_field(out, name, value);
    } else if let Some(value) = proxy_status::forwarded(value) {
        http1::copy_field(out, name, &value);
    }
}

/// What every response carries.
fn write_common(out: &mut Vec<u8>, call: &Call<'_>, keep_alive: bool) {
    if let Some(rate) = &call.rate {
        RateHeaders::new(rate, call.unix_now).write(out);
    }
    http1::copy_field(out, b"X-Request-Id", call.request_id.as_bytes());
    match (keep_alive, call.head.version()) {
        (false, _) => out.extend_from_slice(b"Connection: close\r\n"),
        (true, Version::Http10) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (true, Version::Http11 | Version::Http2) => {}
    }
}
