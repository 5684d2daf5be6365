//! Pages of lists: `?limit=` (1 to 200, default 50) and `?cursor=`, the `nextCursor` of the page before.
//!
//! Lists are ordered by id, which for ids that the gateway makes (UUID v7) is the order of creation, and a
//! cursor is the last id of its page. So a page never repeats or skips an object that was there all the while,
//! whatever is made or deleted meanwhile.

use std::sync::Arc;

use bastide_rpc::Problem;
use serde_json::Value;
use uuid::Uuid;

use super::call::Parameters;
use crate::model::read::Object;

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 200;

/// Which part of a list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) limit: usize,
    pub(super) cursor: Option<Uuid>,
}

impl Page {
    pub(super) fn of(parameters: &Parameters) -> Result<Self, Problem> {
        let limit = parameters.value("limit", "a whole number from 1 to 200", |text| {
            text.parse()
                .ok()
                .filter(|limit| (1..=MAX_LIMIT).contains(limit))
        })?;
        let cursor = parameters.value("cursor", "the `nextCursor` of another page", |text| {
            text.parse().ok()
        })?;
        Ok(Self {
            limit: limit.unwrap_or(DEFAULT_LIMIT),
            cursor,
        })
    }

    /// The page of `objects`, as a response's body.
    pub(super) fn list<'s, O: Object + 's>(
        self,
        objects: impl Iterator<Item = &'s Arc<O>>,
    ) -> Value {
        let mut objects: Vec<(Uuid, &Arc<O>)> = objects
            .map(|object| (object.stamp().id, object))
            .filter(|(id, _)| self.cursor.is_none_or(|cursor| *id > cursor))
            .collect();
        // Only what may be on the page has to be in order.
        let has_more = objects.len() > self.limit;
        if has_more {
            objects.select_nth_unstable_by_key(self.limit, |(id, _)| *id);
            objects.truncate(self.limit);
        }
        objects.sort_unstable_by_key(|(id, _)| *id);
        let next = objects.last().filter(|_| has_more).map(|(id, _)| *id);
        let data = objects
            .into_iter()
            .map(|(_, object)| object.public())
            .collect();
        body(data, next)
    }
}

/// `{data, nextCursor}`.
pub(super) fn body(data: Vec<Value>, next: Option<Uuid>) -> Value {
    let next = next.map_or(Value::Null, |id| Value::String(id.to_string()));
    Value::Object(
        [
            ("data".to_owned(), Value::Array(data)),
            ("nextCursor".to_owned(), next),
        ]
        .into_iter()
        .collect(),
    )
}
