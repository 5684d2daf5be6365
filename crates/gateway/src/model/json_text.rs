//! An object's JSON, kept as text.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A JSON value as its text, an eighth of what the tree takes: a large change has tens of thousands at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonText(Option<Box<str>>);

impl JsonText {
    /// `null`.
    pub const NULL: Self = Self(None);

    /// The text; none for `null`.
    pub fn as_str(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// The value.
    pub fn value(&self) -> Value {
        let parsed = self.as_str().map(serde_json::from_str);
        parsed.map_or(Value::Null, |parsed| {
            parsed.expect("the text was made of a value")
        })
    }
}

impl From<Value> for JsonText {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            value => Self(Some(value.to_string().into())),
        }
    }
}

impl Serialize for JsonText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for JsonText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::from)
    }
}
