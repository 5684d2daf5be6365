//! Reading a method's input.

use serde::de::DeserializeOwned;

use crate::problem::{FieldError, Problem};

/// Reads JSON; nothing at all is read as an empty object.
pub(crate) fn read<I: DeserializeOwned>(bytes: &[u8]) -> Result<I, Problem> {
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
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
    Problem::invalid_input(vec![FieldError {
        field,
        message: message.to_owned(),
    }])
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
