//! Values that go into statements and come out of rows, the same for both databases.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::{DbError, Result};

/// A parameter or a cell.
///
/// | variant | Postgres | `SQLite` |
/// |---|---|---|
/// | `Bool` | `boolean` | `INTEGER` 0 or 1 |
/// | `Int` | `bigint` (`int`, `smallint` when read) | `INTEGER` |
/// | `Float` | `double precision` (`real` when read) | `REAL` |
/// | `Text` | `text`, `varchar`, `char`, `name` | `TEXT` |
/// | `Bytes` | `bytea` | `BLOB` |
/// | `Json` | `json`, `jsonb` | `TEXT` |
/// | `Uuid` | `uuid` | `TEXT`, hyphenated, lower case |
/// | `Timestamp` | `timestamptz` | `TEXT`, RFC 3339 with microseconds, UTC, so that it sorts |
///
/// Timestamps are kept to the microsecond; what is finer is cut off on both databases.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Absent. Its type follows from where it is used.
    Null,
    /// True or false.
    Bool(bool),
    /// Any integer.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// Text. Postgres cannot keep the character U+0000.
    Text(String),
    /// Raw bytes.
    Bytes(Vec<u8>),
    /// A JSON document as text; make it with [`Value::json`].
    Json(String),
    /// An identifier.
    Uuid(Uuid),
    /// A moment.
    Timestamp(Timestamp),
}

impl Value {
    /// A value as a JSON document.
    ///
    /// # Errors
    /// [`DbError::Invalid`] when the value has no JSON form (for instance a map whose keys are not text).
    pub fn json(value: &impl Serialize) -> Result<Self> {
        serde_json::to_string(value)
            .map(Self::Json)
            .map_err(|error| DbError::Invalid(format!("the value has no JSON form: {error}")))
    }

    /// Like [`Value::json`], [`Value::Null`] for `None`.
    pub fn json_opt(value: Option<&impl Serialize>) -> Result<Self> {
        value.map_or(Ok(Self::Null), Self::json)
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Json(_) => "JSON",
            Self::Uuid(_) => "a UUID",
            Self::Timestamp(_) => "a timestamp",
        }
    }
}

macro_rules! into_value {
    ($($from:ty => |$value:ident| $to:expr;)*) => {$(
        impl From<$from> for Value {
            fn from($value: $from) -> Self { $to }
        }
    )*};
}

into_value! {
    bool => |value| Self::Bool(value);
    i64 => |value| Self::Int(value);
    i32 => |value| Self::Int(value.into());
    u32 => |value| Self::Int(value.into());
    u16 => |value| Self::Int(value.into());
    f64 => |value| Self::Float(value);
    String => |value| Self::Text(value);
    &str => |value| Self::Text(value.to_owned());
    &String => |value| Self::Text(value.clone());
    Vec<u8> => |value| Self::Bytes(value);
    Uuid => |value| Self::Uuid(value);
    Timestamp => |value| Self::Timestamp(value);
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Parameters of a statement: `values![id, name, None::<i64>]`.
#[macro_export]
macro_rules! values {
    ($($value:expr),* $(,)?) => { [$($crate::Value::from($value)),*] };
}

/// What a cell can be read as.
pub trait FromValue<'a>: Sized {
    /// Reads the cell.
    ///
    /// # Errors
    /// What was expected and what was found, as a clause for [`DbError::Column`].
    fn from_value(value: &'a Value) -> Result<Self, String>;
}

fn unexpected<T>(expected: &str, found: &Value) -> Result<T, String> {
    Err(format!("expected {expected}, found {}", found.kind()))
}

impl<'a> FromValue<'a> for &'a Value {
    fn from_value(value: &'a Value) -> Result<Self, String> {
        Ok(value)
    }
}

impl<'a> FromValue<'a> for &'a str {
    fn from_value(value: &'a Value) -> Result<Self, String> {
        match value {
            Value::Text(text) | Value::Json(text) => Ok(text),
            other => unexpected("text", other),
        }
    }
}

impl FromValue<'_> for String {
    fn from_value(value: &Value) -> Result<Self, String> {
        <&str>::from_value(value).map(str::to_owned)
    }
}

impl<'a> FromValue<'a> for &'a [u8] {
    fn from_value(value: &'a Value) -> Result<Self, String> {
        match value {
            Value::Bytes(bytes) => Ok(bytes),
            other => unexpected("bytes", other),
        }
    }
}

