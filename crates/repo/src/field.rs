//! What a column can hold, and the Rust types for it.

use std::fmt::Debug;

use bastide_db::{DbError, Dialect, FromValue, Row, Value};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use uuid::Uuid;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// True or false.
    Bool,
    /// A 64-bit integer.
    Int,
    /// A 64-bit floating-point number.
    Float,
    /// Text.
    Text,
    /// Raw bytes.
    Bytes,
    /// A JSON document.
    Json,
    /// An identifier.
    Uuid,
    /// A moment, to the microsecond.
    Timestamp,
}

impl Kind {
    /// The column's type in SQL.
    pub fn sql(self, dialect: Dialect) -> &'static str {
        match (dialect, self) {
            (Dialect::Postgres, Self::Bool) => "boolean",
            (Dialect::Postgres, Self::Int) => "bigint",
            (Dialect::Postgres, Self::Float) => "double precision",
            (Dialect::Postgres, Self::Text) => "text",
            (Dialect::Postgres, Self::Bytes) => "bytea",
            (Dialect::Postgres, Self::Json) => "jsonb",
            (Dialect::Postgres, Self::Uuid) => "uuid",
            (Dialect::Postgres, Self::Timestamp) => "timestamp with time zone",
            (Dialect::Sqlite, Self::Bool | Self::Int) => "INTEGER",
            (Dialect::Sqlite, Self::Float) => "REAL",
            (Dialect::Sqlite, Self::Bytes) => "BLOB",
            (Dialect::Sqlite, Self::Text | Self::Json | Self::Uuid | Self::Timestamp) => "TEXT",
        }
    }

    /// The cell as JSON; `SQLite` has fewer types than there are kinds.
    pub(crate) fn to_json(self, value: &Value) -> serde_json::Value {
        use serde_json::Value as Json;
        match (value, self) {
            (Value::Null, _) => Json::Null,
            (Value::Int(value), Self::Bool) => Json::Bool(*value != 0),
            (Value::Int(value), Self::Float) => Json::from(*value as f64),
            (Value::Text(text) | Value::Json(text), Self::Json) => {
                serde_json::from_str(text).unwrap_or(Json::Null)
            }
            (Value::Bool(value), _) => Json::Bool(*value),
            (Value::Int(value), _) => Json::from(*value),
            (Value::Float(value), _) => Json::from(*value),
            (Value::Text(text) | Value::Json(text), _) => Json::from(text.as_str()),
            (Value::Bytes(bytes), _) => {
                use base64::Engine as _;
                Json::from(base64::engine::general_purpose::STANDARD.encode(bytes))
            }
            (Value::Uuid(id), _) => Json::from(id.to_string()),
            (Value::Timestamp(at), _) => Json::from(format!("{at:.6}")),
        }
    }
}

/// A Rust type that a column can hold. It can be implemented for others, by way of one of these.
pub trait Field: Debug + Clone + Send + Sync + Sized + 'static {
    /// The type without the possibility of being absent.
    type Base: Into<Value>;

    /// What the column holds.
    const KIND: Kind;
    /// Whether it may be absent.
    const IS_NULLABLE: bool = false;

    /// The value for a statement.
    fn to_value(&self) -> Value;

    /// The value of a cell.
    ///
    /// # Errors
    /// What was expected and what was found, as a clause.
    fn from_value(value: &Value) -> Result<Self, String>;
}

macro_rules! fields {
    ($($ty:ty => $kind:ident;)*) => {$(
        impl Field for $ty {
            type Base = Self;
            const KIND: Kind = Kind::$kind;

            fn to_value(&self) -> Value {
                Value::from(self.clone())
            }

            fn from_value(value: &Value) -> Result<Self, String> {
                FromValue::from_value(value)
            }
        }
    )*};
}

fields! {
    bool => Bool;
    i64 => Int;
    f64 => Float;
    String => Text;
    Vec<u8> => Bytes;
    Uuid => Uuid;
    Timestamp => Timestamp;
}

impl Field for i32 {
    type Base = Self;
    const KIND: Kind = Kind::Int;

    fn to_value(&self) -> Value {
        Value::from(*self)
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        let wide: i64 = FromValue::from_value(value)?;
        Self::try_from(wide).map_err(|_| format!("expected a 32-bit integer, found {wide}"))
    }
}

impl Field for serde_json::Value {
    type Base = Json;
    const KIND: Kind = Kind::Json;

    fn to_value(&self) -> Value {
        Value::Json(self.to_string())
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        let text: &str = FromValue::from_value(value)?;
        serde_json::from_str(text).map_err(|error| format!("expected JSON: {error}"))
    }
}

/// A document as a parameter.
#[derive(Debug, Clone)]
pub struct Json(serde_json::Value);

impl From<serde_json::Value> for Json {
    fn from(document: serde_json::Value) -> Self {
        Self(document)
    }
}

impl From<Json> for Value {
    fn from(json: Json) -> Self {
        Self::Json(json.0.to_string())
    }
}

impl<T: Field> Field for Option<T> {
    type Base = T::Base;
    const KIND: Kind = T::KIND;
    const IS_NULLABLE: bool = true;

    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::to_value)
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Null => Ok(None),
            value => T::from_value(value).map(Some),
        }
    }
}

/// Reads a field from a row; what the derive macro calls.
pub fn read<T: Field>(row: &Row, column: &str) -> Result<T, DbError> {
    T::from_value(row.value(column)?).map_err(|reason| DbError::Column {
        column: column.to_owned(),
        reason,
    })
}

/// What a patch has for a field that was given, `null` included: not given is `None`. What the derive macro calls.
pub fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A foreign key, that may be absent or not.
pub trait Key<I> {
    /// The id that is referred to.
    fn key(&self) -> Option<I>;
}

impl<I: Clone> Key<I> for I {
    fn key(&self) -> Option<I> {
        Some(self.clone())
    }
}

impl<I: Clone> Key<I> for Option<I> {
    fn key(&self) -> Option<I> {
        self.clone()
    }
}
