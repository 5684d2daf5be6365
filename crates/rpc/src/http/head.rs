//! What the head of a request says about its call.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bastide_context::{Call, Caller};
use bastide_telemetry::ids::{self, RequestId, Sampled, TraceParent};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::time::Instant;

use super::HttpOptions;
use crate::dispatch::Credentials;
use crate::problem::Problem;

// Names that are checked when this is compiled, not for every request.
/// How many milliseconds the caller waits.
static TIMEOUT: HeaderName = HeaderName::from_static("x-request-timeout-ms");
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) credentials: Credentials,
    pub(super) request_id: RequestId,
    /// How the request is called in answers, where that is not its id.
    pub(super) name: Option<Arc<str>>,
    trace: TraceParent,
    caller: Option<Caller>,
    pub(super) granted: Option<Duration>,
    pub(super) peer: Option<IpAddr>,
    is_json: bool,
}

impl Head {
    /// `socket` is the address from which the connection came; `None`: it is a Unix socket.
    pub(super) fn read(parts: &Parts, socket: Option<IpAddr>, options: &HttpOptions) -> Self {
        let fields = &parts.headers;
        let is_believed = socket.is_none_or(|peer| options.trusted_proxies.contains(peer));
        let incoming = fields
            .get(&TRACE_PARENT)
            .and_then(|field| TraceParent::parse(field.as_bytes()));
        let named = fields
            .get(&REQUEST_ID)
            .and_then(|field| RequestId::parse(field.as_bytes()));
        let (request_id, trace) = ids::with_source(|source| {
            let request_id = named
                .or(incoming.map(TraceParent::trace))
                .unwrap_or_else(|| source.next_id());
            let trace = match incoming {
                Some(place) => place.child(source),
                // Which traces are recorded is drawn by their ids: a stranger does not choose one.
                None if named.is_some() && !is_believed => {
                    TraceParent::start(source.next_id(), source, Sampled::No)
                }
                None => TraceParent::start(request_id, source, Sampled::No),
            };
            (request_id, trace)
        });
        let granted = text(fields, &TIMEOUT).and_then(|text| text.parse().ok());
        Self {
            credentials: options.credentials.read(fields),
            request_id,
            name: options.request_name.map(|name| name(fields).into()),
            trace,
            caller: incoming.map(|place| Caller { place, is_believed }),
            granted: granted.map(Duration::from_millis),
            peer: origin(fields, socket, options),
            is_json: is_json(fields),
        }
    }

    /// The call that the request is, to be answered by this moment.
    pub(super) fn call(&self, deadline: Instant) -> Call {
        call(self.request_id, self.trace, self.caller, deadline)
    }

    /// One of the calls that come over a WebSocket which the request opened. It has the request's id, and a trace of its own
    /// unless the request was part of one: a socket lives for days.
    pub(super) fn call_of_socket(&self, deadline: Instant) -> Call {
        let trace = ids::with_source(|source| match self.caller {
            Some(caller) => caller.place.child(source),
            None => TraceParent::start(source.next_id(), source, Sampled::No),
        });
        call(self.request_id, trace, self.caller, deadline)
    }

    /// Refuses a body that calls itself something else: a form of another site is never one of ours.
    pub(super) fn expect_json(&self, body: &[u8]) -> Result<(), Problem> {
        expect_json(body, self.is_json)
    }
}

fn call(id: RequestId, trace: TraceParent, caller: Option<Caller>, deadline: Instant) -> Call {
    let call = Call::incoming(id, trace, deadline);
    match caller {
        Some(caller) => call.made_by(caller),
        None => call,
    }
}

/// Who sent the request, where what stands between is trusted to say so.
fn origin(fields: &HeaderMap, socket: Option<IpAddr>, options: &HttpOptions) -> Option<IpAddr> {
    let lines = fields.get_all(&FORWARDED_FOR).iter();
    let named = lines.map(HeaderValue::as_bytes);
    match socket {
        Some(peer) => Some(options.trusted_proxies.origin(peer, named)),
        None if options.proxy_on_unix_socket => options.trusted_proxies.named(named),
        None => None,
    }
}

pub(super) fn expect_json(body: &[u8], is_json: bool) -> Result<(), Problem> {
    if body.is_empty() || is_json {
        return Ok(());
    }
    let detail = "send the input as JSON, with `Content-Type: application/json`";
    Err(Problem::new(415, "unsupported_media_type", detail))
}

pub(super) fn is_json(fields: &HeaderMap) -> bool {
    let kind = text(fields, &header::CONTENT_TYPE).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
        || (essence.len() > 5
            && essence.as_bytes()[essence.len() - 5..].eq_ignore_ascii_case(b"+json"))
}

pub(super) fn text<'a>(fields: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    fields.get(name)?.to_str().ok()
}

/// The text behind `%41` and the like; a plus sign stands for itself in a path.
pub(super) fn percent_decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| (byte? as char).to_digit(16);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).ok()
}