impl FromValue<'_> for Vec<u8> {
    fn from_value(value: &Value) -> Result<Self, String> {
        <&[u8]>::from_value(value).map(<[u8]>::to_vec)
    }
}

impl FromValue<'_> for bool {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Bool(value) => Ok(*value),
            Value::Int(0) => Ok(false),
            Value::Int(1) => Ok(true),
            other => unexpected("a boolean", other),
        }
    }
}

impl FromValue<'_> for i64 {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Int(value) => Ok(*value),
            other => unexpected("an integer", other),
        }
    }
}

impl FromValue<'_> for f64 {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Float(value) => Ok(*value),
            Value::Int(value) => Ok(*value as Self),
            other => unexpected("a number", other),
        }
    }
}

impl FromValue<'_> for Uuid {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Uuid(id) => Ok(*id),
            Value::Text(text) => text
                .parse()
                .map_err(|_| format!("expected a UUID, found {text:?}")),
            other => unexpected("a UUID", other),
        }
    }
}

impl FromValue<'_> for Timestamp {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Timestamp(at) => Ok(*at),
            Value::Text(text) => text
                .parse()
                .map_err(|_| format!("expected an RFC 3339 timestamp, found {text:?}")),
            other => unexpected("a timestamp", other),
        }
    }
}

impl<'a, T: FromValue<'a>> FromValue<'a> for Option<T> {
    fn from_value(value: &'a Value) -> Result<Self, String> {
        match value {
            Value::Null => Ok(None),
            value => T::from_value(value).map(Some),
        }
    }
}

/// One row of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    columns: Arc<[String]>,
    cells: Vec<Value>,
}

impl Row {
    pub(crate) fn new(columns: Arc<[String]>, cells: Vec<Value>) -> Self {
        Self { columns, cells }
    }

    /// The cell under this name as it came.
    ///
    /// # Errors
    /// [`DbError::Column`] when the statement selects no such column.
    pub fn value(&self, column: &str) -> Result<&Value> {
        let position = self.columns.iter().position(|name| name == column);
        position
            .and_then(|index| self.cells.get(index))
            .ok_or_else(|| DbError::Column {
                column: column.to_owned(),
                reason: format!(
                    "not selected; the statement selects {}",
                    self.columns.join(", ")
                ),
            })
    }

    /// The cell under this name, as the type that is asked for.
    ///
    /// # Errors
    /// [`DbError::Column`] when there is no such column or it holds something else.
    pub fn get<'a, T: FromValue<'a>>(&'a self, column: &str) -> Result<T> {
        T::from_value(self.value(column)?).map_err(|reason| DbError::Column {
            column: column.to_owned(),
            reason,
        })
    }

    /// The JSON document under this name, decoded.
    ///
    /// # Errors
    /// [`DbError::Column`] when it is absent, not JSON or not of this shape.
    pub fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T> {
        decode(column, self.get(column)?)
    }

    /// Like [`Row::json`], `None` for an absent one.
    pub fn json_opt<T: DeserializeOwned>(&self, column: &str) -> Result<Option<T>> {
        self.get::<Option<&str>>(column)?
            .map(|text| decode(column, text))
            .transpose()
    }
}

fn decode<T: DeserializeOwned>(column: &str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| DbError::Column {
        column: column.to_owned(),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[(&str, Value)]) -> Row {
        let columns = cells.iter().map(|(name, _)| (*name).to_owned()).collect();
        Row::new(
            columns,
            cells.iter().map(|(_, value)| value.clone()).collect(),
        )
    }

    #[test]
    fn cells_are_read_by_name_and_type() {
        let id = Uuid::from_u128(7);
        let row = row(&[
            ("id", id.into()),
            ("name", "x".into()),
            ("gone", Value::Null),
            ("on", Value::Int(1)),
        ]);
        assert_eq!(row.get::<Uuid>("id").unwrap(), id);
        assert_eq!(row.get::<&str>("name").unwrap(), "x");
        assert_eq!(row.get::<Option<i64>>("gone").unwrap(), None);
        assert!(row.get::<bool>("on").unwrap());
    }

    #[test]
    fn a_wrong_type_names_the_column_and_both_types() {
        let row = row(&[("n", "seven".into())]);
        assert_eq!(
            row.get::<i64>("n").unwrap_err().to_string(),
            "column `n`: expected an integer, found text"
        );
        assert_eq!(
            row.get::<i64>("m").unwrap_err().to_string(),
            "column `m`: not selected; the statement selects n"
        );
        assert!(row.json::<Vec<u8>>("n").is_err());
    }
}
