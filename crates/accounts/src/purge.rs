//! Removing what is over.

use std::time::Duration;

use bastide_context::Call;
use bastide_repo::{Page, Query, RepoError, TenantTx, Timestamp, Uuid};

use crate::accounts::Accounts;
use crate::entity::{RefreshToken, Session, SessionPlace, SessionPlacePatch};
use crate::error::{AccountError, Result};
use crate::sessions::tenant_of;

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purged {
    /// Sessions that had expired or been ended.
    pub sessions: u64,
    /// Refresh tokens that had expired, or whose session had.
    pub tokens: u64,
    /// Whether there is nothing left that could be removed now. `false`: call again.
    pub is_done: bool,
}

/// A refresh that was let in at a session's last moment is done by then.
const MARGIN: Duration = Duration::from_mins(5);
/// How often a session that goes on is rid of old refresh tokens.
const VISIT: Duration = Duration::from_hours(24);
/// How many refresh tokens are removed of one session at a time.
const TOKENS: u32 = 200;

impl Accounts {
    /// Removes sessions and refresh tokens that are over, of all tenants: looks at `batch` sessions at most (1 to 1 000), each
    /// in a transaction of its own. To be called by the app from time to time, an hour being often enough.
    ///
    /// What has expired is refused without this; the tables only grow. A session that was ended before its time stays until
    /// that time.
    pub async fn purge(&self, call: &Call, batch: u32) -> Result<Purged> {
        let system = Self::system("auth-purge", call);
        let query = Query::new()
            .filter(SessionPlace::DUE_AT.le(self.now() - MARGIN))
            .sort(SessionPlace::DUE_AT.ascending())
            .page(Page::first(batch));
        let due = self.0.places.list(&system, query).await?;
        let mut purged = Purged {
            is_done: due.next.is_none(),
            ..Purged::default()
        };
        for place in due {
            // The tenant is what this program wrote down when the session began.
            let cx = system.for_tenant(tenant_of(&place.tenant)?);
            let visited = self.0.db.transaction(&cx, async |tx| {
                let mut of_this = Purged::default();
                of_this.is_done = self.visit(tx, place.id, &mut of_this).await?;
                Ok::<_, AccountError>(of_this)
            });
            let of_this = visited.await?;
            purged.sessions += of_this.sessions;
            purged.tokens += of_this.tokens;
            purged.is_done &= of_this.is_done;
        }
        Ok(purged)
    }

    /// Whether there is nothing left of it that could be removed now.
    async fn visit(&self, tx: &TenantTx, id: Uuid, purged: &mut Purged) -> Result<bool> {
        let before = self.now() - MARGIN;
        let session = self.0.sessions.find(tx, id).await?;
        let is_over =
            |session: &Session| session.expires_at <= before || session.revoked_at.is_some();
        let is_over = session.as_ref().is_none_or(is_over);
        if !self.purge_tokens(tx, id, is_over, before, purged).await? {
            return Ok(false);
        }
        match session {
            Some(session) if !is_over => {
                let due_at = session.expires_at.min(before + VISIT);
                let patch = SessionPlacePatch {
                    due_at: Some(due_at),
                    ..SessionPlacePatch::default()
                };
                self.0.places.patch(tx, id, patch).await?;
            }
            Some(session) => {
                self.0.sessions.delete(tx, session.id).await?;
                self.0.places.delete(tx, id).await?;
                purged.sessions += 1;
            }
            None => self.0.places.delete(tx, id).await?,
        }
        Ok(true)
    }

    /// Removes tokens of a session, all or those that have expired. `false`: there are more.
    async fn purge_tokens(
        &self,
        tx: &TenantTx,
        session: Uuid,
        is_over: bool,
        before: Timestamp,
        purged: &mut Purged,
    ) -> Result<bool, RepoError> {
        let mut filter = RefreshToken::SESSION_ID.eq(session);
        if !is_over {
            filter = filter.and(RefreshToken::EXPIRES_AT.le(before));
        }
        let query = Query::new().filter(filter).page(Page::first(TOKENS));
        let found = self.0.tokens.list(tx, query).await?;
        let is_last = found.next.is_none();
        for token in found {
            self.0.tokens.delete(tx, token.id).await?;
            purged.tokens += 1;
        }
        Ok(is_last)
    }
}
