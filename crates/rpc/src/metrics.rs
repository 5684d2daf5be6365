//! Every method is counted and timed without being asked.

use std::sync::Arc;
use std::time::Duration;

use bastide_telemetry::metrics::{Counter, Gauge, Histogram, Registry, Shard};

use crate::problem::Problem;
use crate::service::Entry;

/// What `rpc_requests_total{service,version,method,status}` and `rpc_request_duration_seconds{service,version,method}` are
/// made of. `status` is that of HTTP, whichever way the call came. A stream is counted when it ends; until then it is one of
/// `rpc_open_streams{service,version,method}`.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// One for all calls: a shard keeps what it counted for good.
    requests: Shard<Counter>,
    methods: Vec<OfMethod>,
}

#[derive(Debug)]
struct OfMethod {
    labels: [Box<str>; 3],
    time: Arc<Histogram>,
    /// Found once: what most calls end with.
    succeeded: Arc<Counter>,
    /// Of a method that gives streams.
    streams: Option<Arc<Gauge>>,
}

/// As many as HTTP has in use.
const STATUSES: usize = 24;

impl Metrics {
    pub(crate) fn new(entries: &[Entry], registry: &Registry) -> Self {
        // A process without methods has no metrics of them.
        let nowhere = Registry::new();
        let registry = if entries.is_empty() {
            &nowhere
        } else {
            registry
        };
        let requests = registry.family::<Counter>(
            "rpc_requests",
            "Calls of methods, by the HTTP status of their outcome",
            &["service", "version", "method", "status"],
            entries.len() * STATUSES,
        );
        let requests = requests.shard();
        let times = registry.family::<Histogram>(
            "rpc_request_duration_seconds",
            "Time from a call's arrival at its method's pipeline to its outcome",
            &["service", "version", "method"],
            entries.len(),
        );
        let times = times.shard();
        let streams = registry.family::<Gauge>(
            "rpc_open_streams",
            "Streams that methods have begun and not ended",
            &["service", "version", "method"],
            entries.len(),
        );
        let streams = streams.shard();
        let methods = entries.iter().map(|entry| {
            let labels = [
                entry.service(),
                &entry.version().to_string(),
                entry.method().name(),
            ]
            .map(Box::from);
            let [service, version, method]: &[Box<str>; 3] = &labels;
            OfMethod {
                time: times.series(&[service, version, method]),
                succeeded: requests.series(&[service, version, method, "200"]),
                streams: entry
                    .method()
                    .is_stream()
                    .then(|| streams.series(&[service, version, method])),
                labels,
            }
        });
        Self {
            methods: methods.collect(),
            requests,
        }
    }

    pub(crate) fn stream_opened(&self, number: usize) {
        if let Some(streams) = &self.methods[number].streams {
            streams.add(1);
        }
    }

    pub(crate) fn stream_ended(&self, number: usize) {
        if let Some(streams) = &self.methods[number].streams {
            streams.add(-1);
        }
    }

    pub(crate) fn count(&self, number: usize, time: Duration, problem: Option<&Problem>) {
        let method = &self.methods[number];
        method.time.observe_time(time);
        match problem {
            None => method.succeeded.add(1),
            Some(problem) => {
                let [service, version, name] = &method.labels;
                let status = problem.status().to_string();
                self.requests
                    .series(&[service, version, name, &status])
                    .add(1);
            }
        }
    }
}
