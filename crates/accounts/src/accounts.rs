//! What accounts are made of.

use std::fmt;
use std::sync::Arc;

use bastide_auth::{BindingKey, Claims, Issuer, Passwords, SessionId, SessionRecord, Sessions};
use bastide_context::{Call, Cx, Scope, System, Tenant};
use bastide_repo::{Repo, Schema, TenantDb, Timestamp, Uuid};
use bastide_store::Store;

use crate::attempts::Attempts;
use crate::entity::{RefreshToken, Session, SessionPlace, User};
use crate::error::{AccountError, Result};
use crate::options::{Options, SetUpError};

/// Users, their passwords and their sessions. Cheap to clone.
#[derive(Clone)]
pub struct Accounts(pub(crate) Arc<Inner>);

/// What accounts need.
#[derive(Debug)]
pub struct Parts {
    /// Where the [tables](Accounts::schema) are.
    pub db: TenantDb,
    /// The shared store, in which every app asks for sessions.
    pub store: Store,
    /// Makes access tokens. Lifetime, binding and clock are set here.
    pub issuer: Issuer,
    /// Binds them to their session's refresh token; the verifiers have the same.
    pub binding: BindingKey,
    /// Hashes passwords.
    pub passwords: Arc<Passwords>,
}

pub(crate) struct Inner {
    pub(crate) db: TenantDb,
    pub(crate) users: Repo<User>,
    pub(crate) sessions: Repo<Session>,
    pub(crate) tokens: Repo<RefreshToken>,
    pub(crate) places: Repo<SessionPlace>,
    /// Without a look-up: what is written here is compared with what is there.
    pub(crate) registry: Sessions,
    store: Store,
    pub(crate) issuer: Issuer,
    pub(crate) passwords: Arc<Passwords>,
    pub(crate) attempts: Attempts,
    pub(crate) options: Options,
}

impl Accounts {
    /// Puts accounts together.
    ///
    /// # Errors
    /// [`SetUpError`] for options that make no sense.
    pub fn new(parts: Parts, options: Options) -> Result<Self, SetUpError> {
        options.check()?;
        let Parts {
            db,
            store,
            issuer,
            binding,
            passwords,
        } = parts;
        let issuer = issuer
            .binding(binding)
            .lifetime(options.access_lifetime)
            .clock(options.clock.clone());
        Ok(Self(Arc::new(Inner {
            users: db.repo(),
            sessions: db.repo(),
            tokens: db.repo(),
            places: db.repo(),
            db,
            registry: Sessions::new(&store).clock(options.clock.clone()),
            store,
            issuer,
            passwords,
            attempts: Attempts::new(options.limiter.clone(), options.wrong_passwords),
            options,
        })))
    }

    /// The tables: `auth_users`, `auth_sessions`, `auth_refresh_tokens` and `auth_session_places`. For the program's migrations.
    pub fn schema() -> Schema {
        Schema::new()
            .with::<User>()
            .with::<Session>()
            .with::<RefreshToken>()
            .with::<SessionPlace>()
    }

    /// The registry for this app's own verifier: what the shared store has lost is found again in the tables.
    pub fn registry(&self) -> Sessions {
        Sessions::new(&self.0.store)
            .clock(self.0.options.clock.clone())
            .lookup(self.clone())
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.options.clock.now()
    }

    pub(crate) fn system(name: &'static str, call: &Call) -> Cx<System> {
        Cx::system(name, call.clone())
    }

    /// The registry's record of a session.
    pub(crate) fn record(cx: &Cx<Tenant>, session: &Session) -> SessionRecord {
        SessionRecord {
            user: session.user_id.to_string(),
            refresh: session.refresh_id.to_string(),
            tenant: Some(cx.tenant().clone()),
            expires_at: session.expires_at.as_second(),
        }
    }

    /// An access token of this session, bound to its active refresh token.
    pub(crate) fn access_token(
        &self,
        cx: &Cx<Tenant>,
        user: &User,
        session: &Session,
    ) -> Result<bastide_config::Secret> {
        let mut claims = Claims::new(user.id.to_string())
            .tenant(cx.tenant().as_str())
            .session(session_id(session.id)?, session.refresh_id.to_string());
        for role in &user.roles.0 {
            claims = claims.role(role);
        }
        Ok(self.0.issuer.sign(&claims)?)
    }
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts")
            .field("db", &self.0.db)
            .field("options", &self.0.options)
            .finish_non_exhaustive()
    }
}

/// The registry's name of a session.
pub(crate) fn session_id(id: Uuid) -> Result<SessionId> {
    SessionId::parse(&id.to_string()).map_err(|error| AccountError::Internal(error.to_string()))
}

/// The user who calls.
pub(crate) fn caller<S: Scope>(cx: &Cx<S>) -> Result<Uuid> {
    use bastide_auth::Kind;
    let identity = cx.identity().filter(|one| one.kind() == Kind::User);
    let subject = identity.and_then(|one| Uuid::try_parse(one.subject()).ok());
    subject.ok_or(AccountError::UserRequired)
}
