//! Small grammars that several readers share: methods, header fields, identifiers, times.

use bastide_config::{Node, parse};
use bastide_routing::MethodFilter;
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::object::in_microseconds;

const MAX_HEADER_NAME: usize = 128;
const MAX_HEADER_VALUE: usize = 8 * 1024;

/// What a mistyped method was probably meant to be.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Fields that belong to one connection or to the framing (RFC 9110, section 7.6.1; RFC 9112, section 6): the
/// gateway writes them itself, and a route that could would be able to desynchronise a connection.
const FRAMING_FIELDS: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields of responses that the gateway writes itself, whatever the upstream says: a change would not be honoured, or make
/// two of one.
const OWN_RESPONSE_FIELDS: [&str; 6] = [
    "ratelimit",
    "ratelimit-policy",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-request-id",
];

/// The known word most like `word`, if one is near.
pub(super) fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    known
        .map(|candidate| (edits(word, candidate), candidate))
        .filter(|(edits, candidate)| *edits <= 2 && *edits < candidate.len().min(word.len()))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Edit distance of short words (Levenshtein 1966, with the two-row table of Wagner and Fischer).
fn edits(one: &str, other: &str) -> usize {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let substituted = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[other.len()]
}

/// A method that a route can serve, in upper case.
pub(super) fn check_method(text: &str) -> Result<(), String> {
    let why = match MethodFilter::parse(text) {
        Ok(MethodFilter::One(_)) => return Ok(()),
        Ok(MethodFilter::Any) => "expected one method".to_owned(),
        Err(error) => error.to_string(),
    };
    let upper = text.to_ascii_uppercase();
    let meant = METHODS
        .into_iter()
        .find(|method| *method == upper || is_slip(&upper, method));
    Err(meant.map_or(why.clone(), |meant| format!("{why}; did you mean {meant}?")))
}

/// One letter too many, missing or wrong, or two exchanged.
fn is_slip(text: &str, meant: &str) -> bool {
    let sorted = |word: &str| {
        let mut letters = word.as_bytes().to_vec();
        letters.sort_unstable();
        letters
    };
    edits(text, meant) == 1 || sorted(text) == sorted(meant)
}

/// As [`check_method`], for a value.
pub(super) fn one_method(mut node: Node<'_, '_>) -> Option<String> {
    let Value::String(text) = node.value() else {
        return node.expected("a method such as GET");
    };
    match check_method(text) {
        Ok(()) => Some(text.clone()),
        Err(message) => node.reject(message),
    }
}

/// Where a header field is to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderUse {
    /// Set on the request: here alone `Host` may stand.
    SetRequest,
    /// Every other change of the request.
    Request,
    /// Every change of the response.
    Response,
}

/// The name of a header field that a route may change.
pub(super) fn check_header_name(name: &str, used: HeaderUse) -> Result<(), String> {
    let is_token = (1..=MAX_HEADER_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
    if !is_token {
        return Err(format!(
            "expected the name of a header field: 1 to {MAX_HEADER_NAME} letters, digits or `-`"
        ));
    }
    let lower = name.to_ascii_lowercase();
    if FRAMING_FIELDS.contains(&lower.as_str()) {
        return Err(format!(
            "`{name}` frames the message or belongs to one connection; the gateway writes it itself"
        ));
    }
    if used == HeaderUse::Response && OWN_RESPONSE_FIELDS.contains(&lower.as_str()) {
        return Err(format!(
            "`{name}` is the gateway's own on a response and cannot be changed; leave it out"
        ));
    }
    if lower == "host" && used != HeaderUse::SetRequest {
        return Err(
            "`Host` is always there; it can only be replaced, by `request.headers.set`".to_owned(),
        );
    }
    Ok(())
}

/// The value of a header field (RFC 9110, section 5.5).
pub(super) fn header_value(mut node: Node<'_, '_>) -> Option<String> {
    let Value::String(text) = node.value() else {
        return node.expected("a string");
    };
    if text.len() > MAX_HEADER_VALUE {
        return node.reject(format!(
            "expected at most {MAX_HEADER_VALUE} bytes, found {}",
            text.len()
        ));
    }
    if text.chars().any(|c| c.is_control() && c != '\t') {
        return node
            .reject("a header field's value cannot hold line breaks or other control characters");
    }
    if text.trim_matches([' ', '\t']).len() != text.len() {
        return node.reject("a header field's value cannot begin or end with a blank");
    }
    Some(text.clone())
}

/// A UUID in its usual form.
pub(crate) fn uuid(node: Node<'_, '_>) -> Option<Uuid> {
    let convert = |text: &str| (text.len() == 36).then(|| text.parse().ok()).flatten();
    parse::from_text(
        "a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057",
        convert,
    )(node)
}

/// A moment with its offset from UTC (RFC 3339). What is finer than a database keeps is cut off at once.
pub(crate) fn timestamp(node: Node<'_, '_>) -> Option<Timestamp> {
    parse::from_text("a time such as 2030-01-31T12:00:00Z", |text| {
        text.parse().ok().map(in_microseconds)
    })(node)
}
