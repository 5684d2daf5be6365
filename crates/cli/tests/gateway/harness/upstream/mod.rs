//! An upstream that does as it is told and remembers what it was sent.

mod answer;
mod received;
mod serve;

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

pub(crate) use answer::{Answer, Gate, Step};
pub(crate) use received::Received;

type Handler = dyn Fn(&Received) -> Answer + Send + Sync;

/// A server on 127.0.0.1, a thread per connection. It ends when dropped.
pub(crate) struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

struct Shared {
    handler: Mutex<Arc<Handler>>,
    received: Mutex<Vec<Received>>,
    /// Second handles of the open connections, by their numbers.
    streams: Mutex<HashMap<usize, TcpStream>>,
    connections: AtomicUsize,
    in_flight: AtomicUsize,
    reads_bodies: AtomicBool,
    stopping: AtomicBool,
}

impl Upstream {
    /// Answers by `handler`.
    pub(crate) fn start(handler: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared {
            handler: Mutex::new(Arc::new(handler)),
            received: Mutex::default(),
            streams: Mutex::default(),
            connections: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            reads_bodies: AtomicBool::new(true),
            stopping: AtomicBool::new(false),
        });
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let mut upstream = Self {
            address,
            shared,
            listening: None,
        };
        upstream.listen(listener);
        upstream
    }

    /// Answers 200 with `name`, to everything.
    pub(crate) fn named(name: &'static str) -> Self {
        Self::start(move |_| Answer::text(name))
    }

    /// Answers 200 with the request's own line: `GET /path?query`.
    pub(crate) fn echo() -> Self {
        Self::start(|request| Answer::text(&format!("{} {}", request.method, request.target)))
    }

    /// Answers this status, to everything.
    pub(crate) fn status(status: u16) -> Self {
        Self::start(move |_| Answer::status(status))
    }

    /// From now on answers by another handler.
    pub(crate) fn set(&self, handler: impl Fn(&Received) -> Answer + Send + Sync + 'static) {
        *lock(&self.shared.handler) = Arc::new(handler);
    }

    /// From now on answers when it has read a request's head, and closes the connection with the body unread.
    pub(crate) fn answer_early(&self) {
        self.shared.reads_bodies.store(false, Ordering::SeqCst);
    }

    /// `http://127.0.0.1:port`
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// `127.0.0.1:port`
    pub(crate) fn authority(&self) -> String {
        self.address.to_string()
    }

    /// Every request so far, in the order in which they were whole.
    pub(crate) fn requests(&self) -> Vec<Received> {
        lock(&self.shared.received).clone()
    }

    /// The only request so far; fails if there were none or more.
    #[track_caller]
    pub(crate) fn only(&self) -> Received {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.remove(0)
    }

    /// The latest request.
    #[track_caller]
    pub(crate) fn last(&self) -> Received {
        self.requests().pop().expect("the upstream got a request")
    }

    /// How many requests so far.
    pub(crate) fn count(&self) -> usize {
        lock(&self.shared.received).len()
    }

    /// How many requests so far for this path.
    pub(crate) fn count_of(&self, path: &str) -> usize {
        lock(&self.shared.received)
            .iter()
            .filter(|request| request.path() == path)
            .count()
    }

    /// Forgets the requests so far.
    pub(crate) fn forget(&self) {
        lock(&self.shared.received).clear();
    }

    /// How many connections were opened so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many requests are being answered now.
    pub(crate) fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Ordering::SeqCst)
    }

    /// Closes every connection that is open, and goes on listening.
    pub(crate) fn close_connections(&self) {
        for (_, stream) in lock(&self.shared.streams).drain() {
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    /// Stops listening and closes every connection: connecting is refused from now on.
    pub(crate) fn stop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        if let Some(thread) = self.listening.take() {
            // Wakes the thread that waits for a connection.
            TcpStream::connect(self.address).ok();
            thread.join().ok();
        }
        self.close_connections();
    }

    /// Listens again on the same port.
    pub(crate) fn resume(&mut self) {
        if self.listening.is_some() {
            return;
        }
        let mut listener = Err(io::Error::other("not tried"));
        bastide_testkit::until(super::wait::SOON, || {
            listener = TcpListener::bind(self.address);
            listener.is_ok()
        });
        self.listen(listener.expect("nobody else took the port"));
    }

    fn listen(&mut self, listener: TcpListener) {
        self.shared.stopping.store(false, Ordering::SeqCst);
        let shared = Arc::clone(&self.shared);
        let work = move || {
            for stream in listener.incoming().flatten() {
                if shared.stopping.load(Ordering::SeqCst) {
                    return;
                }
                let number = shared.connections.fetch_add(1, Ordering::SeqCst);
                if let Ok(stream) = stream.try_clone() {
                    lock(&shared.streams).insert(number, stream);
                }
                let shared = Arc::clone(&shared);
                // Whoever reset a connection meant to.
                std::thread::spawn(move || {
                    serve::connection(&shared, stream, number).ok();
                    // The second handle would keep the connection open.
                    lock(&shared.streams).remove(&number);
                });
            }
        };
        self.listening = Some(std::thread::spawn(work));
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop();
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
