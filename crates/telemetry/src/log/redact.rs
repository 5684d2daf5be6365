//! What must not be seen in a log.

use regex::{Captures, Regex};
use serde_json::Value;
use std::borrow::Cow;

use super::LogError;

/// What stands in place of a redacted value.
pub const REDACTED: &str = "[redacted]";

/// The paths that [`Redaction::standard`] covers.
pub const DEFAULT_PATHS: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "x-api-key",
    "x-admin-key",
    "api-key",
    "admin-api-key",
    "password",
    "passwd",
    "secret",
    "client-secret",
    "private-key",
    "token",
    "access-token",
    "refresh-token",
    "id-token",
    "creditCard.*",
];

/// Texts longer than this are not searched for JSON, and are cut.
const MAX_TEXT: usize = 16 << 10;

/// Paths of values that are replaced by [`REDACTED`].
///
/// - A path is a list of names separated by dots; `*` stands for any one name. It fits at any depth: `headers.authorization`
///   also covers `request.headers.authorization`, and `password` covers every member of that name. All below a fitting value
///   is replaced with it.
/// - Names agree without regard to case, `-` and `_`: `api-key` covers `apiKey` and `API_KEY`.
/// - A list has no names of its own: `users.password` covers `users[3].password`.
/// - It looks into fields that hold JSON as text, and into the names of fields (`headers.authorization = ...`).
/// - In free text (messages, `Debug` output) it covers `name: value` and `name=value` for paths of one name, and the
///   credentials of URLs.
#[derive(Clone, Debug)]
pub struct Redaction {
    patterns: Vec<Vec<String>>,
    assignments: Option<Regex>,
    credentials: Regex,
}

impl Redaction {
    /// Exactly these paths.
    pub fn of<'p>(paths: impl IntoIterator<Item = &'p str>) -> Result<Self, LogError> {
        let patterns = paths
            .into_iter()
            .map(|path| {
                let names: Vec<String> = path
                    .split('.')
                    .map(|name| normal(name).into_owned())
                    .collect();
                let valid = names.iter().all(|name| !name.is_empty())
                    && names.last().is_some_and(|_| names != ["*"]);
                if valid {
                    Ok(names)
                } else {
                    Err(LogError::RedactionPath {
                        found: path.to_owned(),
                    })
                }
            })
            .collect::<Result<Vec<_>, _>>()?;
        let assignments = assignments(&patterns);
        // Up to the last `@` before a blank: a password that was not encoded may hold any character but that.
        let credentials = Regex::new(r"://[^\s@/:]*:[^\s]*@").expect("the expression is constant");
        Ok(Self {
            patterns,
            assignments,
            credentials,
        })
    }

    /// [`DEFAULT_PATHS`].
    pub fn standard() -> Self {
        Self::of(DEFAULT_PATHS.iter().copied()).expect("the paths are constant")
    }

    /// [`DEFAULT_PATHS`] and these.
    pub fn standard_and<'p>(paths: impl IntoIterator<Item = &'p str>) -> Result<Self, LogError> {
        Self::of(DEFAULT_PATHS.iter().copied().chain(paths))
    }

    /// The value of a field as it may be shown.
    pub fn field(&self, name: &str, value: Value) -> Value {
        let mut path: Vec<String> = name
            .split('.')
            .map(|part| normal(part).into_owned())
            .collect();
        if self.covers_any_part(&path) {
            return Value::String(REDACTED.to_owned());
        }
        self.tree(&mut path, value)
    }

    /// A free text as it may be shown.
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let text = cut(text);
        // Every expression has one of these in it, and most texts have neither.
        if !text.contains([':', '=']) {
            return text;
        }
        let text = replace(&self.credentials, text, |_| format!("://{REDACTED}@"));
        match &self.assignments {
            Some(assignments) => replace(assignments, text, |found| {
                let quote = found.get(2).map_or("", |quoted| {
                    if quoted.as_str().starts_with('"') {
                        "\""
                    } else {
                        ""
                    }
                });
                format!("{}{quote}{REDACTED}{quote}", &found[1])
            }),
            None => text,
        }
    }

    fn tree(&self, path: &mut Vec<String>, value: Value) -> Value {
        match value {
            Value::Object(members) => members
                .into_iter()
                .map(|(name, value)| {
                    path.push(normal(&name).into_owned());
                    let shown = if self.covers(path) {
                        REDACTED.into()
                    } else {
                        self.tree(path, value)
                    };
                    path.pop();
                    (name, shown)
                })
                .collect(),
            Value::Array(elements) => elements
                .into_iter()
                .map(|element| self.tree(path, element))
                .collect(),
            Value::String(text) => Value::String(self.string(path, &text)),
            scalar => scalar,
        }
    }

    fn string(&self, path: &mut Vec<String>, text: &str) -> String {
        let looks_like_json = text.starts_with(['{', '[']) && text.len() <= MAX_TEXT;
        match looks_like_json.then(|| serde_json::from_str::<Value>(text)) {
            Some(Ok(inner)) => self.tree(path, inner).to_string(),
            _ => self.text(text).into_owned(),
        }
    }

    /// Whether a pattern fits the end of the path.
    fn covers(&self, path: &[String]) -> bool {
        self.patterns.iter().any(|pattern| {
            path.len() >= pattern.len()
                && path[path.len() - pattern.len()..]
                    .iter()
                    .zip(pattern)
                    .all(|(name, wanted)| wanted == "*" || name == wanted)
        })
    }

    fn covers_any_part(&self, path: &[String]) -> bool {
        (1..=path.len()).any(|length| self.covers(&path[..length]))
    }
}

