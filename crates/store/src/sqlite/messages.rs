//! Messages between processes: rows with a growing number, which those who listen look for.

use std::collections::HashMap;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use foldhash::fast::RandomState;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use tokio::sync::{broadcast, oneshot};

use super::file::Fault;
use super::values::now;
use crate::subscription::{BACKLOG, Event, Subscription};

/// Between two looks for another process's messages. A look reads a counter in shared memory.
const POLL: Duration = Duration::from_millis(10);
/// Messages that are kept for those who read slowly: so many, so many bytes, and so long (milliseconds).
const KEPT: i64 = 4 * BACKLOG as i64;
const KEPT_BYTES: i64 = 8 << 20;
const KEPT_FOR: i64 = 10_000;
/// Messages read at once.
const BATCH: i64 = 256;

pub(super) fn publish(
    transaction: &Transaction<'_>,
    channel: &str,
    message: &[u8],
) -> Result<(), Fault> {
    transaction
        .prepare_cached("INSERT INTO messages (channel, message, sent_at) VALUES (?1, ?2, ?3)")?
        .execute(params![channel.as_bytes(), message, now()])?;
    let newest = transaction.last_insert_rowid();
    transaction
        .prepare_cached("DELETE FROM messages WHERE id <= ?1")?
        .execute([newest - KEPT])?;
    let bytes = "SELECT message_bytes FROM size";
    while transaction
        .prepare_cached(bytes)?
        .query_row([], |row| row.get::<_, i64>(0))?
        > KEPT_BYTES
    {
        let oldest = "DELETE FROM messages WHERE id = (SELECT min(id) FROM messages) AND id < ?1";
        if transaction.prepare_cached(oldest)?.execute([newest])? == 0 {
            // A single big one is kept for those who listen now.
            break;
        }
    }
    Ok(())
}

/// Whether some have been kept long enough.
pub(super) fn is_old(connection: &Connection) -> Result<bool, Fault> {
    let oldest: Option<i64> = connection
        .prepare_cached("SELECT sent_at FROM messages ORDER BY id LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(oldest.is_some_and(|sent_at| sent_at <= now() - KEPT_FOR))
}

pub(super) fn sweep(transaction: &Transaction<'_>) -> Result<(), Fault> {
    transaction
        .prepare_cached("DELETE FROM messages WHERE sent_at <= ?1")?
        .execute([now() - KEPT_FOR])?;
    Ok(())
}

enum Order {
    Listen {
        channel: String,
        reply: oneshot::Sender<Result<Subscription, Fault>>,
    },
    /// This process has published.
    Look,
}

/// The way to the thread that looks for messages. It rests while nobody listens, and ends when this is dropped.
#[derive(Debug)]
pub(super) struct Listeners {
    orders: mpsc::Sender<Order>,
}

impl Listeners {
    pub(super) fn start(connection: Connection) -> std::io::Result<Self> {
        let (orders, inbox) = mpsc::channel();
        std::thread::Builder::new()
            .name("store-listen".to_owned())
            .spawn(move || Reader::new(connection).serve(&inbox))?;
        Ok(Self { orders })
    }

    /// `None` if the thread is gone.
    pub(super) async fn subscribe(&self, channel: &str) -> Option<Result<Subscription, Fault>> {
        let (reply, answer) = oneshot::channel();
        let channel = channel.to_owned();
        self.orders.send(Order::Listen { channel, reply }).ok()?;
        answer.await.ok()
    }

    /// Others' messages are found by looking; one's own need not wait for that.
    pub(super) fn look(&self) {
        // Fails only when the thread is gone, and then nobody listens.
        let _ = self.orders.send(Order::Look);
    }
}

struct Reader {
    connection: Connection,
    channels: HashMap<Vec<u8>, broadcast::Sender<Event>, RandomState>,
    /// The last message that was passed on.
    last: i64,
    /// The counter of others' commits when they were last read.
    version: Option<i64>,
}

impl Reader {
    fn new(connection: Connection) -> Self {
        Self {
            connection,
            channels: HashMap::default(),
            last: 0,
            version: None,
        }
    }

    fn serve(mut self, inbox: &mpsc::Receiver<Order>) {
        loop {
            self.channels
                .retain(|_, sender| sender.receiver_count() > 0);
            let order = if self.channels.is_empty() {
                inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                inbox.recv_timeout(POLL)
            };
            match order {
                Ok(Order::Listen { channel, reply }) => {
                    let _ = reply.send(self.listen(channel));
                }
                Ok(Order::Look) | Err(RecvTimeoutError::Timeout) => {
                    // What cannot be read now is read later, or found missing.
                    if let Err(fault) = self.look() {
                        tracing::debug!(?fault, "messages of the shared store cannot be read");
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn listen(&mut self, channel: String) -> Result<Subscription, Fault> {
        // What was said before is not for the new one.
        if self.channels.is_empty() {
            self.last = newest(&self.connection)?;
        } else {
            self.pass_on()?;
        }
        let sender = self
            .channels
            .entry(channel.into_bytes())
            .or_insert_with(|| broadcast::channel(BACKLOG).0);
        Ok(Subscription::new(sender.subscribe()))
    }

    fn look(&mut self) -> Result<(), Fault> {
        if self.channels.is_empty() {
            return Ok(());
        }
        let version = self
            .connection
            .prepare_cached("PRAGMA data_version")?
            .query_row([], |row| row.get(0))?;
        if self.version != Some(version) {
            self.pass_on()?;
            self.version = Some(version);
        }
        Ok(())
    }

    /// Passes on all messages since the last one.
    fn pass_on(&mut self) -> Result<(), Fault> {
        loop {
            let moment = self.connection.transaction()?;
            let rows: Vec<(i64, Vec<u8>, Vec<u8>)> = moment
                .prepare_cached(
                    "SELECT id, channel, message FROM messages WHERE id > ?1 ORDER BY id LIMIT ?2",
                )?
                .query_map([self.last, BATCH], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })?
                .collect::<Result<_, _>>()?;
            let first = match rows.first() {
                Some((id, ..)) => *id,
                None => newest(&moment)? + 1,
            };
            drop(moment);
            if first != self.last + 1 {
                // Some are gone already, and nobody knows on which channels.
                for sender in self.channels.values() {
                    let _ = sender.send(Event::Missed);
                }
                self.last = first - 1;
            }
            let is_all = rows.len() < BATCH as usize;
            for (id, channel, message) in rows {
                self.last = id;
                if let Some(sender) = self.channels.get(&channel) {
                    // Fails only when nobody listens there any more.
                    let _ = sender.send(Event::Message(message));
                }
            }
            if is_all {
                return Ok(());
            }
        }
    }
}

/// The number of the newest message that there ever was.
fn newest(connection: &Connection) -> Result<i64, Fault> {
    let number = connection
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'messages'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(number.unwrap_or(0))
}
