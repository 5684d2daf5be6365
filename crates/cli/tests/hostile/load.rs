//! Clients that keep a gateway busy and count what they get.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::harness::{Client, Request, Response};

/// What the clients of a load saw.
#[derive(Default)]
struct Seen {
    answered: AtomicU64,
    stop: AtomicBool,
    failures: Mutex<Vec<String>>,
    latencies: Mutex<Vec<Duration>>,
}

/// Keep-alive clients that send one request after the other until they are stopped.
pub(crate) struct Load {
    seen: Arc<Seen>,
    clients: Vec<JoinHandle<()>>,
}

/// What came of a load.
pub(crate) struct Report {
    pub(crate) answered: u64,
    /// The first ones, in words.
    pub(crate) failures: Vec<String>,
    latencies: Vec<Duration>,
}

impl Load {
    /// `count` clients that send `request`; what `is_good` says no to is a failure.
    pub(crate) fn start(
        address: SocketAddr,
        count: usize,
        request: &Request,
        is_good: impl Fn(&Response) -> bool + Send + Clone + 'static,
    ) -> Self {
        let seen = Arc::new(Seen::default());
        let clients = (0..count)
            .map(|_| {
                let (seen, request, is_good) =
                    (Arc::clone(&seen), request.clone(), is_good.clone());
                std::thread::spawn(move || run(&seen, address, &request, is_good))
            })
            .collect();
        Self { seen, clients }
    }

    /// As [`Load::start`], where only 200 is good.
    pub(crate) fn of_ok(address: SocketAddr, count: usize, request: &Request) -> Self {
        Self::start(address, count, request, |response| response.status == 200)
    }

    /// How many requests were answered so far.
    pub(crate) fn answered(&self) -> u64 {
        self.seen.answered.load(Ordering::Relaxed)
    }

    /// Waits until `count` more requests were answered.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: u64) {
        let target = self.answered() + count;
        crate::harness::wait::within(Duration::from_secs(30), "the load goes on", || {
            self.answered() >= target
        });
    }

    /// Stops the clients, each after its answer.
    pub(crate) fn stop(self) -> Report {
        self.seen.stop.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.join().expect("a client does not panic");
        }
        let take = |failures: &Mutex<Vec<String>>| {
            std::mem::take(&mut *failures.lock().unwrap_or_else(PoisonError::into_inner))
        };
        let mut latencies = std::mem::take(
            &mut *self
                .seen
                .latencies
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        latencies.sort_unstable();
        Report {
            answered: self.seen.answered.load(Ordering::SeqCst),
            failures: take(&self.seen.failures),
            latencies,
        }
    }
}

impl Report {
    /// Fails unless every request got its answer.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        assert!(self.answered > 0, "there was no load");
        let shown = &self.failures[..self.failures.len().min(10)];
        assert!(
            self.failures.is_empty(),
            "{} failed of {}: {shown:#?}",
            self.failures.len(),
            self.answered
        );
    }

    /// The latency that this share of the requests stayed below.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies
            .get((last as f64 * share) as usize)
            .copied()
            .unwrap_or_default()
    }
}

fn run(seen: &Seen, address: SocketAddr, request: &Request, is_good: impl Fn(&Response) -> bool) {
    let mut client = None;
    let mut latencies = Vec::new();
    let fail = |what: String| {
        seen.failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(what);
    };
    while !seen.stop.load(Ordering::Relaxed) {
        let started = Instant::now();
        let connected = match client.take() {
            Some(client) => Ok(client),
            None => Client::try_connect(address),
        };
        let answer = connected.and_then(|mut connected: Client| {
            let response = connected.try_call(request)?;
            Ok((connected, response))
        });
        match answer {
            Ok((connected, response)) => {
                latencies.push(started.elapsed());
                seen.answered.fetch_add(1, Ordering::Relaxed);
                if !is_good(&response) {
                    fail(format!("{} {}", response.status, response.text()));
                }
                if response.header("connection") != Some("close") {
                    client = Some(connected);
                }
            }
            Err(error) => fail(error.to_string()),
        }
    }
    seen.latencies
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .extend(latencies);
}