impl Default for Redaction {
    fn default() -> Self {
        Self::standard()
    }
}

fn normal(name: &str) -> Cow<'_, str> {
    let plain = name
        .bytes()
        .all(|byte| byte != b'-' && byte != b'_' && !byte.is_ascii_uppercase() && byte.is_ascii());
    if plain {
        return Cow::Borrowed(name);
    }
    name.chars()
        .filter(|c| !matches!(c, '-' | '_'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// `name: value` and `name=value`, with quotes around either or not; the value of a cookie goes to the end of the line.
fn assignments(patterns: &[Vec<String>]) -> Option<Regex> {
    let names: Vec<String> = patterns
        .iter()
        .filter(|pattern| pattern.len() == 1)
        .map(|pattern| {
            let letters = pattern[0]
                .chars()
                .map(|c| regex::escape(c.encode_utf8(&mut [0; 4])));
            letters.collect::<Vec<_>>().join("[-_]?")
        })
        .collect();
    if names.is_empty() {
        return None;
    }
    let names = names.join("|");
    let quoted = r#""(?:[^"\\]|\\.)*"?"#;
    let scheme = r"(?:(?:bearer|basic|digest|token)\s+)?";
    let expression = format!(
        r#"(?i)(\b(?:{names})\\?"?\s*(?::|=>?)\s*(?:Some\()?)({quoted}|(?:[a-z0-9_.-]+=[^\s;,]*;\s*)+[^\s,]*|{scheme}[^\s,;&"'}})\]]+)"#
    );
    Some(Regex::new(&expression).expect("the names are escaped"))
}

fn replace<'t>(
    expression: &Regex,
    text: Cow<'t, str>,
    with: impl Fn(&Captures<'_>) -> String,
) -> Cow<'t, str> {
    match expression.replace_all(&text, |found: &Captures<'_>| with(found)) {
        Cow::Borrowed(_) => text,
        Cow::Owned(changed) => Cow::Owned(changed),
    }
}

fn cut(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_TEXT {
        return Cow::Borrowed(text);
    }
    let mut end = MAX_TEXT;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(format!("{}... ({} bytes in all)", &text[..end], text.len()))
}

#[cfg(test)]
mod tests;
