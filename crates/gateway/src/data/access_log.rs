//! Station: the access log. One JSON object a line for each request, on standard output with the log's own lines, where
//! somebody asked for it.
//!
//! It tells what was configured (tenant, route, upstream), what was measured, and of what the client sent the method, the
//! path and the request's id. Queries, fields and bodies hold secrets and are never looked at. Members that do not apply
//! are left out. A worker never waits for it: when standard output is too slow, lines are dropped and counted.

use std::cell::RefCell;
use std::net::IpAddr;

use bastide_telemetry::lines::LineSource;
use bastide_telemetry::log::Redaction;
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;
use uuid::Uuid;

use super::call::Call;
use super::line::Served;
use super::metrics::Traffic;

/// Where one worker writes its lines.
pub(crate) struct AccessLog {
    lines: LineSource,
    redaction: Redaction,
    /// Used for one line after the other.
    line: RefCell<Vec<u8>>,
}

/// The members, in their order. Those that metrics have as labels are named as there.
#[derive(Serialize)]
struct Line<'a> {
    timestamp: Text<Timestamp>,
    level: &'static str,
    target: &'static str,
    message: &'static str,
    request_id: &'a str,
    client_ip: IpAddr,
    #[serde(skip_serializing_if = "str::is_empty")]
    method: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    path: &'a str,
    status_code: u16,
    /// Why the gateway answered itself: the `code` of its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'static str>,
    /// Bytes of the request, its head and framing included, before TLS.
    bytes_received: u64,
    /// Bytes of the response, likewise.
    bytes_sent: u64,
    /// From the request's head to the end of the response.
    duration_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<Uuid>,
    /// The one that was tried last.
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retries: Option<u32>,
}

/// What is written as text without making a string of it first.
struct Text<T>(T);

impl Serialize for Text<Timestamp> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:.3}", self.0))
    }
}

impl AccessLog {
    pub(crate) fn new(lines: LineSource) -> Self {
        Self {
            lines,
            redaction: Redaction::standard(),
            line: RefCell::default(),
        }
    }

    /// Writes the line of a finished request.
    pub(crate) fn write(
        &self,
        call: &Call<'_>,
        served: &Served<'_>,
        traffic: Traffic,
        finished: Instant,
        client: IpAddr,
    ) {
        let path = path(call.head.path_and_query());
        // Only text that could hold `name=value` or a URL with a password needs the search for them.
        let path = if path.contains(['=', ':']) {
            self.redaction.text(&path)
        } else {
            path
        };
        let micros = (finished - call.arrived).as_micros();
        let line = Line {
            timestamp: Text(Timestamp::now()),
            level: "info",
            target: "access",
            message: "request",
            request_id: call.request_id.as_str(),
            client_ip: client,
            method: str::from_utf8(call.head.method()).unwrap_or_default(),
            path: &path,
            status_code: served.status,
            refusal: served.refusal,
            bytes_received: traffic.received,
            bytes_sent: traffic.sent,
            duration_ms: micros as f64 / 1e3,
            tenant_id: call
                .identity
                .map(|identity| identity.tenant.id_text.as_str()),
            route: served.route.map(|route| route.id),
            upstream: call.endpoint.map(|endpoint| endpoint.url.as_str()),
            retries: call.attempts.checked_sub(1),
        };
        let mut text = self.line.borrow_mut();
        text.clear();
        serde_json::to_writer(&mut *text, &line).expect("a line is plain data");
        self.lines.write(&text);
    }
}

/// The path as it came, without the query.
fn path(target: &[u8]) -> std::borrow::Cow<'_, str> {
    let end = memchr::memchr(b'?', target).unwrap_or(target.len());
    String::from_utf8_lossy(&target[..end])
}
