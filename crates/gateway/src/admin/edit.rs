//! What changes of every kind of object have in common: find it, check that it may be changed, read what it
//! should become, write it if it differs.

use std::sync::Arc;

use bastide_config::{Fields, read};
use bastide_rpc::Problem;
use serde_json::Value;
use uuid::Uuid;

use super::call::Call;
use super::configuration::Configuration;
use super::entity_tag;
use super::problem::{self, Code};
use super::reply::Reply;
use crate::declare::ChangeSet;
use crate::model::read::{Object, merge_with_limit, read_only};
use crate::model::{Entity, ManagedBy, State};
use crate::repository::CommitError;

/// An object by its id.
pub(super) fn find<O: Object>(state: &State, id: Uuid) -> Result<Arc<O>, Problem> {
    let kind = match O::ENTITY {
        Entity::Tenant => "tenant",
        Entity::Key => "key",
        Entity::Route => "route",
        Entity::Tiers => "tiers",
    };
    let object = O::all(state).get(&id).cloned();
    object.ok_or_else(|| Code::NotFound.problem(format!("there is no {kind} with the id {id}")))
}

/// Refuses a change to what another version was expected of, or what stands in the declarative file.
pub(super) fn check_changeable<O: Object>(call: &Call, object: &O) -> Result<(), Problem> {
    let stamp = object.stamp();
    entity_tag::check_match(&call.headers, stamp.version)?;
    if stamp.managed_by == ManagedBy::File {
        let detail = "this object stands in the declarative file; change it there, or take it out of the file first";
        return Err(Code::ManagedByFile.problem(detail));
    }
    Ok(())
}

/// Reads a body, or lists every mistake in it.
pub(super) fn validate<T>(
    body: &Value,
    read: impl FnOnce(&mut Fields<'_, '_>) -> Option<T>,
) -> Result<T, Problem> {
    read::tree(body, |node| node.object(read)).map_err(|problems| problem::validation(&problems))
}

/// How a body says what an object should become.
#[derive(Debug)]
pub(super) enum Edit {
    /// As a merge patch (RFC 7396) over what it is now.
    Merge(Value),
    /// Whole; what is left out gets its default.
    Replace(Value),
}

/// Changes an object. `read` makes a draft of the body, `check` compares it with everything else that there is.
pub(super) async fn change<C: Configuration, O: Object>(
    configuration: &C,
    call: &Call,
    current: &O,
    edit: Edit,
    read: impl FnOnce(&mut Fields<'_, '_>) -> Option<O>,
    check: impl FnOnce(&O) -> Result<(), Problem>,
) -> Result<Reply, Problem> {
    check_changeable(call, current)?;
    let public = current.public();
    let body = match edit {
        Edit::Replace(body) => body,
        Edit::Merge(patch @ Value::Object(_)) => {
            let mut merged = public.clone();
            merge_with_limit(&mut merged, patch);
            merged
        }
        // Refused by the reader, with the words for a body that is no object.
        Edit::Merge(other) => other,
    };
    let draft = validate(&body, |fields| {
        read_only(fields, O::READ_ONLY, Some(&public));
        read(fields)
    })?;
    if draft.has_content_of(current) {
        return Ok(Reply::object(current));
    }
    let stamp = current.stamp();
    let after = draft.stamped(stamp.next(stamp.managed_by, call.now));
    check(&after)?;
    let author = call.author();
    let mut changes = ChangeSet::new(&author);
    changes.update("update", current, after.clone());
    commit(configuration, call, changes).await?;
    Ok(Reply::object(&after))
}

/// Writes changes. A version that another change overtook is a failed precondition to who named it, else a
/// conflict.
pub(super) async fn commit<C: Configuration>(
    configuration: &C,
    call: &Call,
    changes: ChangeSet<'_>,
) -> Result<Arc<State>, Problem> {
    configuration
        .commit(changes.into_commit())
        .await
        .map_err(|error| {
            let has_precondition = call.headers.contains_key(http::header::IF_MATCH);
            if has_precondition && matches!(error, CommitError::VersionMismatch(..)) {
                return entity_tag::overtaken();
            }
            error.into()
        })
}
