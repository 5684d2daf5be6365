//! The service `auth@1.0.0`.

use bastide_auth::{Policy, SessionId, SessionRecord, TenantId};
use bastide_config::Secret;
use bastide_context::{Cx, Known, Public};
use bastide_repo::Uuid;
use bastide_rpc::{Method, Service};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::accounts::Accounts;
use crate::error::AccountError;
use crate::hidden::SecretText;
use crate::login::Login;
use crate::options::{Registration, SetUpError};
use crate::users::{ChangePassword, NewUser, Register};

/// How the service is called, and the method that other apps ask.
pub(crate) const SESSION_METHOD: &str = "auth@1.0.0/session";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Refresh {
    /// The one that was given last.
    refresh_token: SecretText,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Revoke {
    /// The session's id.
    session: Uuid,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SetDisabled {
    /// The user's id.
    user: Uuid,
    /// Whether the user shall not sign in.
    is_disabled: bool,
}

/// A session's id, as an access token has it.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionWanted {
    #[schemars(with = "String")]
    pub(crate) id: SessionId,
}

/// What a registry has to know of a session.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionKnown {
    user: String,
    #[schemars(with = "Option<String>")]
    tenant: Option<TenantId>,
    /// The id of the active refresh token, which is not the token.
    refresh_id: String,
    /// In Unix seconds.
    expires_at: i64,
}

impl From<SessionRecord> for SessionKnown {
    fn from(record: SessionRecord) -> Self {
        Self {
            user: record.user,
            tenant: record.tenant,
            refresh_id: record.refresh,
            expires_at: record.expires_at,
        }
    }
}

impl From<SessionKnown> for SessionRecord {
    fn from(known: SessionKnown) -> Self {
        Self {
            user: known.user,
            tenant: known.tenant,
            refresh: known.refresh_id,
            expires_at: known.expires_at,
        }
    }
}

impl Accounts {
    /// The service `auth@1.0.0`, for the registry of a process:
    ///
    /// | method | who | |
    /// |---|---|---|
    /// | `login`, `refresh` | everybody, limited by address | tokens |
    /// | `register` | everybody, limited by address; only with [`Registration::Open`] | an account |
    /// | `whoami`, `change_password` | users | |
    /// | `sessions`, `revoke`, `logout`, `logout_all` | users; administrators revoke any of the tenant | |
    /// | `create_user`, `set_disabled` | administrators | an account |
    /// | `session` | services, by service key | what a registry has to know of a session |
    /// | `jwks`, also at `GET /.well-known/jwks.json` | everybody; only with an asymmetric key | the public keys |
    ///
    /// # Errors
    /// [`SetUpError::Key`] if the issuer's key has no readable public half.
    pub fn service(&self) -> Result<Service, SetUpError> {
        let service = Service::new("auth", "1.0.0")?;
        let service = self.with_own(self.with_sessions(self.with_entrance(service)));
        let admins = Policy::any_role(self.0.options.admin_roles);
        let (create, disable, session) = (self.clone(), self.clone(), self.clone());
        let service = service
            .method(
                Method::named("create_user")
                    .describe("Makes an account for somebody else.")
                    .policy(admins)
                    .handler(move |cx: Cx, input: NewUser| {
                        let accounts = create.clone();
                        async move { accounts.create_user(&cx, input).await }
                    }),
            )
            .method(
                Method::named("set_disabled")
                    .describe("Keeps a user from signing in, or lets them again.")
                    .policy(admins)
                    .handler(move |cx: Cx, input: SetDisabled| {
                        let accounts = disable.clone();
                        async move {
                            let SetDisabled { user, is_disabled } = input;
                            accounts.set_disabled(&cx, user, is_disabled).await
                        }
                    }),
            )
            .method(
                Method::named("session")
                    .describe(
                        "What a registry has to know of a session; null for one that is over.",
                    )
                    .policy_without_tenant(Policy::identified().services_only())
                    .handler(move |cx: Cx<Known>, input: SessionWanted| {
                        let accounts = session.clone();
                        async move {
                            let found = accounts.session(cx.call(), &input.id).await?;
                            Ok::<_, AccountError>(found.map(SessionKnown::from))
                        }
                    }),
            );
        self.with_keys(service)
    }

