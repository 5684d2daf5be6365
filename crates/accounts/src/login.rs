//! Signing in.

use bastide_auth::TenantId;
use bastide_context::{Call, Cx, Tenant};
use bastide_repo::{TenantTx, Uuid};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::accounts::{Accounts, session_id};
use crate::email::Email;
use crate::entity::{RefreshToken, Session, SessionPlace, User};
use crate::error::{AccountError, Result};
use crate::hidden::{Hidden, SecretText};
use crate::refresh_token::Made;

/// What is said to sign in.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// In which tenant.
    #[schemars(with = "String")]
    pub tenant: TenantId,
    /// The address.
    pub email: String,
    /// The password.
    pub password: SecretText,
    /// How the session shall be called in lists, as `Firefox on Linux`; at most 200 characters. The user alone is told.
    #[serde(default)]
    pub label: Option<String>,
}

/// What a client has of a session; named as in RFC 6749, 5.1.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Tokens {
    /// To be shown with each call.
    pub access_token: SecretText,
    /// `Bearer`.
    pub token_type: &'static str,
    /// For how many seconds the access token counts, unless the session ends before.
    pub expires_in: u64,
    /// For the next two tokens. It works once.
    pub refresh_token: SecretText,
    /// For how many seconds.
    pub refresh_expires_in: u64,
    /// The session's id.
    pub session: Uuid,
}

const MAX_LABEL: usize = 200;

impl Accounts {
    /// Begins a session for who knows the password.
    ///
    /// An unknown address, a wrong password and a disabled user get one answer, and one hash is verified for each.
    ///
    /// # Errors
    /// [`AccountError::Credentials`], [`AccountError::TooManyAttempts`], [`AccountError::Busy`], [`AccountError::Input`].
    pub async fn login(&self, call: &Call, login: Login) -> Result<Tokens> {
        let Login {
            tenant,
            email,
            password,
            label,
        } = login;
        let email = Email::parse(&email)?;
        check_label(label.as_deref())?;
        // Nobody is known yet, so the tenant is the one that the request names. That is sound because nothing comes of it but a
        // session of the user whom the password proves: everything is looked for in this one tenant, and a stranger who names
        // it gets the same answer whatever stands there.
        let cx = Self::system("auth-login", call).for_tenant(tenant);
        let attempt = self.0.attempts.begin(cx.tenant(), &email).await?;
        let result = self.sign_in(&cx, &email, &password, label).await;
        attempt.end(&result);
        result
    }

    async fn sign_in(
        &self,
        cx: &Cx<Tenant>,
        email: &Email,
        password: &SecretText,
        label: Option<String>,
    ) -> Result<Tokens> {
        let (users, passwords) = (&self.0.users, &self.0.passwords);
        let wanted = bastide_repo::Query::new().filter(User::EMAIL.eq(email.as_str()));
        let user = users.list(cx, wanted).await?.into_iter().next();
        let kept = user.as_ref().map(|user| user.password_hash.expose());
        let fits = passwords.verify(password.secret(), kept).await?;
        let user = user.filter(|user| fits && !user.is_disabled);
        let user = user.ok_or(AccountError::Credentials)?;
        let renewed = if passwords.is_outdated(user.password_hash.expose()) {
            Some(Hidden::new(passwords.hash(password.secret()).await?))
        } else {
            None
        };
        self.0
            .db
            .transaction(cx, async |tx| {
                let user = self.hold_proved(tx, &user, renewed).await?;
                self.begin_session(tx, cx, &user, label).await
            })
            .await
    }

    async fn begin_session(
        &self,
        tx: &TenantTx,
        cx: &Cx<Tenant>,
        user: &User,
        label: Option<String>,
    ) -> Result<Tokens> {
        let now = self.now();
        let expires_at = now + self.0.options.refresh_lifetime;
        let refresh = Made::new(cx.tenant())?;
        let session = Session {
            id: Uuid::new_v4(),
            user_id: user.id,
            refresh_id: refresh.id,
            began_at: now,
            last_used_at: now,
            expires_at,
            label,
            revoked_at: None,
        };
        let place = SessionPlace {
            id: session.id,
            tenant: cx.tenant().as_str().to_owned(),
            due_at: expires_at,
        };
        let session = self.0.sessions.insert(tx, session).await?;
        self.0.places.insert(tx, place).await?;
        let tokens = self.hand_out(tx, cx, user, &session, refresh).await?;
        // Before the commit: a session that the registry does not take is none.
        let record = Self::record(cx, &session);
        let has_begun = self
            .0
            .registry
            .begin(&session_id(session.id)?, &record)
            .await?;
        if !has_begun {
            return Err(AccountError::Internal(
                "the registry has a session of a new id".to_owned(),
            ));
        }
        Ok(tokens)
    }

    /// Keeps the refresh token that was made, and makes what the client is given.
    pub(crate) async fn hand_out(
        &self,
        tx: &TenantTx,
        cx: &Cx<Tenant>,
        user: &User,
        session: &Session,
        refresh: Made,
    ) -> Result<Tokens> {
        let options = &self.0.options;
        let access_token = self.access_token(cx, user, session)?.into();
        let row = RefreshToken {
            id: refresh.id,
            session_id: session.id,
            digest: refresh.digest,
            expires_at: session.expires_at,
            replaced_at: None,
        };
        self.0.tokens.insert(tx, row).await?;
        Ok(Tokens {
            access_token,
            token_type: "Bearer",
            expires_in: options.access_lifetime.as_secs(),
            refresh_token: refresh.text.into(),
            refresh_expires_in: options.refresh_lifetime.as_secs(),
            session: session.id,
        })
    }
}

fn check_label(label: Option<&str>) -> Result<()> {
    let fits =
        |label: &str| label.chars().count() <= MAX_LABEL && !label.chars().any(char::is_control);
    if label.is_none_or(fits) {
        return Ok(());
    }
    let message = format!("a label has at most {MAX_LABEL} characters, on one line");
    Err(AccountError::input("label", message))
}
