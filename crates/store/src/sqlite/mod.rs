//! The store of one machine: several processes share a file.

mod file;
mod lane;
mod messages;
mod values;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, Transaction};

use self::file::{Fault, unusable};
use self::lane::Lane;
use self::messages::Listeners;
use crate::backend::{Answer, Backend, Kind};
use crate::error::StoreError;
use crate::subscription::Subscription;

/// How much a [`SqliteStore`] holds before it refuses more, and how long it waits.
#[derive(Debug, Clone, Copy)]
pub struct SqliteOptions {
    /// Values. Default 1 000 000.
    pub entries: usize,
    /// Bytes of keys and values together. Default 256 MiB. The file also holds up to 8 MiB of messages.
    pub bytes: usize,
    /// For an operation, waiting for other processes included. Default 1 s.
    pub timeout: Duration,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            entries: 1_000_000,
            bytes: 256 << 20,
            timeout: Duration::from_secs(1),
        }
    }
}

/// Values in a file that several processes of one machine have open. Expired ones are removed in the background.
///
/// Time is the system's: setting its clock moves the moments at which values expire.
#[derive(Debug)]
pub struct SqliteStore {
    path: Arc<Path>,
    options: SqliteOptions,
    writer: Lane,
    reader: Lane,
    listeners: Listeners,
}

impl SqliteStore {
    /// Opens the file, or makes it. It has to lie on a local disk.
    ///
    /// # Errors
    /// [`StoreError::File`] if it cannot be made, read or written, is damaged, or is something else's.
    /// [`StoreError::Timeout`] if other processes keep it busy.
    pub async fn open(
        path: impl Into<PathBuf>,
        options: SqliteOptions,
    ) -> Result<Self, StoreError> {
        let path: Arc<Path> = path.into().into();
        let opening = tokio::task::spawn_blocking({
            let path = path.clone();
            move || Self::open_here(path, options)
        });
        match tokio::time::timeout(options.timeout, opening).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(_)) => Err(gone(&path)),
            Err(_) => Err(StoreError::Timeout(options.timeout)),
        }
    }

    fn open_here(path: Arc<Path>, options: SqliteOptions) -> Result<Self, StoreError> {
        let connect = || {
            file::open(&path, options.timeout).map_err(|fault| fault.told(&path, options.timeout))
        };
        let no_thread = |error: std::io::Error| {
            unusable(&path, error.to_string(), "allow the process more threads")
        };
        let writer = Lane::writer(connect()?).map_err(no_thread)?;
        let reader = Lane::reader(connect()?).map_err(no_thread)?;
        let listeners = Listeners::start(connect()?).map_err(no_thread)?;
        Ok(Self {
            path,
            options,
            writer,
            reader,
            listeners,
        })
    }

    async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.bounded(self.reader.run(job)).await
    }

    /// Runs a change whole or not at all, with no other process in between.
    async fn change<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.bounded(
            self.writer
                .run(|connection| values::change(connection, job)),
        )
        .await
    }

    async fn bounded<T>(
        &self,
        running: impl Future<Output = Option<Result<T, Fault>>>,
    ) -> Result<T, StoreError> {
        let limit = self.options.timeout;
        match tokio::time::timeout(limit, running).await {
            Ok(Some(result)) => result.map_err(|fault| fault.told(&self.path, limit)),
            Ok(None) => Err(gone(&self.path)),
            Err(_) => Err(StoreError::Timeout(limit)),
        }
    }
}

fn gone(path: &Path) -> StoreError {
    unusable(path, "its thread has ended", "restart the process")
}

impl Backend for SqliteStore {
    fn kind(&self) -> Kind {
        Kind::Sqlite
    }

    fn ping(&self) -> Answer<'_, ()> {
        Box::pin(self.read(|connection| values::get(connection, "").map(drop)))
    }

    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        let key = key.to_owned();
        Box::pin(self.read(move |connection| values::get(connection, &key)))
    }

    fn get_many<'a>(&'a self, keys: &'a [String]) -> Answer<'a, Vec<Option<Vec<u8>>>> {
        let keys = keys.to_vec();
        Box::pin(self.read(move |connection| values::get_many(connection, &keys)))
    }

    fn set<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Option<Duration>) -> Answer<'a, ()> {
        let (options, key, value) = (self.options, key.to_owned(), value.to_vec());
        Box::pin(
            self.change(move |transaction| values::set(transaction, &options, &key, &value, ttl)),
        )
    }

    fn compare_and_set<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a [u8]>,
        value: Option<&'a [u8]>,
        ttl: Option<Duration>,
    ) -> Answer<'a, bool> {
        let (options, key) = (self.options, key.to_owned());
        let (expected, value) = (expected.map(<[u8]>::to_vec), value.map(<[u8]>::to_vec));
        Box::pin(self.change(move |transaction| {
            let (expected, value) = (expected.as_deref(), value.as_deref());
            values::compare_and_set(transaction, &options, &key, expected, value, ttl)
        }))
    }

    fn delete<'a>(&'a self, key: &'a str) -> Answer<'a, bool> {
        let key = key.to_owned();
        Box::pin(self.change(move |transaction| values::delete(transaction, &key)))
    }

    fn increment<'a>(&'a self, key: &'a str, by: i64, ttl: Option<Duration>) -> Answer<'a, i64> {
        let (options, key) = (self.options, key.to_owned());
        Box::pin(
            self.change(move |transaction| values::increment(transaction, &options, &key, by, ttl)),
        )
    }

    fn acquire<'a>(&'a self, key: &'a str, ttl: Duration) -> Answer<'a, Option<u64>> {
        let (options, key) = (self.options, key.to_owned());
        Box::pin(self.change(move |transaction| values::acquire(transaction, &options, &key, ttl)))
    }

    fn publish<'a>(&'a self, channel: &'a str, message: &'a [u8]) -> Answer<'a, ()> {
        let (channel, message) = (channel.to_owned(), message.to_vec());
        Box::pin(async move {
            self.change(move |transaction| messages::publish(transaction, &channel, &message))
                .await?;
            self.listeners.look();
            Ok(())
        })
    }

    fn subscribe<'a>(&'a self, channel: &'a str) -> Answer<'a, Subscription> {
        Box::pin(self.bounded(self.listeners.subscribe(channel)))
    }
}
