//! Sessions: listed, and ended.

use bastide_auth::{LookUpSession, LookedUp, SessionId, SessionRecord, TenantId};
use bastide_context::{Call, Cx, Tenant};
use bastide_repo::{
    Access, Filter, MAX_LIMIT, Page, PerTenant, Query, RepoError, TenantTx, Timestamp, Uuid,
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::accounts::{Accounts, caller, session_id};
use crate::entity::{Session, SessionPatch};
use crate::error::{AccountError, Result};

/// A session as its user sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionInfo {
    /// The id.
    pub id: Uuid,
    /// What the client called itself.
    pub label: Option<String>,
    /// When it began.
    pub began_at: Timestamp,
    /// When it was last refreshed.
    pub last_used_at: Timestamp,
    /// When it ends if it is not refreshed.
    pub expires_at: Timestamp,
    /// Whether it is the one of this call.
    pub is_current: bool,
}

/// How many sessions a list has at most.
const LISTED: u32 = 100;

impl Accounts {
    /// The caller's sessions that are under way, newest first; the newest hundred.
    ///
    /// # Errors
    /// [`AccountError::UserRequired`].
    pub async fn sessions(&self, cx: &Cx<Tenant>) -> Result<Vec<SessionInfo>> {
        let query = Query::new()
            .filter(self.under_way(caller(cx)?))
            .sort(Session::BEGAN_AT.descending())
            .page(Page::first(LISTED));
        let current = cx.identity().and_then(|one| one.session());
        let info = |session: Session| SessionInfo {
            is_current: current.is_some_and(|id| id.as_str() == session.id.to_string()),
            id: session.id,
            label: session.label,
            began_at: session.began_at,
            last_used_at: session.last_used_at,
            expires_at: session.expires_at,
        };
        let found = self.0.sessions.list(cx, query).await?;
        Ok(found.into_iter().map(info).collect())
    }

    /// Ends the session of this call.
    ///
    /// # Errors
    /// [`AccountError::UserRequired`] if the call is in none.
    pub async fn logout(&self, cx: &Cx<Tenant>) -> Result<()> {
        let current = cx.identity().and_then(|one| one.session());
        let current = current.and_then(|id| Uuid::try_parse(id.as_str()).ok());
        self.end(cx, current.ok_or(AccountError::UserRequired)?)
            .await
    }

    /// Ends all of the caller's sessions, that of this call too.
    ///
    /// # Errors
    /// [`AccountError::UserRequired`].
    pub async fn logout_all(&self, cx: &Cx<Tenant>) -> Result<()> {
        let user = caller(cx)?;
        self.0
            .db
            .transaction(cx, async |tx| self.end_all(tx, user, None).await)
            .await
    }

    /// Ends a session of the caller's own; an administrator ends any of the tenant. One that has ended stays so.
    ///
    /// # Errors
    /// [`AccountError::NotFound`], also for a session that the caller may not end.
    pub async fn revoke(&self, cx: &Cx<Tenant>, session: Uuid) -> Result<()> {
        let is_own = |session: &Session| {
            caller(cx).is_ok_and(|user| user == session.user_id)
                || cx.identity().is_none_or(|one| {
                    let mut roles = self.0.options.admin_roles.iter();
                    roles.any(|role| one.has_role(role))
                })
        };
        let found = self.0.sessions.find(cx, session).await?.filter(is_own);
        let session = found.ok_or(AccountError::NotFound("session"))?;
        self.end(cx, session.id).await
    }

    /// The registry's record of a session that is under way, of whatever tenant: what the tables know, for a registry that
    /// does not.
    pub async fn session(&self, call: &Call, id: &SessionId) -> Result<Option<SessionRecord>> {
        // Of one session there is one spelling in the registry.
        let known = Uuid::try_parse(id.as_str()).ok();
        let Some(uuid) = known.filter(|uuid| uuid.to_string() == id.as_str()) else {
            return Ok(None);
        };
        let system = Self::system("auth-look-up", call);
        let Some(place) = self.0.places.find(&system, uuid).await? else {
            return Ok(None);
        };
        // The tenant is what this program wrote down when the session began.
        let cx = system.for_tenant(tenant_of(&place.tenant)?);
        let now = self.now();
        let is_under_way =
            |session: &Session| session.revoked_at.is_none() && session.expires_at > now;
        let session = self.0.sessions.find(&cx, uuid).await?;
        let Some(session) = session.filter(is_under_way) else {
            return Ok(None);
        };
        let user = self.0.users.find(&cx, session.user_id).await?;
        let is_let_in = user.is_some_and(|user| !user.is_disabled);
        Ok(is_let_in.then(|| Self::record(&cx, &session)))
    }

    /// Ends a session: in the registry first, so that what is told to be ended is refused from then on, whatever becomes of
    /// the rest. If the tables are not changed (they are away, the process ends, the transaction is undone), the registry
    /// remembers it for as long as the session could live: it is never looked up again as one that is under way.
    pub(crate) async fn end<'a>(
        &self,
        by: impl Access<'a, PerTenant>,
        session: Uuid,
    ) -> Result<()> {
        let longest = self.0.options.refresh_lifetime;
        let registry = &self.0.registry;
        registry.revoke_for(&session_id(session)?, longest).await?;
        let patch = SessionPatch {
            revoked_at: Some(Some(self.now())),
            ..SessionPatch::default()
        };
        match self.0.sessions.patch(by, session, patch).await {
            Ok(_) | Err(RepoError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends all sessions of a user but this one.
    pub(crate) async fn end_all(
        &self,
        tx: &TenantTx,
        user: Uuid,
        except: Option<Uuid>,
    ) -> Result<()> {
        loop {
            let mut filter = self.under_way(user);
            if let Some(except) = except {
                filter = filter.and(Session::ID.ne(except));
            }
            let query = Query::new().filter(filter).page(Page::first(MAX_LIMIT));
            let found = self.0.sessions.list(tx, query).await?;
            let is_last = found.next.is_none();
            for session in found.rows {
                self.end(tx, session.id).await?;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    fn under_way(&self, user: Uuid) -> Filter<Session> {
        Session::USER_ID
            .eq(user)
            .and(Session::REVOKED_AT.is_null())
            .and(Session::EXPIRES_AT.gt(self.now()))
    }
}

/// For this app's own registry; see [`Accounts::registry`].
impl LookUpSession for Accounts {
    fn look_up(&self, id: &SessionId) -> LookedUp<'_> {
        let id = id.clone();
        Box::pin(async move {
            let found = self.session(&Call::new(), &id).await;
            found.map_err(|error| error.to_string())
        })
    }
}

pub(crate) fn tenant_of(text: &str) -> Result<TenantId> {
    TenantId::parse(text).map_err(|error| AccountError::Internal(error.to_string()))
}
