//! Requests that depend on a version (RFC 9110, section 13.1).

use bastide_rpc::{EntityTag, Problem};
use http::{HeaderMap, header};

use super::problem::Code;

/// Refuses a change whose `If-Match` names another version.
pub(super) fn check_match(headers: &HeaderMap, version: i64) -> Result<(), Problem> {
    let tag = EntityTag::of_version(version);
    if tag.is_expected(headers) {
        return Ok(());
    }
    let detail = format!(
        "If-Match does not name the current version, {}; read the object again",
        tag.as_str()
    );
    Err(Code::PreconditionFailed
        .problem(detail)
        .field(header::ETAG, tag.to_value()))
}

/// The answer when a change that came in between was only noticed while writing.
pub(super) fn overtaken() -> Problem {
    Code::PreconditionFailed.problem("something else was changed meanwhile; read it again")
}
