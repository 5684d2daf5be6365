//! How a wrong value is shown back to the person who wrote it.

use serde_json::Value;

const MAX_SHOWN: usize = 60;

/// `"abc"`, `12`, `null`, `a list`, `an object`; long strings are clipped and passwords in URLs left out.
pub(crate) fn describe(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{:?}", clip(&without_password(text))),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(_) | Value::Object(_) => kind(value).to_owned(),
    }
}

/// The kind of a value, without its content.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(text) if text.is_empty() => "an empty string",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// At most 60 characters of a text.
pub(crate) fn clip(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// `scheme://user:***@host` in place of `scheme://user:secret@host`.
///
/// A password may hold any character, also `@` and `/`, so everything from the first `:` after the scheme to the last
/// `@` counts as one.
pub(crate) fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    match rest.rsplit_once('@') {
        Some((credentials, host)) => {
            let user = credentials.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}:***@{host}")
        }
        None => text.to_owned(),
    }
}

/// The known word most like `word`, if one is near enough to be what was meant.
pub(crate) fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let length = word.chars().count();
    if length > MAX_SHOWN {
        return None;
    }
    let word = word.to_lowercase();
    let allowed = (length / 3).max(1);
    known
        .map(|candidate| {
            (
                strsim::osa_distance(&word, &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, _)| *distance <= allowed && *distance < length)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_never_shown() {
        assert_eq!(
            without_password("postgres://bob:p@ss/w:rd@db:5432/x"),
            "postgres://bob:***@db:5432/x"
        );
        assert_eq!(without_password("redis://:pw@host"), "redis://:***@host");
        assert_eq!(without_password("http://host/a"), "http://host/a");
    }

    #[test]
    fn long_text_is_clipped_between_characters() {
        let shown = describe(&Value::String("é".repeat(1000)));
        assert!(shown.chars().count() < 70, "{shown}");
    }

    #[test]
    fn suggestions_are_near() {
        let known = ["upstreams", "method", "path"];
        assert_eq!(nearest("upstreem", known.into_iter()), Some("upstreams"));
        assert_eq!(nearest("METHOD", known.into_iter()), Some("method"));
        assert_eq!(nearest("colour", known.into_iter()), None);
    }
}
