//! A connection on a thread of its own, so that no runtime's thread ever waits for the disk.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::file::Fault;
use super::values;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// Between two looks for what has expired.
const SWEEP: Duration = Duration::from_secs(2);
/// The same while there is more of it: what waits for the thread goes first.
const SWEEP_ON: Duration = Duration::from_millis(10);

/// The way to one thread, which runs one job after the other. Dropping it ends the thread.
#[derive(Debug)]
pub(super) struct Lane {
    jobs: mpsc::Sender<Job>,
}

impl Lane {
    /// A thread that reads.
    pub(super) fn reader(mut connection: Connection) -> std::io::Result<Self> {
        Self::start("store-read", move |inbox| {
            while let Ok(job) = inbox.recv() {
                job(&mut connection);
            }
        })
    }

    /// A thread that writes, and removes what has expired in between.
    pub(super) fn writer(mut connection: Connection) -> std::io::Result<Self> {
        Self::start("store-write", move |inbox| {
            let mut sweep_at = Instant::now() + SWEEP;
            loop {
                match inbox.recv_timeout(sweep_at.saturating_duration_since(Instant::now())) {
                    Ok(job) => job(&mut connection),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                if Instant::now() >= sweep_at {
                    // What cannot be swept now will be; whoever needs the file hears of its trouble.
                    let is_more = values::sweep(&mut connection).unwrap_or(false);
                    sweep_at = Instant::now() + if is_more { SWEEP_ON } else { SWEEP };
                }
            }
        })
    }

    fn start(
        name: &str,
        serve: impl FnOnce(mpsc::Receiver<Job>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (jobs, inbox) = mpsc::channel();
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || serve(inbox))?;
        Ok(Self { jobs })
    }

    /// Runs a job. `None` if the thread is gone. If the caller stops waiting before the job begins, it never does.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Option<Result<T, Fault>> {
        let (reply, answer) = oneshot::channel();
        let job = move |connection: &mut Connection| {
            if !reply.is_closed() {
                // Nobody waits any more: then nobody misses it either.
                let _ = reply.send(job(connection));
            }
        };
        self.jobs.send(Box::new(job)).ok()?;
        answer.await.ok()
    }
}
