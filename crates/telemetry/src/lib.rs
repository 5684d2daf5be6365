//! What a running process tells about itself: log lines, access lines, metrics, and the ids that tie them to a request.
//!
//! - [`log`] sets up `tracing`: JSON lines or compact text, redacted inside the formatter.
//! - [`lines`] writes lines to a slow place from threads that must not wait.
//! - [`metrics`] counts on the hot path without locks or shared cache lines, and adds up when scraped.
//! - [`ids`] makes request ids and reads and writes W3C trace context.
//! - [`otlp`] brings spans to a collector.
//!
//! # Invariants
//! - Nothing here makes the data path wait: a full buffer drops the line, or the span, and counts it.
//! - No log line leaves the process before redaction has seen it.
//! - The number of series is bounded, and series that were removed give their memory back.
//!
//! # What it deliberately does not do
//! No files, no rotation, no shipping: standard output is the interface, who runs the process decides the rest. No global
//! metrics registry. No spans made by themselves: who handles a call records one.
//!
//! # Example
//! ```
//! use bastide_telemetry::metrics::{Exposition, LocalCounter, Registry};
//!
//! let registry = Registry::new();
//! let requests = registry.family::<LocalCounter>("requests", "Requests served", &["route", "status"], 1_000);
//! // Each worker has a shard of its own, and keeps the series it uses.
//! let worker = requests.shard();
//! let series = worker.series(&["r1", "200"]);
//! series.add(1);
//! let text = registry.render(Exposition::Prometheus);
//! assert!(text.contains("requests_total{route=\"r1\",status=\"200\"} 1\n"));
//! ```
#![forbid(unsafe_code)]

pub mod ids;
pub mod lines;
pub mod log;
pub mod metrics;
pub mod otlp;