    /// What strangers may call.
    fn with_entrance(&self, service: Service) -> Service {
        let options = &self.0.options;
        let (login, refresh, register) = (self.clone(), self.clone(), self.clone());
        let service = service
            .method(
                Method::named("login")
                    .describe("Begins a session.")
                    .public("who signs in has no token yet")
                    .limit(options.sign_ins.clone().by_address())
                    .handler(move |cx: Cx<Public>, input: Login| {
                        let accounts = login.clone();
                        async move { accounts.login(cx.call(), input).await }
                    }),
            )
            .method(
                Method::named("refresh")
                    .describe("Gives the next tokens of a session; the refresh token works once.")
                    .public("the refresh token is the proof, and the access token may have expired")
                    .limit(options.refreshes.clone().by_address())
                    .handler(move |cx: Cx<Public>, input: Refresh| {
                        let accounts = refresh.clone();
                        async move {
                            let token: &Secret = input.refresh_token.secret();
                            accounts.refresh(cx.call(), token).await
                        }
                    }),
            );
        if options.registration == Registration::ByAdmins {
            return service;
        }
        service.method(
            Method::named("register")
                .describe("Makes an account for oneself.")
                .public("who registers has no account yet")
                .limit(options.sign_ins.clone().by_address())
                .handler(move |cx: Cx<Public>, input: Register| {
                    let accounts = register.clone();
                    async move { accounts.register(cx.call(), input).await }
                }),
        )
    }

    /// A user's sessions.
    fn with_sessions(&self, service: Service) -> Service {
        let (list, revoke) = (self.clone(), self.clone());
        let (logout, logout_all) = (self.clone(), self.clone());
        service
            .method(
                Method::named("sessions")
                    .describe("The caller's sessions, newest first.")
                    .policy(Policy::identified())
                    .handler(move |cx: Cx, _: Nothing| {
                        let accounts = list.clone();
                        async move { accounts.sessions(&cx).await }
                    }),
            )
            .method(
                Method::named("revoke")
                    .describe(
                        "Ends a session of the caller's own; an administrator's any of the tenant.",
                    )
                    .policy(Policy::identified())
                    .handler(move |cx: Cx, input: Revoke| {
                        let accounts = revoke.clone();
                        async move { accounts.revoke(&cx, input.session).await }
                    }),
            )
            .method(
                Method::named("logout")
                    .describe("Ends the session of this call.")
                    .policy(Policy::identified())
                    .handler(move |cx: Cx, _: Nothing| {
                        let accounts = logout.clone();
                        async move { accounts.logout(&cx).await }
                    }),
            )
            .method(
                Method::named("logout_all")
                    .describe("Ends all of the caller's sessions.")
                    .policy(Policy::identified())
                    .handler(move |cx: Cx, _: Nothing| {
                        let accounts = logout_all.clone();
                        async move { accounts.logout_all(&cx).await }
                    }),
            )
    }

    /// A user's own account.
    fn with_own(&self, service: Service) -> Service {
        let (whoami, change) = (self.clone(), self.clone());
        service
            .method(
                Method::named("whoami")
                    .describe("The caller's account.")
                    .policy(Policy::identified())
                    .handler(move |cx: Cx, _: Nothing| {
                        let accounts = whoami.clone();
                        async move { accounts.whoami(&cx).await }
                    }),
            )
            .method(
                Method::named("change_password")
                    .describe(
                        "Gives the caller another password, and ends all their other sessions.",
                    )
                    .policy(Policy::identified())
                    .handler(move |cx: Cx, input: ChangePassword| {
                        let accounts = change.clone();
                        async move { accounts.change_password(&cx, input).await }
                    }),
            )
    }

    /// A shared secret has no public half, and there is nothing to publish.
    fn with_keys(&self, service: Service) -> Result<Service, SetUpError> {
        let set = self.0.issuer.jwk_set()?;
        if set["keys"].as_array().is_none_or(Vec::is_empty) {
            return Ok(service);
        }
        Ok(service.method(
            Method::named("jwks")
                .describe("The public keys that verify access tokens, as a JWK set.")
                .get("/.well-known/jwks.json")
                .public("public keys are for everybody")
                .handler(move |_: Cx<Public>, _: Nothing| {
                    let set: Value = set.clone();
                    async move { Ok::<_, AccountError>(set) }
                }),
        ))
    }
}
