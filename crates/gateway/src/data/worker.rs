//! One worker: a thread with its own runtime, its own listening sockets and its own connections to upstreams.
//!
//! Nothing that a request touches is shared with another worker but what is immutable or a plain atomic.

use std::cell::{Cell, RefCell};
use std::net::TcpListener as StdListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;
use bastide_telemetry::lines::LineSource;
use slab::Slab;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::access_log::AccessLog;
use super::buffer::{self, Buffer};
use super::idle::Seat;
use super::metrics::{Closed, WorkerMetrics};
use super::peer::Peer;
use super::phase::Phase;
use super::socket::watch_for_death;
use super::{Shared, connection};
use crate::snapshot::Snapshot;
use crate::upstream::pool::Pool;

/// How often expired connections are closed and an old snapshot is let go of although no request comes.
const SWEEP: Duration = Duration::from_secs(1);

/// How often a worker that is on its way out looks whether its connections are gone.
const LOOK: Duration = Duration::from_millis(20);

/// How often it is said again that connections cannot be taken.
const TELL: Duration = Duration::from_mins(1);

/// Free read buffers kept for the next connection that has something to read.
const MAX_FREE_BUFFERS: usize = 256;

pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pool: RefCell<Pool>,
    pub(crate) metrics: WorkerMetrics,
    pub(crate) lookup: RefCell<bastide_routing::Scratch>,
    pub(crate) seats: RefCell<Slab<Seat>>,
    /// Where requests are told of, if they are.
    pub(crate) access_log: Option<AccessLog>,
    snapshots: RefCell<Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
    current: RefCell<Rc<Pinned>>,
    buffers: RefCell<Vec<Buffer>>,
    random: RefCell<fastrand::Rng>,
    connections: Cell<usize>,
}

/// A snapshot as one worker counts its users: requests count on the worker's own counter and not on the one that all cores
/// share.
pub(crate) struct Pinned(Arc<Snapshot>);

impl std::ops::Deref for Pinned {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0
    }
}

impl Worker {
    fn new(shared: Arc<Shared>, access_log: Option<LineSource>) -> Self {
        let mut snapshots = Cache::new(Arc::clone(&shared.snapshot));
        let current = Rc::new(Pinned(Arc::clone(snapshots.load())));
        Self {
            pool: RefCell::default(),
            metrics: WorkerMetrics::new(&shared.metrics),
            lookup: RefCell::default(),
            seats: RefCell::default(),
            access_log: access_log.map(AccessLog::new),
            snapshots: RefCell::new(snapshots),
            current: RefCell::new(current),
            buffers: RefCell::default(),
            random: RefCell::new(fastrand::Rng::new()),
            connections: Cell::new(0),
            shared,
        }
    }

    /// The configuration now in force. A request keeps what it gets here to its end.
    pub(crate) fn snapshot(&self) -> Rc<Pinned> {
        let mut snapshots = self.snapshots.borrow_mut();
        let newest = snapshots.load();
        let mut current = self.current.borrow_mut();
        if !Arc::ptr_eq(newest, &current.0) {
            *current = Rc::new(Pinned(Arc::clone(newest)));
            self.metrics.forget_series();
        }
        Rc::clone(&current)
    }

    pub(crate) fn random(&self) -> u64 {
        self.random.borrow_mut().u64(..)
    }

    pub(crate) fn take_buffer(&self) -> Buffer {
        self.buffers
            .borrow_mut()
            .pop()
            .unwrap_or_else(|| Buffer::with_capacity(buffer::SMALL))
    }

    pub(crate) fn give_buffer(&self, mut buffer: Buffer) {
        let mut free = self.buffers.borrow_mut();
        if free.len() < MAX_FREE_BUFFERS && !buffer.is_unused() && !buffer.is_oversized() {
            buffer.clear();
            free.push(buffer);
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.shared.phase.get()
    }

    fn sweep(&self) {
        self.shared.clock.refresh();
        self.pool.borrow_mut().sweep(Instant::now());
        // The next one may come to another worker, which cannot close connections here.
        if self.shared.room.is_full() {
            self.make_room();
        }
        self.snapshot();
        self.metrics
            .set_connections(self.connections.get(), self.pool.borrow().len());
    }

    /// Wakes connections that wait for a request, so that they see that none is wanted any more.
    fn dismiss_idle(&self) {
        for (_, seat) in self.seats.borrow().iter() {
            seat.wake();
        }
    }
}

/// Runs a worker on this thread until it accepts no more and every connection is finished, or `ceiling` has passed since
/// [`Phase::Closing`].
pub(crate) fn run(
    shared: Arc<Shared>,
    access_log: Option<LineSource>,
    sockets: Vec<StdListener>,
    phases: watch::Receiver<Phase>,
    ceiling: Duration,
) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .expect("the operating system gives a worker its event queue");
    runtime.block_on(serve(
        Rc::new(Worker::new(shared, access_log)),
        sockets,
        phases,
        ceiling,
    ));
}

