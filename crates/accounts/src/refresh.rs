//! The next tokens of a session.

use bastide_auth::{Found, SessionId, SessionRecord};
use bastide_config::Secret;
use bastide_context::{Call, Cx, Tenant};
use bastide_repo::{RepoError, TenantTx};

use crate::accounts::{Accounts, session_id};
use crate::entity::{RefreshToken, RefreshTokenPatch, Session, SessionPatch};
use crate::error::{AccountError, Result};
use crate::login::Tokens;
use crate::refresh_token::{Made, Presented};

/// How often the registry's record is written anew if it changes meanwhile. Who writes it holds the session's row, so that it
/// changes only by being ended or lost.
const TRIES: u32 = 3;

impl Accounts {
    /// Gives the next two tokens for a refresh token, which is used up by that: from then on the access tokens before are
    /// refused everywhere. Roles are those that the user has now.
    ///
    /// A refresh token that was used before, and longer ago than [`Options::reuse_grace`](crate::Options::reuse_grace), has
    /// been in two hands: its session is ended, which ends whatever was refreshed of it too.
    ///
    /// # Errors
    /// [`AccountError::RefreshInvalid`], [`AccountError::RefreshExpired`], [`AccountError::RefreshReused`],
    /// [`AccountError::SessionEnded`].
    pub async fn refresh(&self, call: &Call, token: &Secret) -> Result<Tokens> {
        let presented = Presented::read(token.expose()).ok_or(AccountError::RefreshInvalid)?;
        // The tenant is the one that the token names; nothing comes of it before the token's secret fits a digest there.
        let cx = Self::system("auth-refresh", call).for_tenant(presented.tenant.clone());
        let kept = self.0.tokens.find(&cx, presented.id).await?;
        let kept = kept
            .filter(|kept| presented.fits(&kept.digest))
            .ok_or(AccountError::RefreshInvalid)?;
        let rotated = self
            .0
            .db
            .transaction(&cx, async |tx| self.rotate(tx, &cx, &kept).await)
            .await;
        if let Err(AccountError::RefreshReused) = &rotated {
            tracing::warn!(
                tenant = %cx.tenant(),
                session = %kept.session_id,
                "a refresh token was used twice; its session is ended"
            );
            self.end(&cx, kept.session_id).await?;
        }
        rotated
    }

    async fn rotate(&self, tx: &TenantTx, cx: &Cx<Tenant>, kept: &RefreshToken) -> Result<Tokens> {
        let (now, options) = (self.now(), &self.0.options);
        let gone = |error| match error {
            RepoError::NotFound { .. } => AccountError::RefreshInvalid,
            other => other.into(),
        };
        // Holds the row: what is read from here on is what the refresh before has left.
        let hold = SessionPatch {
            last_used_at: Some(now),
            ..SessionPatch::default()
        };
        let session = self.0.sessions.patch(tx, kept.session_id, hold).await;
        let session = session.map_err(gone)?;
        if session.revoked_at.is_some() {
            return Err(AccountError::SessionEnded);
        }
        let kept = self.0.tokens.find(tx, kept.id).await?;
        let kept = kept.ok_or(AccountError::RefreshInvalid)?;
        if let Some(replaced) = kept.replaced_at {
            let grace = options.reuse_grace;
            if grace.is_zero() || now >= replaced + grace {
                return Err(AccountError::RefreshReused);
            }
        }
        if kept.expires_at <= now || session.expires_at <= now {
            return Err(AccountError::RefreshExpired);
        }
        let user = self.0.users.find(tx, session.user_id).await?;
        let user = user.filter(|user| !user.is_disabled);
        let user = user.ok_or(AccountError::SessionEnded)?;
        // Within the grace it is not the one that was presented.
        let replaced = RefreshTokenPatch {
            replaced_at: Some(Some(now)),
            ..RefreshTokenPatch::default()
        };
        self.0
            .tokens
            .patch(tx, session.refresh_id, replaced)
            .await
            .map_err(gone)?;
        let refresh = Made::new(cx.tenant())?;
        let renewed = SessionPatch {
            refresh_id: Some(refresh.id),
            expires_at: Some(now + options.refresh_lifetime),
            ..SessionPatch::default()
        };
        let session: Session = self.0.sessions.patch(tx, session.id, renewed).await?;
        let tokens = self.hand_out(tx, cx, &user, &session, refresh).await?;
        // Before the commit, while the row is held: the registry sees refreshes in the order in which the database does. If the
        // commit fails, the registry refuses the old access token a little early, and the next refresh mends it.
        let record = Self::record(cx, &session);
        self.put(&session_id(session.id)?, &record).await?;
        Ok(tokens)
    }

    /// Makes this the registry's record of a session, whatever it was, unless the session was ended.
    async fn put(&self, id: &SessionId, record: &SessionRecord) -> Result<()> {
        for _ in 0..TRIES {
            let before = match self.0.registry.find(id).await? {
                Found::Revoked => return Err(AccountError::SessionEnded),
                Found::Active(before) => before,
                // The store has lost it; there is nothing to compare with.
                Found::Unknown => record.clone(),
            };
            if self.0.registry.replace(id, &before, record).await? {
                return Ok(());
            }
        }
        Err(AccountError::Unavailable(
            "the session's record in the shared store cannot be replaced".to_owned(),
        ))
    }
}
