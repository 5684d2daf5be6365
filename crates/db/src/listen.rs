//! A signal that something may have changed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::database::Driver;

/// On Postgres, where notifications are the rule and looking is the backstop.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Says that something may have changed in the database. It never misses a change and may be wrong about one: look.
///
/// On Postgres it is `LISTEN` on a connection of its own that is made again whenever it is lost; on `SQLite` a look at the
/// file's change counter, so that other processes' commits count too. Signals that come while nobody waits become one.
/// Dropping it ends its connection.
#[derive(Debug)]
pub struct Changes {
    signal: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

impl Changes {
    pub(crate) fn start(driver: &Arc<Driver>, channel: &str) -> Self {
        let sender = watch::Sender::new(0);
        let mut signal = sender.subscribe();
        // What changed before this moment is news to somebody who only now begins to listen.
        signal.mark_changed();
        let (driver, channel) = (Arc::clone(driver), channel.to_owned());
        let task = tokio::spawn(async move {
            match &*driver {
                Driver::Sqlite(sqlite) => sqlite.listen(&sender).await,
                Driver::Postgres(postgres) => {
                    let interval = postgres.poll_interval().unwrap_or(POLL_INTERVAL);
                    tokio::join!(postgres.listen(&channel, &sender), poll(interval, &sender));
                }
            }
        });
        Self { signal, task }
    }

    /// Waits until something may have changed since the last call. The first call returns at once.
    ///
    /// Cancelling it loses nothing.
    pub async fn changed(&mut self) {
        if self.signal.changed().await.is_err() {
            // Only when the runtime shuts down: then nothing changes any more.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn poll(interval: Duration, signal: &watch::Sender<u64>) {
    let mut tick = tokio::time::interval(interval);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = signal.closed() => return,
            _ = tick.tick() => signal.send_modify(|count| *count += 1),
        }
    }
}
