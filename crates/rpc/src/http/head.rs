//! What the head of a request says about its call.

use std::net::IpAddr;
use std::time::Duration;

use bastide_auth::TenantId;
use bastide_config::Secret;
use bastide_telemetry::ids::{self, RequestId, Sampled, TraceParent};
use http::request::Parts;
use http::{HeaderMap, HeaderName, header};

use crate::dispatch::Credentials;
use crate::problem::Problem;

// Names that are checked when this is compiled, not for every request.
/// A service's key, and the tenant for which it acts.
pub(super) static SERVICE_KEY: HeaderName = HeaderName::from_static("x-service-key");
static TENANT: HeaderName = HeaderName::from_static("x-tenant-id");
/// How many milliseconds the caller waits.
static TIMEOUT: HeaderName = HeaderName::from_static("x-request-timeout-ms");
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) credentials: Credentials,
    pub(super) request_id: RequestId,
    pub(super) trace: TraceParent,
    /// Where in a trace the caller is.
    pub(super) caller: Option<TraceParent>,
    pub(super) granted: Option<Duration>,
    pub(super) peer: Option<IpAddr>,
    is_json: bool,
}

impl Head {
    pub(super) fn read(parts: &Parts, peer: Option<IpAddr>) -> Self {
        let fields = &parts.headers;
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
                Some(parent) => parent.child(source),
                None => TraceParent::start(request_id, source, Sampled::No),
            };
            (request_id, trace)
        });
        let granted = text(fields, &TIMEOUT).and_then(|text| text.parse().ok());
        Self {
            credentials: credentials(fields),
            request_id,
            trace,
            caller: incoming,
            granted: granted.map(Duration::from_millis),
            peer,
            is_json: is_json(fields),
        }
    }

    /// Refuses a body that calls itself something else: a form of another site is never one of ours.
    pub(super) fn expect_json(&self, body: &[u8]) -> Result<(), Problem> {
        expect_json(body, self.is_json)
    }
}

pub(super) fn expect_json(body: &[u8], is_json: bool) -> Result<(), Problem> {
    if body.is_empty() || is_json {
        return Ok(());
    }
    let detail = "send the input as JSON, with `Content-Type: application/json`";
    Err(Problem::new(415, "unsupported_media_type", detail))
}

/// Two of a kind, or one of each, are nobody's: of two readers each would take another.
fn credentials(fields: &HeaderMap) -> Credentials {
    let tokens = fields.get_all(&header::AUTHORIZATION).iter().count();
    let keys = fields.get_all(&SERVICE_KEY).iter().count();
    let tenants = fields.get_all(&TENANT).iter().count();
    match (tokens, keys) {
        (0, 0) => Credentials::None,
        (1, 0) => {
            let token = text(fields, &header::AUTHORIZATION).and_then(|text| {
                let (scheme, token) = text.split_once(' ')?;
                scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
            });
            match token {
                Some(token) if !token.is_empty() => Credentials::Bearer(Secret::new(token)),
                _ => Credentials::Unreadable,
            }
        }
        (0, 1) => {
            let tenant = text(fields, &TENANT).map(TenantId::parse).transpose();
            match (text(fields, &SERVICE_KEY), tenant) {
                (Some(key), Ok(tenant)) if tenants <= 1 => Credentials::Service {
                    key: Secret::new(key),
                    tenant,
                },
                _ => Credentials::Unreadable,
            }
        }
        _ => Credentials::Unreadable,
    }
}

pub(super) fn is_json(fields: &HeaderMap) -> bool {
    let kind = text(fields, &header::CONTENT_TYPE).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
        || (essence.len() > 5
            && essence.as_bytes()[essence.len() - 5..].eq_ignore_ascii_case(b"+json"))
}

fn text<'a>(fields: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
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
