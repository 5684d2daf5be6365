//! Values, rows and errors of `SQLite` in this crate's terms.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::ffi;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Error, Statement, ToSql};

use crate::{Constraint, DbError, Result, Row, Value};

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        use rusqlite::types::Value as Owned;
        Ok(match self {
            Self::Null => ToSqlOutput::Owned(Owned::Null),
            Self::Bool(value) => ToSqlOutput::Owned(Owned::Integer((*value).into())),
            Self::Int(value) => ToSqlOutput::Owned(Owned::Integer(*value)),
            Self::Float(value) => ToSqlOutput::Owned(Owned::Real(*value)),
            Self::Text(text) | Self::Json(text) => {
                ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes()))
            }
            Self::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
            Self::Uuid(id) => ToSqlOutput::Owned(Owned::Text(id.to_string())),
            // Always six digits, so that text order is time order.
            Self::Timestamp(at) => ToSqlOutput::Owned(Owned::Text(format!("{at:.6}"))),
        })
    }
}

/// Binds `$1`, `$2`, ... by name: `SQLite` numbers `$`-parameters by first appearance, not by their number.
pub(super) fn bind(statement: &mut Statement<'_>, params: &[Value]) -> rusqlite::Result<()> {
    let expected = statement.parameter_count();
    for (index, value) in params.iter().enumerate() {
        match statement.parameter_index(&format!("${}", index + 1))? {
            Some(position) => statement.raw_bind_parameter(position, value)?,
            None => return Err(Error::InvalidParameterCount(params.len(), expected)),
        }
    }
    if expected > params.len() {
        Err(Error::InvalidParameterCount(params.len(), expected))
    } else {
        Ok(())
    }
}

fn rows<T>(statement: &mut Statement<'_>, decode: impl Fn(Row) -> T) -> rusqlite::Result<Vec<T>> {
    let columns: Arc<[String]> = statement.column_names().map(str::to_owned).collect();
    let mut rows = Vec::new();
    let mut cursor = statement.raw_query();
    while let Some(row) = cursor.next()? {
        let cells = (0..columns.len()).map(|index| {
            Ok(match row.get_ref(index)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(value) => Value::Int(value),
                ValueRef::Real(value) => Value::Float(value),
                // Text that is not UTF-8 is no reason to lose the other rows; as bytes it fails where it is read.
                ValueRef::Text(text) => match std::str::from_utf8(text) {
                    Ok(text) => Value::Text(text.to_owned()),
                    Err(_) => Value::Bytes(text.to_owned()),
                },
                ValueRef::Blob(bytes) => Value::Bytes(bytes.to_owned()),
            })
        });
        rows.push(decode(Row::new(
            Arc::clone(&columns),
            cells.collect::<rusqlite::Result<_>>()?,
        )));
    }
    Ok(rows)
}

/// Sorts an error by its result code (<https://www.sqlite.org/rescode.html>).
pub(super) fn error(error: &Error, database: &str, limit: Duration) -> DbError {
    let unavailable = |reason: String| DbError::Unavailable {
        database: database.to_owned(),
        reason,
    };
    let Error::SqliteFailure(failure, message) = error else {
        return DbError::Invalid(error.to_string());
    };
    let message = message.clone().unwrap_or_else(|| failure.to_string());
    let conflict = |kind| {
        let constraint = message
            .split_once("constraint failed: ")
            .map_or("", |(_, columns)| columns);
        DbError::Conflict {
            kind,
            constraint: constraint
                .trim_start_matches("index ")
                .trim_matches('\'')
                .to_owned(),
        }
    };
    match failure.extended_code {
        ffi::SQLITE_CONSTRAINT_UNIQUE
        | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
        | ffi::SQLITE_CONSTRAINT_ROWID => {
            return conflict(Constraint::Unique);
        }
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => return conflict(Constraint::ForeignKey),
        ffi::SQLITE_CONSTRAINT_NOTNULL => return conflict(Constraint::NotNull),
        // The snapshot is older than what another process has written; only a new transaction helps.
        ffi::SQLITE_BUSY_SNAPSHOT => return DbError::Contention(message),
        _ => {}
    }
    match failure.extended_code & 0xff {
        ffi::SQLITE_CONSTRAINT => conflict(Constraint::Check),
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => DbError::Timeout {
            what: "waiting for another process that writes to the database",
            after: limit,
        },
        ffi::SQLITE_INTERRUPT => DbError::Timeout {
            what: "a statement",
            after: limit,
        },
        ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB => DbError::Damaged {
            database: database.to_owned(),
            reason: message,
        },
        // A full disk is an I/O error where it is the file's index in shared memory that does not fit.
        ffi::SQLITE_FULL | ffi::SQLITE_IOERR => DbError::Disk {
            database: database.to_owned(),
            reason: message,
        },
        ffi::SQLITE_CANTOPEN
        | ffi::SQLITE_READONLY
        | ffi::SQLITE_PERM
        | ffi::SQLITE_PROTOCOL
        | ffi::SQLITE_NOMEM
        | ffi::SQLITE_AUTH => unavailable(message),
        _ => DbError::Invalid(message),
    }
}

/// Runs one statement on the connection and returns its rows.
pub(super) fn query(
    connection: &rusqlite::Connection,
    sql: &str,
    params: &[Value],
) -> rusqlite::Result<Vec<Row>> {
    let mut statement = connection.prepare_cached(sql)?;
    bind(&mut statement, params)?;
    rows(&mut statement, |row| row)
}

/// Runs one statement on the connection and returns what `decode` makes of its rows, one after the other.
pub(super) fn query_map<T>(
    connection: &rusqlite::Connection,
    sql: &str,
    params: &[Value],
    decode: impl Fn(&Row) -> T,
) -> rusqlite::Result<Vec<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    bind(&mut statement, params)?;
    rows(&mut statement, |row| decode(&row))
}

/// Runs one statement on the connection and returns how many rows it changed.
pub(super) fn execute(
    connection: &rusqlite::Connection,
    sql: &str,
    params: &[Value],
) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached(sql)?;
    bind(&mut statement, params)?;
    // A statement with RETURNING has rows; they are run through and not looked at.
    let before = connection.total_changes();
    if statement.column_count() > 0 {
        rows(&mut statement, drop)?;
        return Ok(if statement.readonly() {
            0
        } else {
            connection.total_changes() - before
        });
    }
    let changed = statement.raw_execute()?;
    Ok(if statement.readonly() {
        0
    } else {
        changed as u64
    })
}

/// Makes an error of the driver one of ours.
pub(super) fn ours<T>(result: rusqlite::Result<T>, database: &str, limit: Duration) -> Result<T> {
    result.map_err(|failure| error(&failure, database, limit))
}