async fn serve(
    worker: Rc<Worker>,
    sockets: Vec<StdListener>,
    mut phases: watch::Receiver<Phase>,
    ceiling: Duration,
) {
    let accepting: Vec<_> = sockets
        .into_iter()
        .map(|socket| tokio::task::spawn_local(accept(Rc::clone(&worker), socket)))
        .collect();
    sweep_until(&worker, &mut phases, Phase::Leaving).await;
    for task in accepting {
        task.abort();
    }
    tokio::select! {
        () = sweep_until(&worker, &mut phases, Phase::Closing) => {}
        () = all_gone(&worker) => {}
    }
    let dismissed = async {
        loop {
            worker.dismiss_idle();
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        () = dismissed => {}
        () = all_gone(&worker) => {}
        () = tokio::time::sleep(ceiling) => {}
    }
    if worker.connections.get() > 0 {
        tracing::warn!(
            connections = worker.connections.get(),
            "the time to drain is over; connections are cut"
        );
    }
}

/// Keeps the worker tidy until the phase, or a later one, has come.
async fn sweep_until(worker: &Worker, phases: &mut watch::Receiver<Phase>, phase: Phase) {
    let mut tick = tokio::time::interval(SWEEP);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => worker.sweep(),
            // The sender is dropped only when the process ends anyway.
            _ = phases.wait_for(|now| *now >= phase) => return,
        }
    }
}

/// Waits until the worker has no connections.
async fn all_gone(worker: &Worker) {
    while worker.connections.get() > 0 {
        tokio::time::sleep(LOOK).await;
    }
}

async fn accept(worker: Rc<Worker>, socket: StdListener) {
    let listener = match TcpListener::from_std(socket) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "a listening socket cannot be watched; this worker takes no connections");
            return;
        }
    };
    // Also on a socket that was handed over. One that cannot be told serves as well, and notices the dead later.
    if let Err(error) = watch_for_death(&listener) {
        tracing::warn!(%error, "clients that are gone without a word will not be noticed");
    }
    let (mut told_full, mut told_failing) = (Told::default(), Told::default());
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if !worker.has_room().await {
                    worker.metrics.closed(Closed::NoRoom);
                    if told_full.is_due() {
                        tracing::warn!(
                            "as many connections are open as may be; new ones are closed (--max-connections)"
                        );
                    }
                    continue;
                }
                // Responses are written whole; waiting for more would only delay them.
                if stream.set_nodelay(true).is_ok() {
                    start(Rc::clone(&worker), stream, peer);
                }
            }
            Err(error) => {
                // Out of descriptors, most likely: the connection stays in the queue until there is one, and those on which
                // nobody asks for anything make room.
                if told_failing.is_due() {
                    tracing::warn!(%error, "accepting a connection failed; idle ones are closed");
                }
                worker.make_room();
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// What goes on is told of now and then.
#[derive(Default)]
struct Told(Option<Instant>);

impl Told {
    fn is_due(&mut self) -> bool {
        let is_due = self.0.is_none_or(|told| told.elapsed() > TELL);
        if is_due {
            self.0 = Some(Instant::now());
        }
        is_due
    }
}

fn start(worker: Rc<Worker>, stream: TcpStream, peer: std::net::SocketAddr) {
    /// Counts a connection for as long as its task lives.
    struct Counted(Rc<Worker>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.connections.set(self.0.connections.get() - 1);
            self.0.shared.room.leave();
        }
    }
    worker.connections.set(worker.connections.get() + 1);
    worker.shared.room.enter();
    let counted = Counted(Rc::clone(&worker));
    tokio::task::spawn_local(async move {
        let peer = Peer::new(peer.ip(), &worker.shared.trusted);
        connection::serve(worker, stream, peer).await;
        drop(counted);
    });
}
