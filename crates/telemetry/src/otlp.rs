//! Spans to a collector, by OTLP over HTTP in its JSON encoding (<https://opentelemetry.io/docs/specs/otlp/>).
//!
//! [`Otlp`] says where and how; [`Otlp::start`] gives the [`Exporter`]. [`Exporter::record`] puts a [`Span`] into a bounded
//! queue; one task sends what gathers there. [`Sampler`] chooses which calls are recorded at all.
//!
//! # Invariants
//! - **No call waits.** A full queue drops the span and counts it, whatever the collector does.
//! - **Every span is accounted for**: it waits, was taken, was dropped, or was lost ([`Counts`]).
//! - **Credentials are not shown**: fields of the request are neither logged nor printed.
//!
//! # What it deliberately does not do
//! - No protobuf, no gRPC and no library of OpenTelemetry: spans are all that is sent, and every collector reads JSON on the port
//!   for HTTP (4318).
//! - No redaction: attributes are what the caller puts in, so no bodies and no fields that hold credentials.
//! - No compression and no keeping of spans on disk.
//!
//! # Example
//! ```
//! use bastide_telemetry::ids::{self, Sampled};
//! use bastide_telemetry::otlp::{Kind, Otlp, Span, Status};
//! use jiff::Timestamp;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let exporter = Otlp::new("http://127.0.0.1:4318", "media")?.ratio(0.1)?.start();
//! let (trace, id) = ids::with_source(|ids| (ids.next_id(), ids.next_span()));
//! if exporter.sampler().decide(trace, None) == Sampled::Yes {
//!     let start = Timestamp::now();
//!     exporter.record(Span {
//!         trace,
//!         id,
//!         parent: None,
//!         name: "users@1.0.0/find".into(),
//!         kind: Kind::Server,
//!         start,
//!         end: Timestamp::now(),
//!         attributes: vec![("rpc.method".into(), "find".into())],
//!         status: Status::Unset,
//!     });
//! }
//! # Ok(())
//! # }
//! ```

mod json;
mod queue;
mod send;
mod span;

use std::fmt;
use std::time::Duration;

use hyper::Uri;
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;

pub use queue::{Counts, Exporter};
pub use span::{Attribute, Kind, Sampler, Span, Status};

/// Behind the endpoint, for spans.
const PATH: &str = "/v1/traces";

/// Where spans go, and how. Nothing happens before [`Otlp::start`].
#[derive(Clone)]
pub struct Otlp {
    uri: Uri,
    fields: Vec<(HeaderName, HeaderValue)>,
    resource: Vec<(String, Attribute)>,
    sampler: Sampler,
    queue: usize,
    batch: usize,
    delay: Duration,
    timeout: Duration,
    backoff: Duration,
}

/// Something in the options cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OtlpError {
    /// The address of the collector.
    #[error("the OTLP endpoint cannot be used: {0}; write it as http://collector:4318")]
    Endpoint(&'static str),
    /// A field of the request. Its value is not told.
    #[error(
        "the field {0:?} cannot be sent: its name or value has characters that HTTP does not allow"
    )]
    Field(String),
    /// The part of calls that are recorded.
    #[error("the sampling ratio is {0}; it is from 0 (none) to 1 (all)")]
    Ratio(String),
}

impl Otlp {
    /// To the collector at this endpoint, as `OTEL_EXPORTER_OTLP_ENDPOINT` has it: `http` or `https`, a host, a port, perhaps a
    /// path, behind which `/v1/traces` is put. `service` is the name under which the spans stand there (`service.name`).
    ///
    /// Certificates are checked against Mozilla's roots. Redirects are not followed.
    ///
    /// # Errors
    /// [`OtlpError::Endpoint`].
    pub fn new(endpoint: &str, service: &str) -> Result<Self, OtlpError> {
        Ok(Self {
            uri: traces(endpoint).map_err(OtlpError::Endpoint)?,
            fields: Vec::new(),
            resource: vec![("service.name".to_owned(), service.to_owned().into())],
            sampler: Sampler::ALL,
            queue: 2_048,
            batch: 512,
            delay: Duration::from_secs(5),
            timeout: Duration::from_secs(10),
            backoff: Duration::from_secs(1),
        })
    }

