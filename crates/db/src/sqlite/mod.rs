//! The `SQLite` driver: one writer, several readers, each on a thread of its own, over one file in WAL mode.

mod convert;
mod lane;
mod transaction;
mod watcher;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::watch;

use self::lane::{Lanes, Open};
pub(crate) use self::transaction::SqliteTransaction;
use crate::url::SqliteTarget;
use crate::{DbError, Local, Options, Result, Row, Value};

/// Prepared statements that a connection keeps.
const STATEMENT_CACHE: usize = 64;

/// How much of the file a connection keeps in memory, in KiB. The system has it in its own cache anyway, once for all
/// connections; `SQLite`'s default is 2 MB each.
const PAGE_CACHE_KIB: i64 = 512;

pub(crate) struct Sqlite {
    name: Arc<str>,
    writer: Arc<Lanes>,
    readers: Arc<Lanes>,
    /// For a connection that looks for other people's commits; `None` in memory, where there are no others.
    watcher: Option<Open>,
    /// Counts this process's commits.
    commits: watch::Sender<u64>,
    options: Options,
}

impl Sqlite {
    /// Opens the file, or makes it (readable by its owner only).
    pub(crate) fn open(name: &str, target: &SqliteTarget, options: Options) -> Result<Self> {
        let opener = |role: Role| -> Open {
            let (target, name, options) = (target.clone(), name.to_owned(), options.clone());
            Arc::new(move || match &target {
                SqliteTarget::File(path) => open_file(path, &name, &options, role),
                SqliteTarget::Memory => open_memory(&name, &options),
            })
        };
        let (writer, readers, watcher) = match target {
            SqliteTarget::File(_) => {
                let open_writer = opener(Role::Writer);
                // Now rather than at the first request: a wrong path should stop the start. The writer makes the file. A full
                // disk is no reason to stop: it is like a server that is down, and every use opens anew.
                match open_writer() {
                    Ok(_) | Err(DbError::Disk { .. }) => {}
                    Err(error) => return Err(error),
                }
                (
                    Lanes::new(1, open_writer),
                    Lanes::new(options.max_connections.max(1), opener(Role::Reader)),
                    Some(opener(Role::Reader)),
                )
            }
            SqliteTarget::Memory => {
                // A second connection would see another database.
                let only = Lanes::new(1, opener(Role::Memory));
                (Arc::clone(&only), only, None)
            }
        };
        Ok(Self {
            name: name.into(),
            writer,
            readers,
            watcher,
            commits: watch::Sender::new(0),
            options,
        })
    }

    pub(crate) async fn query(&self, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
        let limit = self.options.statement_timeout;
        if let Some(rows) = self
            .query_on(&self.readers, sql, params, limit, false)
            .await?
        {
            return Ok(rows);
        }
        self.write(sql, params, limit).await
    }

    pub(crate) async fn query_within(
        &self,
        local: &Local,
        sql: &str,
        params: &[Value],
    ) -> Result<Vec<Row>> {
        let limit = local.limit(self.options.statement_timeout);
        if !local.is_read_only {
            return self.write(sql, params, limit).await;
        }
        let rows = self.query_on(&self.readers, sql, params, limit, false);
        rows.await?.ok_or_else(|| {
            DbError::Invalid("the statement writes, and was to read only".to_owned())
        })
    }

    async fn write(&self, sql: &str, params: &[Value], limit: Duration) -> Result<Vec<Row>> {
        let rows = self
            .query_on(&self.writer, sql, params, limit, true)
            .await?;
        self.commits.send_modify(|count| *count += 1);
        Ok(rows.expect("the writer takes every statement"))
    }

    /// `None` if the statement writes and may not.
    async fn query_on(
        &self,
        lanes: &Arc<Lanes>,
        sql: &str,
        params: &[Value],
        limit: Duration,
        may_write: bool,
    ) -> Result<Option<Vec<Row>>> {
        let checkout = lanes.checkout(self.options.acquire_timeout).await?;
        let name = Arc::clone(&self.name);
        let (sql, params) = (sql.to_owned(), params.to_vec());
        let job = move |session: &mut lane::Session| {
            let connection = session.connection(limit)?;
            let is_read = || {
                connection
                    .prepare_cached(&sql)
                    .map(|statement| statement.readonly())
            };
            if !may_write && !convert::ours(is_read(), &name, limit)? {
                return Ok(None);
            }
            convert::ours(convert::query(connection, &sql, &params), &name, limit).map(Some)
        };
        checkout.lane().run(job).await
    }

    pub(crate) async fn execute(&self, sql: &str, params: &[Value]) -> Result<u64> {
        let checkout = self.writer.checkout(self.options.acquire_timeout).await?;
        let (name, limit) = (Arc::clone(&self.name), self.options.statement_timeout);
        let (sql, params) = (sql.to_owned(), params.to_vec());
        let job = move |session: &mut lane::Session| {
            convert::ours(
                convert::execute(session.connection(limit)?, &sql, &params),
                &name,
                limit,
            )
        };
        let changed = checkout.lane().run(job).await?;
        self.commits.send_modify(|count| *count += 1);
        Ok(changed)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Writer,
    Reader,
    Memory,
}

fn open_memory(name: &str, options: &Options) -> Result<Connection> {
    let connection = convert::ours(Connection::open_in_memory(), name, options.acquire_timeout)?;
    configure(&connection, name, options, Role::Memory)?;
    Ok(connection)
}

fn open_file(path: &Path, name: &str, options: &Options, role: Role) -> Result<Connection> {
    let limit = options.acquire_timeout;
    if role == Role::Writer {
        make_private(path).map_err(|error| not_made(path, name, &error))?;
    }
    // Not SQLITE_OPEN_URI: a file's name is never an instruction. Not CREATE: a file that vanished is an error, an empty
    // one in its place would look like data loss.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = convert::ours(Connection::open_with_flags(path, flags), name, limit)?;
    configure(&connection, name, options, role)?;
    Ok(connection)
}

fn not_made(path: &Path, name: &str, error: &std::io::Error) -> DbError {
    use std::io::ErrorKind;
    let database = name.to_owned();
    let reason = match error.kind() {
        ErrorKind::StorageFull => {
            let reason = error.to_string();
            return DbError::Disk { database, reason };
        }
        ErrorKind::NotFound => format!(
            "the folder of `{}` does not exist; make it first",
            path.display()
        ),
        _ => format!("`{}` cannot be written: {error}", path.display()),
    };
    DbError::Unavailable { database, reason }
}

/// `SQLite`'s own files beside it inherit the mode.
fn make_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(|_| ())
}

/// `synchronous = NORMAL` in WAL mode survives a crash of the process without loss and a loss of power without
/// corruption; what the last moments before a power loss committed may be gone.
fn configure(connection: &Connection, name: &str, options: &Options, role: Role) -> Result<()> {
    let apply = || {
        connection.busy_timeout(options.acquire_timeout)?;
        connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
        if role != Role::Memory {
            connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
        }
        connection.pragma_update(None, "cache_size", -PAGE_CACHE_KIB)?;
        connection.pragma_update(None, "synchronous", "normal")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "query_only", role == Role::Reader)
    };
    convert::ours(apply(), name, options.acquire_timeout)
}
