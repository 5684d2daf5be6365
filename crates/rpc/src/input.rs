//! Reading a method's input.

use serde::de::DeserializeOwned;
use serde::{Deserialize as _, Deserializer};
use serde_json::value::RawValue;

use crate::problem::{FieldError, Problem};

/// Reads JSON. Who has nothing to say may say nothing at all, `{}` or `null`: a method that takes an object takes it for an empty
/// one, and a method that takes `()` takes it too, whichever way the call comes.
pub(crate) fn read<I: DeserializeOwned>(bytes: &[u8]) -> Result<I, Problem> {
    let (first, second): (&[u8], &[u8]) = match bytes.trim_ascii() {
        b"" | b"{}" => (b"{}", b"null"),
        b"null" => (b"null", b"{}"),
        _ => return read_as_it_stands(bytes),
    };
    read_as_it_stands(first)
        .or_else(|_| read_as_it_stands(second))
        // What an object lacks is named; that `null` is none helps nobody.
        .or_else(|_| read_as_it_stands(b"{}"))
}

fn read_as_it_stands<I: DeserializeOwned>(bytes: &[u8]) -> Result<I, Problem> {
    serde_json::from_slice(bytes).or_else(|_| read_with_path(bytes))
}

/// The same, and a wrong member is named. To keep the path in mind costs as much as the reading, so it is done only where it is
/// needed.
fn read_with_path<I: DeserializeOwned>(bytes: &[u8]) -> Result<I, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let input = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        if error.is_data() {
            wrong_member(path, &error)
        } else {
            malformed(&error)
        }
    })?;
    reader.end().map_err(|error| malformed(&error))?;
    Ok(input)
}

/// Of a call among others: a `null` is what the caller says, and not the same as nothing.
pub(crate) fn as_it_stands<'de, D>(input: D) -> Result<Option<Box<RawValue>>, D::Error>
where
    D: Deserializer<'de>,
{
    Box::<RawValue>::deserialize(input).map(Some)
}

fn malformed(error: &serde_json::Error) -> Problem {
    let place = format!("the input is not JSON: {error}");
    Problem::new(400, "malformed_body", place)
}

fn wrong_member(path: String, error: &serde_json::Error) -> Problem {
    // The reader's place is that of the text, which says nothing where the input was put together from path and query.
    let message = error.to_string();
    let message = message
        .rsplit_once(" at line ")
        .map_or(message.as_str(), |(text, _)| text);
    let field = if path == "." { String::new() } else { path };
    Problem::invalid_input(vec![FieldError::new(field, message)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Order {
        #[serde(default)]
        note: String,
        #[serde(default)]
        lines: Vec<Line>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Line {
        count: u32,
    }

    #[test]
    fn wrong_members_are_named_by_their_path() {
        let wrong = |json: &str| read::<Order>(json.as_bytes()).unwrap_err().errors()[0].clone();
        let error = wrong(r#"{"lines":[{"count":1},{"count":-1}]}"#);
        assert_eq!(error.field, "lines[1].count");
        assert_eq!(error.message, "invalid value: integer `-1`, expected u32");
        assert_eq!(wrong(r#"{"lines":[{}]}"#).message, "missing field `count`");
        assert_eq!(wrong(r#"{"notes":"x"}"#).field, "notes");
        assert_eq!(wrong("[1]").field, "[0]");
        assert_eq!(wrong("7").field, "");
    }

    #[test]
    fn nothing_to_say_has_three_spellings() {
        let empty = Order {
            note: String::new(),
            lines: Vec::new(),
        };
        for nothing in ["", "{}", "null", " null\n", " "] {
            assert_eq!(
                read::<Order>(nothing.as_bytes()).unwrap(),
                empty,
                "{nothing:?}"
            );
            assert!(read::<()>(nothing.as_bytes()).is_ok(), "{nothing:?}");
            let error = read::<Line>(nothing.as_bytes()).unwrap_err();
            assert_eq!(
                error.errors()[0].message,
                "missing field `count`",
                "{nothing:?}"
            );
        }
        // Where both can be meant, it is as it stands.
        assert_eq!(read::<Option<Order>>(b"null").unwrap(), None);
        assert_eq!(read::<Option<Order>>(b"{}").unwrap(), Some(empty));
        assert!(read::<()>(b"{\"a\":1}").is_err());
    }

    #[test]
    fn what_is_not_json_is_called_that() {
        for bad in ["{", "{}}", "{} {}", "nope", "\u{0}"] {
            assert_eq!(
                read::<Order>(bad.as_bytes()).unwrap_err().code(),
                "malformed_body",
                "{bad}"
            );
        }
        let empty = Order {
            note: String::new(),
            lines: Vec::new(),
        };
        assert_eq!(read::<Order>(b"").unwrap(), empty);
    }
}
