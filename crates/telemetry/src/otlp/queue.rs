//! The queue between calls and the collector, and the task that empties it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::Otlp;
use super::send::Sending;
use super::span::{Sampler, Span};
use crate::metrics::Registry;

/// Takes spans. Cheap to clone; when the last clone is dropped, what waits is sent, as long as the runtime lives.
#[derive(Clone)]
pub struct Exporter {
    spans: mpsc::Sender<Span>,
    flushes: mpsc::Sender<oneshot::Sender<()>>,
    shared: Arc<Shared>,
}

struct Shared {
    sampler: Sampler,
    counters: Counters,
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) exported: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) lost: AtomicU64,
}

/// What became of the spans so far; the others wait or are on their way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Taken by the collector.
    pub exported: u64,
    /// Not sent: the queue was full.
    pub dropped: u64,
    /// Sent, and refused or not answered.
    pub lost: u64,
}

pub(super) fn start(options: Otlp) -> Exporter {
    let (spans, waiting) = mpsc::channel(options.queue);
    let (flushes, flushing) = mpsc::channel(8);
    let shared = Arc::new(Shared {
        sampler: options.sampler,
        counters: Counters::default(),
    });
    let task = Task {
        batch: Vec::new(),
        due: Instant::now(),
        shared: Arc::clone(&shared),
        sending: Sending::new(&options),
        options,
        waiting,
    };
    tokio::spawn(task.run(flushing));
    Exporter {
        spans,
        flushes,
        shared,
    }
}

impl Exporter {
    /// Takes a span that the [`Sampler`] chose. It never waits: with a full queue the span is dropped and counted.
    pub fn record(&self, span: Span) {
        if self.spans.try_send(span).is_err() {
            self.shared.counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Which calls are to be recorded.
    pub fn sampler(&self) -> Sampler {
        self.shared.sampler
    }

    /// What became of the spans so far.
    pub fn counts(&self) -> Counts {
        self.shared.counters.read()
    }

    /// Sends what waits, before the process ends. `false` if that was not done within `patience`; then it goes on.
    pub async fn flush(&self, patience: Duration) -> bool {
        let (done, is_done) = oneshot::channel();
        let flush = async { self.flushes.send(done).await.is_ok() && is_done.await.is_ok() };
        tokio::time::timeout(patience, flush).await.unwrap_or(false)
    }

    /// Shows the counts as `otlp_spans_total` by `outcome`: `exported`, `dropped`, `lost`.
    pub fn register(&self, metrics: &Registry) {
        let shared = Arc::clone(&self.shared);
        metrics.counters(
            "otlp_spans",
            "Spans by what became of them",
            &["outcome"],
            move |emit| {
                let counts = shared.counters.read();
                emit(&["exported"], counts.exported as f64);
                emit(&["dropped"], counts.dropped as f64);
                emit(&["lost"], counts.lost as f64);
            },
        );
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter")
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

impl Counters {
    fn read(&self) -> Counts {
        Counts {
            exported: self.exported.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
        }
    }
}

struct Task {
    options: Otlp,
    shared: Arc<Shared>,
    sending: Sending,
    waiting: mpsc::Receiver<Span>,
    batch: Vec<Span>,
    /// When the batch goes, full or not.
    due: Instant,
}

impl Task {
    async fn run(mut self, mut flushing: mpsc::Receiver<oneshot::Sender<()>>) {
        loop {
            let was_empty = self.batch.is_empty();
            let room = self.options.batch - self.batch.len();
            tokio::select! {
                received = self.waiting.recv_many(&mut self.batch, room) => {
                    if received == 0 {
                        self.send().await;
                        return;
                    }
                    if was_empty {
                        self.due = Instant::now() + self.options.delay;
                    }
                    if self.batch.len() >= self.options.batch {
                        self.send().await;
                    }
                }
                () = tokio::time::sleep_until(self.due), if !was_empty => self.send().await,
                Some(done) = flushing.recv() => {
                    // What came before the flush; what comes meanwhile could keep it from ending.
                    let mut left = self.waiting.len();
                    self.send().await;
                    while left > 0 {
                        let room = self.options.batch.min(left);
                        left -= self.waiting.recv_many(&mut self.batch, room).await.max(1);
                        self.send().await;
                    }
                    // Who asked may have lost patience.
                    done.send(()).ok();
                }
            }
        }
    }

    async fn send(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let is_last = || self.waiting.is_closed() && self.waiting.is_empty();
        self.sending
            .send(&self.options, &self.batch, &self.shared.counters, is_last)
            .await;
        self.batch.clear();
    }
}
