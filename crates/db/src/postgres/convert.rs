//! Values, rows and errors of Postgres in this crate's terms.

use std::error::Error as StdError;
use std::sync::Arc;

use bytes::{BufMut as _, BytesMut};
use jiff::Timestamp;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use super::prepared;
use crate::url::chain;
use crate::{Constraint, DbError, Result, Row, Value};

/// Microseconds from 1970 to 2000, from where Postgres counts.
const EPOCH: i64 = 946_684_800_000_000;
/// The first byte of binary `jsonb`.
const JSONB_VERSION: u8 = 1;

type BoxError = Box<dyn StdError + Sync + Send>;

/// The parameters with their types, as unnamed statements want them: naming the types saves the round trip of a
/// `PREPARE` and leaves no statement behind, which is what `PgBouncer`'s transaction mode needs.
pub(super) fn typed(params: &[Value]) -> impl Iterator<Item = (&Value, Type)> {
    params.iter().map(|value| (value, type_of(value)))
}

pub(super) fn type_of(value: &Value) -> Type {
    match value {
        // The server infers it from the context.
        Value::Null => Type::UNKNOWN,
        Value::Bool(_) => Type::BOOL,
        Value::Int(_) => Type::INT8,
        Value::Float(_) => Type::FLOAT8,
        Value::Text(_) => Type::TEXT,
        Value::Bytes(_) => Type::BYTEA,
        Value::Json(_) => Type::JSON,
        Value::Uuid(_) => Type::UUID,
        Value::Timestamp(_) => Type::TIMESTAMPTZ,
    }
}

