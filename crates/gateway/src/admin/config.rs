//! `/admin/config`: the whole configuration as one declarative document.

use serde_json::json;
use uuid::Uuid;

use super::call::Call;
use super::configuration::Configuration;
use super::entity_tag;
use super::problem::Problem;
use super::reply::Reply;
use crate::declare::{Scope, export, no_environment, plan, read};
use crate::repository::CommitError;

/// Keys stand in it as hashes. Sent back as it is, it changes nothing.
pub(super) fn get(configuration: &impl Configuration, call: &Call) -> Result<Reply, Problem> {
    call.parameters(&[])?;
    let state = configuration.state();
    Ok(Reply::data(export(&state))
        .tagged(state.revision)
        .unless_known(call))
}

/// Makes everything that the API manages what the document says, in one commit, and answers with what changed.
/// With `?dryRun=true` nothing is changed.
pub(super) async fn put(configuration: &impl Configuration, call: &Call) -> Result<Reply, Problem> {
    let parameters = call.parameters(&["dryRun"])?;
    let is_dry_run = parameters
        .value("dryRun", "true or false", |text| text.parse().ok())?
        .unwrap_or(false);
    let document = call.document()?;
    let state = configuration.state();
    entity_tag::check_match(&call.headers, state.revision)?;
    let refuse = |problems| Problem::document(&document, &problems);
    let declared = read(document.value(), &state.tiers, &no_environment).map_err(refuse)?;
    let author = call.author();
    let plan = plan(
        &state,
        &declared,
        Scope::Api,
        configuration.keys(),
        &author,
        &mut Uuid::now_v7,
    )
    .map_err(refuse)?;
    let reply = Reply::data(json!(plan.diff));
    if is_dry_run || plan.commit.changes.is_empty() {
        return Ok(reply.tagged(state.revision));
    }
    match configuration.commit(plan.commit).await {
        Ok(state) => Ok(reply.tagged(state.revision)),
        Err(CommitError::VersionMismatch(..))
            if call.headers.contains_key(http::header::IF_MATCH) =>
        {
            Err(entity_tag::overtaken())
        }
        Err(error) => Err(error.into()),
    }
}
