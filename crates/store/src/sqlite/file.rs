//! The file: making it, opening it, and what its errors mean.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use crate::error::StoreError;

/// Says whose file it is: "Bsto".
const APPLICATION: i64 = 0x4273_746f;
const VERSION: i64 = 1;

/// Triggers keep the sizes, so that no statement can forget to.
const SCHEMA: &str = "
CREATE TABLE entries (key BLOB PRIMARY KEY, value BLOB NOT NULL, expires_at INTEGER) STRICT;
CREATE INDEX entries_by_expiry ON entries (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, channel BLOB NOT NULL, message BLOB NOT NULL, sent_at INTEGER NOT NULL
) STRICT;
CREATE TABLE size (entries INTEGER NOT NULL, bytes INTEGER NOT NULL, message_bytes INTEGER NOT NULL) STRICT;
INSERT INTO size VALUES (0, 0, 0);
CREATE TABLE locks (token INTEGER NOT NULL) STRICT;
INSERT INTO locks VALUES (0);
CREATE TRIGGER entry_added AFTER INSERT ON entries BEGIN
    UPDATE size SET entries = entries + 1, bytes = bytes + length(new.key) + length(new.value);
END;
CREATE TRIGGER entry_changed AFTER UPDATE ON entries BEGIN
    UPDATE size SET bytes = bytes + length(new.value) - length(old.value);
END;
CREATE TRIGGER entry_removed AFTER DELETE ON entries BEGIN
    UPDATE size SET entries = entries - 1, bytes = bytes - length(old.key) - length(old.value);
END;
CREATE TRIGGER message_added AFTER INSERT ON messages BEGIN
    UPDATE size SET message_bytes = message_bytes + length(new.message);
END;
CREATE TRIGGER message_removed AFTER DELETE ON messages BEGIN
    UPDATE size SET message_bytes = message_bytes - length(old.message);
END;
";

/// Statements that a connection keeps prepared.
const STATEMENTS: usize = 32;
/// What a connection keeps of the file, in KiB; the system has it in its own cache anyway, once for all.
const PAGE_CACHE_KIB: i64 = 512;
/// What is left of the log after it has been written back, in bytes.
const LOG_BYTES: i64 = 4 << 20;
/// Between two tries to switch a new file to WAL, for which `SQLite` does not wait by itself.
const RETRY: Duration = Duration::from_millis(5);

/// Why something on the file did not happen.
#[derive(Debug)]
pub(super) enum Fault {
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Fault {
    fn is_busy(&self) -> bool {
        matches!(self, Self::Sqlite(error) if matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
        ))
    }

    /// In the store's words.
    pub(super) fn told(self, path: &Path, waited: Duration) -> StoreError {
        if self.is_busy() {
            return StoreError::Timeout(waited);
        }
        let error = match self {
            Self::Store(error) => return error,
            Self::Sqlite(error) => error,
        };
        let remedy = match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                "move it away together with its -wal and -shm files, and a new one is made"
            }
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
                WRITABLE
            }
            Some(ErrorCode::DiskFull) => "make room on its disk",
            Some(ErrorCode::SystemIoFailure | ErrorCode::FileLockingProtocolFailed) => {
                "check its disk; it has to be a local one"
            }
            _ => return StoreError::Refused(error.to_string()),
        };
        unusable(path, error.to_string(), remedy)
    }
}

const WRITABLE: &str = "give a path whose folder exists and that this user may write";

pub(super) fn unusable(path: &Path, reason: impl Into<String>, remedy: &'static str) -> StoreError {
    StoreError::File {
        path: path.display().to_string(),
        reason: reason.into(),
        remedy,
    }
}

/// Opens the file, or makes it: readable by its owner only.
pub(super) fn open(path: &Path, timeout: Duration) -> Result<Connection, Fault> {
    make_private(path).map_err(|error| unusable(path, error.to_string(), WRITABLE))?;
    // Not SQLITE_OPEN_URI: a file's name is never an instruction.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(timeout)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    switch_to_wal(&connection, path, timeout)?;
    // Survives a crash of the process without loss, and a loss of power without damage; what the last moments before
    // that wrote may be gone.
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update(None, "cache_size", -PAGE_CACHE_KIB)?;
    connection.pragma_update_and_check(None, "journal_size_limit", LOG_BYTES, |_| Ok(()))?;
    prepare(&mut connection, path)?;
    Ok(connection)
}

/// `SQLite`'s own files beside it inherit the mode.
fn make_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn switch_to_wal(connection: &Connection, path: &Path, timeout: Duration) -> Result<(), Fault> {
    let deadline = Instant::now() + timeout;
    loop {
        let mode: Result<String, _> =
            connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0));
        match mode.map_err(Fault::from) {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(_) => {
                let reason = "its file system cannot share it between processes";
                return Err(unusable(path, reason, "give a path on a local disk").into());
            }
            Err(fault) if fault.is_busy() && Instant::now() < deadline => {
                std::thread::park_timeout(RETRY);
            }
            Err(fault) => return Err(fault),
        }
    }
}

/// Makes the tables where there are none. Several processes may come at once.
fn prepare(connection: &mut Connection, path: &Path) -> Result<(), Fault> {
    if is_ours(connection)? {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if is_ours(&transaction)? {
        return Ok(());
    }
    let tables: i64 =
        transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables > 0 {
        let reason = "it holds the tables of another program or another version";
        return Err(unusable(path, reason, "give a path of its own for the store").into());
    }
    transaction.execute_batch(SCHEMA)?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(())
}

fn is_ours(connection: &Connection) -> rusqlite::Result<bool> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    Ok(number("application_id")? == APPLICATION && number("user_version")? == VERSION)
}
