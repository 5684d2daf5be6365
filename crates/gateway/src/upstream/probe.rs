//! Active health checks: one task per checked endpoint, started and stopped as snapshots come and go.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bastide_http1::{self as http1, Limits, Method, ResponseHead};
use bastide_resilience::health::next_probe_after;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use super::connect::{Connected, UpstreamTls, connect};
use super::origin::Origin;
use crate::data::buffer::Buffer;
use crate::data::outgoing::Outgoing;
use crate::data::stream::Stream;
use crate::model::HealthCheck;
use crate::snapshot::{EndpointState, Snapshot};

/// Runs the probes of whatever the current snapshot asks for.
pub(crate) struct Prober {
    running: HashMap<(Uuid, String), Running>,
    tls: UpstreamTls,
}

struct Running {
    check: HealthCheck,
    state: Weak<EndpointState>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What one probe needs to know.
struct Target {
    origin: Arc<Origin>,
    state: Arc<EndpointState>,
    head: Vec<u8>,
    check: HealthCheck,
    tls: UpstreamTls,
}

impl Prober {
    pub(crate) fn new(tls: UpstreamTls) -> Self {
        Self {
            running: HashMap::new(),
            tls,
        }
    }

    /// Starts, restarts and stops probes so that they are those of the snapshot.
    pub(crate) fn follow(&mut self, snapshot: &Snapshot) {
        let mut wanted = HashMap::new();
        for route in snapshot.routes() {
            let Some(check) = route.health_check.as_deref() else {
                continue;
            };
            for endpoint in &route.endpoints {
                let key = (route.id, endpoint.url.to_string());
                let running = match self.running.remove(&key) {
                    Some(known)
                        if known.check == *check
                            && known.state.as_ptr() == Arc::as_ptr(&endpoint.state) =>
                    {
                        known
                    }
                    _ => {
                        let target = Target {
                            origin: Arc::clone(&endpoint.origin),
                            state: Arc::clone(&endpoint.state),
                            head: probe_head(&endpoint.host_line, &check.endpoint),
                            check: check.clone(),
                            tls: self.tls.clone(),
                        };
                        Running {
                            check: check.clone(),
                            state: Arc::downgrade(&endpoint.state),
                            task: tokio::spawn(probe_for_ever(target)),
                        }
                    }
                };
                wanted.insert(key, running);
            }
        }
        // What is left is of endpoints that are gone or no longer checked: an endpoint that nobody looks at is healthy.
        for stopped in std::mem::replace(&mut self.running, wanted).into_values() {
            if let Some(state) = stopped.state.upgrade() {
                state.health.reset();
            }
        }
    }
}

async fn probe_for_ever(target: Target) {
    let interval = Duration::from_millis(target.check.interval_ms);
    let limit = Duration::from_millis(target.check.timeout_ms);
    // The first look is soon but not at one moment for all endpoints of a restarted gateway.
    let mut next = Instant::now()
        + interval
            .min(Duration::from_millis(100))
            .mul_f64(fastrand::f64());
    loop {
        sleep_until(next).await;
        next = Instant::now() + next_probe_after(interval, fastrand::u64(..));
        let is_well = matches!(timeout(limit, probe(&target)).await, Ok(Ok(200..=299)));
        if let Some(is_healthy) = target.state.health.record(is_well) {
            target.state.note_health(is_healthy);
        }
    }
}

/// One probe; the status of the answer.
async fn probe(target: &Target) -> io::Result<u16> {
    let protocol = target.origin.protocol;
    let mut stream = match connect(&target.origin, protocol, &target.tls).await? {
        Connected::Http1(socket) => Stream::Socket(socket),
        Connected::Http2(connection) => Stream::Outbound(Box::new(connection.exchange())),
    };
    let mut out = Outgoing::default();
    out.bytes.extend_from_slice(&target.head);
    poll_fn(|cx| out.poll_flush(cx, &mut stream)).await?;
    let mut buffer = Buffer::default();
    let mut response = ResponseHead::new();
    let limits = Limits::default();
    loop {
        if poll_fn(|cx| stream.poll_fill(cx, &mut buffer)).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(consumed) = response
            .parse(buffer.data(), &limits, Method::Get)
            .map_err(io::Error::other)?
        {
            if !response.is_informational() {
                return Ok(response.status());
            }
            buffer.consume(consumed);
            response.clear();
        }
    }
}

fn probe_head(host_line: &[u8], path: &str) -> Vec<u8> {
    let mut head = Vec::new();
    http1::write_request_line(&mut head, b"GET", path.as_bytes())
        .expect("a checked path is a valid target");
    head.extend_from_slice(host_line);
    head.extend_from_slice(b"User-Agent: bastide-health-check\r\nConnection: close\r\n");
    http1::end_head(&mut head);
    head
}
