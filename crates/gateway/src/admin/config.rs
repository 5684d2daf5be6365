//! `/admin/config`: the whole configuration as one declarative document.

use std::sync::Arc;

use bastide_rpc::Problem;
use serde_json::json;
use uuid::Uuid;

use super::call::Call;
use super::configuration::Configuration;
use super::entity_tag;
use super::problem::{self, Code};
use super::reply::Reply;
use crate::declare::{Plan, Scope, apart, export, no_environment, plan, read};
use crate::keys::Keys;
use crate::model::State;
use crate::repository::CommitError;

/// Keys stand in it as hashes. Sent back as it is, it changes nothing.
pub(super) async fn get(configuration: &impl Configuration, call: &Call) -> Result<Reply, Problem> {
    call.parameters(&[])?;
    let state = configuration.state();
    let revision = state.revision;
    let reply = apart(move || Reply::data(export(&state)).written())
        .await
        .map_err(|error| not_done(&error, "shown"))?;
    Ok(reply.tagged(revision).unless_known(call))
}

/// What became of work on another thread that ended without an answer.
fn not_done(error: &std::io::Error, what: &str) -> Problem {
    tracing::error!(%error, "a configuration cannot be {what}");
    Code::Internal.problem(format!(
        "the configuration could not be {what}; the log says why"
    ))
}

/// Makes everything that the API manages what the document says, in one commit, and answers with what changed.
/// With `?dryRun=true` nothing is changed.
pub(super) async fn put(configuration: &impl Configuration, call: &Call) -> Result<Reply, Problem> {
    let parameters = call.parameters(&["dryRun"])?;
    let is_dry_run = parameters
        .value("dryRun", "true or false", |text| text.parse().ok())?
        .unwrap_or(false);
    let state = configuration.state();
    entity_tag::check_match(&call.headers, state.revision)?;
    let work = {
        let (call, keys) = (call.clone(), configuration.keys().clone());
        let state = Arc::clone(&state);
        move || {
            prepare(&call, &state, &keys)
                .map(|plan| (plan.commit, Reply::data(json!(plan.diff)).written()))
        }
    };
    let (commit, reply) = apart(work)
        .await
        .map_err(|error| not_done(&error, "planned"))??;
    if is_dry_run || commit.changes.is_empty() {
        return Ok(reply.tagged(state.revision));
    }
    match configuration.commit(commit).await {
        Ok(state) => Ok(reply.tagged(state.revision)),
        Err(CommitError::VersionMismatch(..))
            if call.headers.contains_key(http::header::IF_MATCH) =>
        {
            Err(entity_tag::overtaken())
        }
        Err(error) => Err(error.into()),
    }
}

/// Reads the document and plans. A large one takes long; for a thread of its own.
fn prepare(call: &Call, state: &State, keys: &Keys) -> Result<Plan, Problem> {
    let declared = {
        let document = call.document()?;
        read(document.value(), &state.tiers, &no_environment)
            .map_err(|problems| problem::document(&document, &problems))?
    };
    plan(
        state,
        &declared,
        Scope::Api,
        keys,
        &call.author(),
        &mut Uuid::now_v7,
    )
    .map_err(|problems| match call.document() {
        Ok(document) => problem::document(&document, &problems),
        // It could be read before.
        Err(problem) => problem,
    })
}
