//! A connection on a thread of its own, and a pool of them.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::convert;
use crate::{DbError, Result};

/// Virtual machine instructions between two looks at the clock.
const OPS_PER_CHECK: i32 = 5_000;

/// Opens a connection; called again if one has to be replaced.
pub(super) type Open = Arc<dyn Fn() -> Result<Connection> + Send + Sync>;

type Job = Box<dyn FnOnce(&mut Session) + Send>;

/// What a lane's thread owns.
pub(super) struct Session {
    open: Open,
    /// `None` until it is first needed, and after it could not be brought into a known state.
    connection: Option<Connection>,
    deadline: Arc<Mutex<Option<Instant>>>,
}

impl Session {
    /// The connection, with statements held to the limit from now on.
    pub(super) fn connection(&mut self, limit: Duration) -> Result<&mut Connection> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) =
            Instant::now().checked_add(limit);
        Ok(self.connection.insert(connection))
    }

    fn connect(&self) -> Result<Connection> {
        let mut connection = (self.open)()?;
        let deadline = Arc::clone(&self.deadline);
        let is_over = move || {
            let deadline = *deadline.lock().unwrap_or_else(PoisonError::into_inner);
            deadline.is_some_and(|deadline| Instant::now() > deadline)
        };
        connection
            .progress_handler(OPS_PER_CHECK, Some(is_over))
            .map_err(|error| convert::error(&error, "", Duration::ZERO))?;
        Ok(connection)
    }

    /// Ends whatever transaction is open. If that fails, the connection goes, and with it the transaction.
    pub(super) fn reset(&mut self) {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.connection.take_if(|connection| {
            !connection.is_autocommit() && connection.execute_batch("ROLLBACK").is_err()
        });
    }
}

/// The way to one thread. Jobs run one after the other, in the order in which they were sent; dropping it ends the
/// thread when it has run them.
pub(super) struct Lane {
    jobs: mpsc::Sender<Job>,
}

impl Lane {
    pub(super) fn start(open: Open) -> Result<Self> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let run = move || {
            let mut session = Session {
                open,
                connection: None,
                deadline: Arc::default(),
            };
            while let Ok(job) = inbox.recv() {
                job(&mut session);
            }
        };
        std::thread::Builder::new()
            .name("sqlite".to_owned())
            .spawn(run)
            .map_err(|error| stopped(&format!("no thread for it: {error}")))?;
        Ok(Self { jobs })
    }

    /// Runs a job and waits for its result. If the caller stops waiting before the job begins, it never does.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Session) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.send(move |session| {
            if !reply.is_closed() {
                // Nobody waits any more: then nobody misses it either.
                let _ = reply.send(job(session));
            }
        });
        answer
            .await
            .unwrap_or_else(|_| Err(stopped("its thread has stopped")))
    }

    /// Sends a job whose result is of no interest.
    pub(super) fn send(&self, job: impl FnOnce(&mut Session) + Send + 'static) {
        // Fails only when the thread panicked; `run` reports that by its dropped reply.
        let _ = self.jobs.send(Box::new(job));
    }
}

fn stopped(reason: &str) -> DbError {
    DbError::Unavailable {
        database: "sqlite".to_owned(),
        reason: reason.to_owned(),
    }
}

/// A limited number of lanes, first come, first served. One is started when all that there are are in use.
pub(super) struct Lanes {
    open: Open,
    idle: Mutex<Vec<Lane>>,
    permits: Arc<Semaphore>,
}

impl Lanes {
    pub(super) fn new(limit: usize, open: Open) -> Arc<Self> {
        Arc::new(Self {
            open,
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(limit)),
        })
    }

    pub(super) async fn checkout(self: &Arc<Self>, limit: Duration) -> Result<Checkout> {
        let acquire = Arc::clone(&self.permits).acquire_owned();
        let permit = tokio::time::timeout(limit, acquire)
            .await
            .map_err(|_| DbError::Timeout {
                what: "waiting for a free database connection",
                after: limit,
            })?
            .expect("the semaphore is never closed");
        // The one that was used last: its caches are warm, and what a burst needed stays idle behind it.
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let lane = match idle {
            Some(lane) => lane,
            None => Lane::start(Arc::clone(&self.open))?,
        };
        Ok(Checkout {
            lanes: Arc::clone(self),
            lane: Some(lane),
            _permit: permit,
        })
    }
}

/// A lane for one caller.
///
/// When it goes back, a rollback is queued behind whatever the caller had sent. The next caller's jobs queue behind the
/// rollback, so they never run inside somebody else's transaction, wherever that caller was cancelled.
pub(super) struct Checkout {
    lanes: Arc<Lanes>,
    /// `None` only while dropping.
    lane: Option<Lane>,
    /// Dropped after `lane` went back.
    _permit: OwnedSemaphorePermit,
}

impl Checkout {
    pub(super) fn lane(&self) -> &Lane {
        self.lane
            .as_ref()
            .expect("a checkout holds its lane until it is dropped")
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        if let Some(lane) = self.lane.take() {
            lane.send(Session::reset);
            self.lanes
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(lane);
        }
    }
}