    /// With a field in every request, as `authorization`.
    ///
    /// # Errors
    /// [`OtlpError::Field`].
    pub fn field(mut self, name: &str, value: &str) -> Result<Self, OtlpError> {
        let refused = || OtlpError::Field(name.to_owned());
        let parsed: HeaderName = name.parse().map_err(|_| refused())?;
        let mut value: HeaderValue = value.parse().map_err(|_| refused())?;
        value.set_sensitive(true);
        self.fields.push((parsed, value));
        Ok(self)
    }

    /// With an attribute of the process, as `service.version` or `deployment.environment.name`.
    pub fn resource(mut self, name: impl Into<String>, value: impl Into<Attribute>) -> Self {
        self.resource.push((name.into(), value.into()));
        self
    }

    /// Which part of the calls that nobody decided about before is recorded, from 0 to 1. Default: 1.
    ///
    /// # Errors
    /// [`OtlpError::Ratio`].
    pub fn ratio(mut self, ratio: f64) -> Result<Self, OtlpError> {
        self.sampler = Sampler::of(ratio).ok_or_else(|| OtlpError::Ratio(ratio.to_string()))?;
        Ok(self)
    }

    /// How many spans wait at most. Default: 2048; at least one.
    pub fn queue(mut self, spans: usize) -> Self {
        self.queue = spans.max(1);
        self
    }

    /// How many spans go in one request at most. Default: 512; at least one.
    pub fn batch(mut self, spans: usize) -> Self {
        self.batch = spans.max(1);
        self
    }

    /// How long the first span waits for others. Default: 5 s.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// How long one request may take. Default: 10 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long to wait before the second attempt, twice as long before each further one; there are five. Default: 1 s.
    pub fn backoff(mut self, first: Duration) -> Self {
        self.backoff = first;
        self
    }

    /// Starts the task that sends. To be called within a tokio runtime.
    pub fn start(self) -> Exporter {
        queue::start(self)
    }
}

/// Without values of fields.
impl fmt::Debug for Otlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Otlp")
            .field("uri", &self.uri)
            .finish_non_exhaustive()
    }
}

fn traces(endpoint: &str) -> Result<Uri, &'static str> {
    let uri: Uri = endpoint.parse().map_err(|_| "it is no URL")?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("it does not begin with http:// or https://");
    }
    let authority = uri.authority().ok_or("the host is missing")?;
    if authority.as_str().contains('@') {
        return Err("credentials belong into a field of the request, not into the address");
    }
    if uri.query().is_some() {
        return Err("it has a query");
    }
    let path = format!("{}{PATH}", uri.path().trim_end_matches('/'));
    let path: PathAndQuery = path.parse().map_err(|_| "its path cannot be read")?;
    let mut parts = uri.into_parts();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).map_err(|_| "it is no URL")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_is_where_the_path_for_spans_begins() {
        let uri = |endpoint| traces(endpoint).map(|uri| uri.to_string());
        for (endpoint, expected) in [
            ("http://c:4318", "http://c:4318/v1/traces"),
            ("http://c:4318/", "http://c:4318/v1/traces"),
            ("https://c/otlp/", "https://c/otlp/v1/traces"),
        ] {
            assert_eq!(uri(endpoint).as_deref(), Ok(expected));
        }
        for wrong in [
            "c:4318",
            "grpc://c:4317",
            "http://u:secret@c",
            "",
            "http://c/?x=1",
        ] {
            let error = OtlpError::Endpoint(uri(wrong).unwrap_err()).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn options_that_mean_nothing_are_refused_and_credentials_not_shown() {
        let otlp = Otlp::new("http://c:4318", "media").unwrap();
        assert!(otlp.clone().ratio(1.1).is_err() && otlp.clone().ratio(f64::NAN).is_err());
        let error = otlp
            .clone()
            .field("authorization", "hunter2\n")
            .unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
        let otlp = otlp.field("authorization", "hunter2").unwrap();
        assert!(!format!("{otlp:?} {:?}", otlp.fields).contains("hunter2"));
    }
}
