//! Sizes and times that are written with their unit.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::parse::{units_of_bytes, units_of_time, whole};

pub(crate) const TIME: &str = "a time such as 250ms, 10s, 5m, 2h or 1h30m";
pub(crate) const SIZE: &str = "a number of bytes, such as 65536, 64KiB or 10MB";
/// The formats by which a schema's reader knows the two.
pub(crate) const TIME_FORMAT: &str = "time-span";
pub(crate) const SIZE_FORMAT: &str = "byte-size";

/// A length of time, written as `250ms`, `10s`, `5m`, `2h`, `1d` or `1h30m`. A number without a unit is refused.
///
/// ```
/// use bastide_config::TimeSpan;
/// let span: TimeSpan = serde_json::from_str("\"1m30s\"").unwrap();
/// assert_eq!(span.get().as_secs(), 90);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeSpan(Duration);

/// A number of bytes, written as `65536`, with a decimal unit (`10kB`, `10MB`, `10GB`) or a binary one (`10KiB`, `10MiB`,
/// `10GiB`). Case does not count.
///
/// ```
/// use bastide_config::ByteSize;
/// let size: ByteSize = serde_json::from_str("\"10gb\"").unwrap();
/// assert_eq!(size.get(), 10_000_000_000);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

impl TimeSpan {
    /// Of this length.
    pub const fn new(length: Duration) -> Self {
        Self(length)
    }

    /// Its length.
    pub const fn get(self) -> Duration {
        self.0
    }

    pub(crate) fn read(value: &Value) -> Option<Self> {
        value.as_str().and_then(units_of_time).map(Self)
    }
}

impl ByteSize {
    /// So many bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    pub(crate) fn read(value: &Value) -> Option<Self> {
        let bytes = match value {
            Value::String(text) => units_of_bytes(text),
            Value::Number(number) => whole(number).and_then(|count| u64::try_from(count).ok()),
            _ => None,
        };
        bytes.map(Self)
    }
}

impl<'de> Deserialize<'de> for TimeSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::read(&value).ok_or_else(|| expected(TIME, &value))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::read(&value).ok_or_else(|| expected(SIZE, &value))
    }
}

fn expected<E: Error>(what: &str, value: &Value) -> E {
    E::custom(format!(
        "expected {what}, found {}",
        crate::found::describe(value)
    ))
}

impl JsonSchema for TimeSpan {
    fn schema_name() -> Cow<'static, str> {
        "TimeSpan".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": TIME_FORMAT })
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"], "format": SIZE_FORMAT })
    }
}

impl fmt::Display for TimeSpan {
    /// In the largest unit that has it whole.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let units = [
            (86_400_000, "d"),
            (3_600_000, "h"),
            (60_000, "m"),
            (1_000, "s"),
        ];
        let fits = units
            .into_iter()
            .find(|(unit, _)| millis > 0 && millis.is_multiple_of(*unit));
        let (unit, name) = fits.unwrap_or((1, "ms"));
        write!(f, "{}{name}", millis / unit)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_time_has_a_unit_and_a_size_may_have_one() {
        assert_eq!(
            TimeSpan::read(&json!("5m")),
            Some(TimeSpan::new(Duration::from_mins(5)))
        );
        assert_eq!(TimeSpan::read(&json!(5)), None);
        assert_eq!(ByteSize::read(&json!(5)), Some(ByteSize::new(5)));
        assert_eq!(ByteSize::read(&json!("1KiB")), Some(ByteSize::new(1_024)));
        assert_eq!(ByteSize::read(&json!(-5)), None);
    }

    proptest! {
        #[test]
        fn a_time_is_read_as_it_is_shown(millis in 0_u64..=u64::MAX / 2) {
            let span = TimeSpan::new(Duration::from_millis(millis));
            prop_assert_eq!(TimeSpan::read(&json!(span.to_string())), Some(span));
        }
    }
}
