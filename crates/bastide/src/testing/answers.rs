//! What is compared of two answers, and what is searched in one.

use serde_json::Value as Json;

use super::caller::Reply;
use super::fixtures::Planted;
use bastide_repo::Value;

/// What an answer says, but for what is different each time: the id of its request.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Said {
    Output(Json),
    Problem(u16, String),
}

impl Said {
    pub(super) fn of(reply: &Reply) -> Self {
        match reply.refusal() {
            Some(refusal) => Self::Problem(refusal.status, refusal.code),
            None => Self::Output(serde_json::from_slice(&reply.body).unwrap_or(Json::Null)),
        }
    }
}

/// What of the planted rows stands in an answer: the mark, or an id, unless the caller has said it first.
pub(super) fn marks(reply: &Reply, input: &Json, planted: &Planted) -> Vec<String> {
    let (text, input) = (reply.text(), input.to_string());
    let ids = planted.rows.iter().filter_map(|row| match &row.id {
        Value::Uuid(id) => Some(id.to_string()),
        _ => None,
    });
    let all = ids.chain([planted.mark.clone()]);
    let is_told = |mark: &String| text.contains(mark) && !input.contains(mark);
    all.filter(is_told).collect()
}
