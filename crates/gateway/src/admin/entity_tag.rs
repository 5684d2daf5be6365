//! Entity tags and the requests that depend on them (RFC 9110, sections 8.8.3 and 13.1).

use http::{HeaderMap, HeaderName, header};

use super::problem::{Code, Problem};

/// The tag of a version.
pub(super) fn of(version: i64) -> String {
    format!("\"{version}\"")
}

/// Refuses a change whose `If-Match` names another version.
pub(super) fn check_match(headers: &HeaderMap, version: i64) -> Result<(), Problem> {
    // Strong comparison: a weak tag equals none.
    if !headers.contains_key(header::IF_MATCH)
        || names(headers, &header::IF_MATCH, &of(version), false)
    {
        return Ok(());
    }
    let detail = format!(
        "If-Match does not name the current version, {}; read the object again",
        of(version)
    );
    Err(Problem::new(Code::PreconditionFailed, detail).with_header(header::ETAG, of(version)))
}

/// Whether the client says that it has this version already.
pub(super) fn is_known(headers: &HeaderMap, version: i64) -> bool {
    names(headers, &header::IF_NONE_MATCH, &of(version), true)
}

fn names(headers: &HeaderMap, header: &HeaderName, tag: &str, weak: bool) -> bool {
    let mut tags = headers
        .get_all(header)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|v| v.split(','));
    tags.any(|given| {
        let given = given.trim();
        let given = if weak {
            given.strip_prefix("W/").unwrap_or(given)
        } else {
            given
        };
        given == "*" || given == tag
    })
}

/// The answer when a change that came in between was only noticed while writing.
pub(super) fn overtaken() -> Problem {
    Problem::new(
        Code::PreconditionFailed,
        "something else was changed meanwhile; read it again",
    )
}
