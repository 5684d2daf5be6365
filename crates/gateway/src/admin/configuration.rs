//! What the Admin API needs of the control plane; a trait, so that tests can hold the configuration in memory.

use std::sync::Arc;

use crate::control::Control;
use crate::keys::Keys;
use crate::model::{Audit, State};
use crate::repository::{AuditQuery, Commit, CommitError};

/// The configuration and the one way to change it. [`Control`] is the one that serves.
pub trait Configuration: Send + Sync {
    /// The configuration as this node knows it.
    fn state(&self) -> Arc<State>;

    /// Learns what others have written, before it would come by itself.
    fn refresh(&self) -> impl Future<Output = Result<(), CommitError>> + Send;

    /// Writes the changes, all or none, and returns a state that includes them.
    fn commit(
        &self,
        commit: Commit,
    ) -> impl Future<Output = Result<Arc<State>, CommitError>> + Send;

    /// A page of the audit log, newest first.
    fn audit(
        &self,
        query: &AuditQuery,
    ) -> impl Future<Output = Result<Vec<Audit>, CommitError>> + Send;

    /// Makes and hashes API keys.
    fn keys(&self) -> &Keys;
}

impl Configuration for Control {
    fn state(&self) -> Arc<State> {
        Self::state(self)
    }

    async fn refresh(&self) -> Result<(), CommitError> {
        Self::sync(self).await
    }

    async fn commit(&self, commit: Commit) -> Result<Arc<State>, CommitError> {
        Self::commit(self, commit).await
    }

    async fn audit(&self, query: &AuditQuery) -> Result<Vec<Audit>, CommitError> {
        Self::audit(self, query).await
    }

    fn keys(&self) -> &Keys {
        Self::keys(self)
    }
}