impl ToSql for Value {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, BoxError> {
        match self {
            Self::Null => return Ok(IsNull::Yes),
            Self::Bool(value) => out.put_u8((*value).into()),
            Self::Int(value) => out.put_i64(*value),
            Self::Float(value) => out.put_f64(*value),
            Self::Text(text) | Self::Json(text) => out.put_slice(text.as_bytes()),
            Self::Bytes(bytes) => out.put_slice(bytes),
            Self::Uuid(id) => out.put_slice(id.as_bytes()),
            Self::Timestamp(at) => out.put_i64(at.as_microsecond() - EPOCH),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, BoxError> {
        match decode(ty, raw) {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(format!(
                "the type {ty} is not supported; cast it in the statement, for instance to text"
            )
            .into()),
            // One bad cell (`infinity`, say) is no reason to lose the other rows; as bytes it fails where it is read.
            Err(_) => Ok(Self::Bytes(raw.to_vec())),
        }
    }

    fn from_sql_null(_: &Type) -> Result<Self, BoxError> {
        Ok(Self::Null)
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// `None` for a type that has no [`Value`].
fn decode(ty: &Type, raw: &[u8]) -> Result<Option<Value>, BoxError> {
    Ok(Some(match *ty {
        Type::BOOL => Value::Bool(raw != [0]),
        Type::INT2 => Value::Int(i16::from_be_bytes(raw.try_into()?).into()),
        Type::INT4 => Value::Int(i32::from_be_bytes(raw.try_into()?).into()),
        Type::INT8 => Value::Int(i64::from_be_bytes(raw.try_into()?)),
        Type::FLOAT4 => Value::Float(f32::from_be_bytes(raw.try_into()?).into()),
        Type::FLOAT8 => Value::Float(f64::from_be_bytes(raw.try_into()?)),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => {
            Value::Text(text(raw)?)
        }
        Type::BYTEA => Value::Bytes(raw.to_vec()),
        Type::JSON => Value::Json(text(raw)?),
        Type::JSONB => match raw.split_first() {
            Some((&JSONB_VERSION, json)) => Value::Json(text(json)?),
            _ => return Err("this version of jsonb is not known".into()),
        },
        Type::UUID => Value::Uuid(Uuid::from_slice(raw)?),
        Type::TIMESTAMPTZ => {
            let micros = i64::from_be_bytes(raw.try_into()?);
            let micros = micros
                .checked_add(EPOCH)
                .ok_or("infinity is not supported")?;
            Value::Timestamp(Timestamp::from_microsecond(micros)?)
        }
        Type::VOID => Value::Null,
        _ => return Ok(None),
    }))
}

fn text(raw: &[u8]) -> Result<String, BoxError> {
    Ok(std::str::from_utf8(raw)?.to_owned())
}

pub(super) fn rows(rows: &[tokio_postgres::Row]) -> Result<Vec<Row>> {
    let mut columns = None;
    rows.iter().map(|next| row(next, &mut columns)).collect()
}

/// `columns` are the names, shared by the rows of one answer: taken from the first.
pub(super) fn row(row: &tokio_postgres::Row, columns: &mut Option<Arc<[String]>>) -> Result<Row> {
    let names = || row.columns().iter().map(|column| column.name().to_owned());
    let columns = columns.get_or_insert_with(|| names().collect());
    let cells = (0..columns.len()).map(|index| {
        row.try_get(index).map_err(|error| DbError::Column {
            column: columns[index].clone(),
            reason: chain(&error),
        })
    });
    Ok(Row::new(Arc::clone(columns), cells.collect::<Result<_>>()?))
}

/// Sorts an error by its SQLSTATE (appendix A of the Postgres manual).
pub(super) fn error(error: &tokio_postgres::Error, database: &str) -> DbError {
    let unavailable = |reason: String| DbError::Unavailable {
        database: database.to_owned(),
        reason,
    };
    let Some(db) = error.as_db_error() else {
        return unavailable(chain(error));
    };
    let message = match db.detail() {
        Some(detail) => format!("{} ({detail})", db.message()),
        None => db.message().to_owned(),
    };
    let conflict = |kind| DbError::Conflict {
        kind,
        constraint: db
            .constraint()
            .or(db.column())
            .unwrap_or_default()
            .to_owned(),
    };
    let code = db.code();
    match code.code().get(..2).unwrap_or_default() {
        _ if *code == SqlState::UNIQUE_VIOLATION => conflict(Constraint::Unique),
        _ if *code == SqlState::FOREIGN_KEY_VIOLATION => conflict(Constraint::ForeignKey),
        _ if *code == SqlState::NOT_NULL_VIOLATION => conflict(Constraint::NotNull),
        _ if prepared::is_missing(error) => DbError::StatementLost {
            database: database.to_owned(),
            reason: message,
        },
        // A transaction cannot go on after it; the next one plans anew.
        _ if prepared::is_outdated(error) => DbError::Contention(message),
        // The wrong number of parameters.
        _ if *code == SqlState::PROTOCOL_VIOLATION => DbError::Invalid(message),
        "23" => conflict(Constraint::Check),
        "40" => DbError::Contention(message),
        // A standby after a failover: wait for the new primary.
        _ if *code == SqlState::READ_ONLY_SQL_TRANSACTION => unavailable(message),
        _ if *code == SqlState::IN_FAILED_SQL_TRANSACTION => DbError::Aborted,
        _ if *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => unavailable(message),
        // authorization, no such database
        "28" | "3D" => DbError::Refused {
            database: database.to_owned(),
            reason: message,
        },
        // connection, resources, operator intervention, system, internal
        "08" | "53" | "57" | "58" | "XX" => unavailable(message),
        _ => DbError::Invalid(format!("{message} [{}]", code.code())),
    }
}

/// Whether the server answered, so that the connection is in step with it.
pub(super) fn was_answered(error: &tokio_postgres::Error) -> bool {
    let is_fatal = |db: &tokio_postgres::error::DbError| {
        use tokio_postgres::error::Severity;
        !matches!(db.parsed_severity(), Some(Severity::Error))
    };
    error.as_db_error().is_some_and(|db| !is_fatal(db))
}
