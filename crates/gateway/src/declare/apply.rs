//! Applies the gateway's own file.

use std::path::Path as FilePath;

use super::changes::Author;
use super::diff::Diff;
use super::file::Applicable;
use super::plan::Scope;
use crate::admin::Configuration;
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
        let applicable = Applicable::load(file, &state.tiers, &process_environment)?;
        let author = Author {
            actor: "file",
            request_id: None,
            now: jiff::Timestamp::now(),
        };
        let plan = applicable.plan(&state, Scope::File, configuration.keys(), &author)?;
        if plan.commit.changes.is_empty() {
            return Ok(plan.diff);
        }
        match configuration.commit(plan.commit).await {
            Ok(_) => return Ok(plan.diff),
            // Only when this node has learned of the other change is a new plan worth trying.
            Err(CommitError::VersionMismatch(..) | CommitError::NotFound(..))
                if attempt < ATTEMPTS && configuration.state().revision != state.revision =>
            {
                attempt += 1;
            }
            Err(error) => return Err(vec![format!("{}: {error}", file.display())]),
        }
    }
}

pub(super) fn process_environment(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|_| format!("the environment variable {name} is not set"))
}
