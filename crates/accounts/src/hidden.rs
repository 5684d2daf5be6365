//! Texts that must not be seen: in columns, and in inputs and answers.

use std::fmt;

use bastide_config::Secret;
use bastide_repo::{Field, Kind, Value};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A column with the hash of a password or the digest of a token. It does not show itself, and does not go out.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Hidden(String);

impl Hidden {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Field for Hidden {
    type Base = String;
    const KIND: Kind = Kind::Text;

    fn to_value(&self) -> Value {
        Value::from(self.0.as_str())
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        String::from_value(value).map(Self)
    }
}

/// A password or token in an input or an answer: JSON text on the wire, `[redacted]` everywhere else.
#[derive(Clone)]
pub struct SecretText(Secret);

impl SecretText {
    /// The secret.
    pub fn secret(&self) -> &Secret {
        &self.0
    }

    /// The text itself. Every use of a secret stands out by this name.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl From<Secret> for SecretText {
    fn from(secret: Secret) -> Self {
        Self(secret)
    }
}

impl From<&str> for SecretText {
    fn from(text: &str) -> Self {
        Self(Secret::new(text))
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose())
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The reader's own message would repeat a password that was given as a number.
        let text = String::deserialize(deserializer);
        let text = text.map_err(|_| serde::de::Error::custom("expected a text"))?;
        Ok(Self(Secret::from(text)))
    }
}

impl JsonSchema for SecretText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SecretText".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": "string", "format": "password" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_of_another_type_is_not_repeated() {
        let error = serde_json::from_str::<SecretText>("12345").unwrap_err();
        assert!(!error.to_string().contains("12345"), "{error}");
        let text: SecretText = serde_json::from_str("\"hunter2\"").unwrap();
        assert_eq!(text.expose(), "hunter2");
        assert_eq!(format!("{text:?}"), "[redacted]");
        assert_eq!(
            format!("{:?}", Hidden::new("hunter2".to_owned())),
            "[redacted]"
        );
    }
}
