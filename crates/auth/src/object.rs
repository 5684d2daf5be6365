//! The JSON of a token's header and claims, read by hand: a derived reader would take an array for an object.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::error::AuthError;

/// A JSON object in which no name stands twice: of two values, two readers would take different ones.
pub(crate) struct Object(Map<String, Value>);

impl Object {
    pub(crate) fn read(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, AuthError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(AuthError::Invalid("a claim is not a text")),
        }
    }

    /// One text or several; `spaced`: one text with spaces between them.
    pub(crate) fn texts(&self, name: &str, spaced: bool) -> Result<Vec<String>, AuthError> {
        const WRONG: AuthError =
            AuthError::Invalid("a claim is neither a text nor a list of texts");
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::String(text)) if spaced => {
                Ok(text.split_ascii_whitespace().map(str::to_owned).collect())
            }
            Some(Value::String(text)) => Ok(vec![text.clone()]),
            Some(Value::Array(list)) => {
                let texts = list.iter().map(|one| one.as_str().map(str::to_owned));
                texts.collect::<Option<_>>().ok_or(WRONG)
            }
            Some(_) => Err(WRONG),
        }
    }

    /// Seconds since 1970, with a fraction or without (`NumericDate`, RFC 7519, 2).
    pub(crate) fn date(&self, name: &str) -> Result<Option<i64>, AuthError> {
        const WRONG: AuthError = AuthError::Invalid("a time is not a number of seconds");
        // The last second of the year 9999, and the largest that the time type knows.
        const MAX: f64 = 253_402_207_200.0;
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                Some(seconds) if (0.0..=MAX).contains(&seconds) => Ok(Some(seconds as i64)),
                _ => Err(WRONG),
            },
        }
    }

    /// `cnf.fp`: what the token is bound to.
    pub(crate) fn fingerprint(&self) -> Result<Option<String>, AuthError> {
        match self.0.get("cnf") {
            None => Ok(None),
            Some(Value::Object(cnf)) => match cnf.get("fp") {
                None => Ok(None),
                Some(Value::String(text)) => Ok(Some(text.clone())),
                Some(_) => Err(AuthError::Invalid("`cnf.fp` is not a text")),
            },
            Some(_) => Err(AuthError::Invalid("`cnf` is not an object")),
        }
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Object, A::Error> {
                let mut object = Map::new();
                while let Some((name, value)) = members.next_entry::<String, Value>()? {
                    if object.insert(name, value).is_some() {
                        return Err(de::Error::custom("a name stands twice"));
                    }
                }
                Ok(Object(object))
            }
        }
        deserializer.deserialize_map(Members)
    }
}
