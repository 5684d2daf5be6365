//! Applies the gateway's own file.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::changes::Author;
use super::diff::Diff;
use super::file::Applicable;
use super::plan::{Plan, Scope};
use crate::admin::Configuration;
use crate::keys::Keys;
use crate::model::State;
use crate::repository::CommitError;

/// How often a plan is made anew because something else changed the state meanwhile.
const ATTEMPTS: u32 = 5;

/// Makes everything that the file manages what the file says, in one commit; tells what changed. When anything
/// is wrong with the file, nothing is changed.
///
/// # Errors
/// One line for each mistake, or the one reason why the repository refused.
pub async fn apply_file<C: Configuration>(
    configuration: &C,
    file: &FilePath,
) -> Result<Diff, Vec<String>> {
    let mut attempt = 1;
    loop {
        let state = configuration.state();
        let plan = plan_apart(file, &state, configuration.keys()).await?;
        if plan.commit.changes.is_empty() {
            return Ok(plan.diff);
        }
        match configuration.commit(plan.commit).await {
            Ok(_) => return Ok(plan.diff),
            // Only when this node has learned of the other change is a new plan worth trying.
            Err(CommitError::VersionMismatch(..) | CommitError::NotFound(..))
                if attempt < ATTEMPTS
                    && configuration.refresh().await.is_ok()
                    && configuration.state().revision != state.revision =>
            {
                attempt += 1;
            }
            Err(error) => return Err(vec![format!("{}: {error}", file.display())]),
        }
    }
}

async fn plan_apart(file: &FilePath, state: &Arc<State>, keys: &Keys) -> Result<Plan, Vec<String>> {
    let (file, state, keys) = (PathBuf::from(file), Arc::clone(state), keys.clone());
    let work = move || {
        let applicable = Applicable::load(&file, &state.tiers, &process_environment)?;
        let author = Author {
            actor: "file",
            request_id: None,
            now: jiff::Timestamp::now(),
        };
        applicable.plan(&state, Scope::File, &keys, &author)
    };
    apart(work)
        .await
        .unwrap_or_else(|error| Err(vec![format!("the file cannot be planned: {error}")]))
}

/// Reads and plans on a thread of its own, which ends with that. A large document's tree takes many times the memory of
/// what comes of it; if both were made on one thread, what stays would lie scattered among what goes, and the allocator
/// could give little of it back. And parsing for a second would stop whatever else the runtime has to do.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<T> {
    let (reply, answer) = oneshot::channel();
    std::thread::Builder::new()
        .name("planner".to_owned())
        // Nobody waits any more: then nobody misses it either.
        .spawn(move || drop(reply.send(work())))?;
    answer
        .await
        .map_err(|_| std::io::Error::other("it failed by a mistake of the gateway"))
}

pub(super) fn process_environment(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|_| format!("the environment variable {name} is not set"))
}
