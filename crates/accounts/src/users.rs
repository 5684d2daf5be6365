//! Users: made, disabled, given another password.

use bastide_auth::TenantId;
use bastide_context::{Call, Cx, Tenant};
use bastide_repo::{RepoError, TenantTx, Timestamp, Uuid};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::accounts::{Accounts, caller};
use crate::email::Email;
use crate::entity::{Roles, User, UserPatch};
use crate::error::{AccountError, Result};
use crate::hidden::{Hidden, SecretText};
use crate::options::Registration;

/// What a stranger says to register.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// In which tenant.
    #[schemars(with = "String")]
    pub tenant: TenantId,
    /// The address, unique within the tenant whatever the case of its letters.
    pub email: String,
    /// The password.
    pub password: SecretText,
}

/// A user whom an administrator makes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// The address, unique within the tenant whatever the case of its letters.
    pub email: String,
    /// The password to begin with.
    pub password: SecretText,
    /// The roles, each of 1 to 64 characters without spaces.
    #[serde(default)]
    pub roles: Vec<String>,
}

/// Another password.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    /// The one that counts until now.
    pub current: SecretText,
    /// The one that is to count.
    pub new: SecretText,
}

/// A user as others may see one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// The id, a token's `sub`.
    pub id: Uuid,
    /// The tenant.
    #[schemars(with = "String")]
    pub tenant: TenantId,
    /// The address.
    pub email: String,
    /// The roles.
    pub roles: Vec<String>,
    /// Whether the user may not sign in.
    pub is_disabled: bool,
    /// Since when the account is there.
    pub registered_at: Timestamp,
}

impl Accounts {
    /// Makes an account for a stranger, in a tenant that is open for it.
    ///
    /// # Errors
    /// [`AccountError::RegistrationClosed`], [`AccountError::EmailTaken`], [`AccountError::Input`].
    pub async fn register(&self, call: &Call, new: Register) -> Result<Account> {
        let is_open = match &self.0.options.registration {
            Registration::ByAdmins => false,
            Registration::Open(tenants) => tenants.contains(&new.tenant),
        };
        if !is_open {
            return Err(AccountError::RegistrationClosed);
        }
        // The tenant comes from a request, and is one of those that the program has listed.
        let cx = Self::system("auth-register", call).for_tenant(new.tenant);
        self.insert_user(&cx, &new.email, &new.password, Vec::new())
            .await
    }

    /// Makes an account for somebody else. The program itself may do so too: the first administrator is made by
    /// `Cx::system(..).for_tenant(..)`.
    ///
    /// # Errors
    /// [`AccountError::RoleRequired`] for a caller without an administrator's role, or who gives one that they do not have;
    /// [`AccountError::EmailTaken`], [`AccountError::Input`].
    pub async fn create_user(&self, cx: &Cx<Tenant>, new: NewUser) -> Result<Account> {
        for role in &new.roles {
            let is_plain = |letter: char| !letter.is_whitespace() && !letter.is_control();
            if role.is_empty() || role.len() > 64 || !role.chars().all(is_plain) {
                let message = "expected roles of 1 to 64 characters without spaces";
                return Err(AccountError::input("roles", message));
            }
        }
        self.expect_over(cx, &new.roles)?;
        self.insert_user(cx, &new.email, &new.password, new.roles)
            .await
    }

    /// Keeps a user from signing in, and ends what they are signed in with; or lets them sign in again.
    ///
    /// # Errors
    /// [`AccountError::RoleRequired`] for a caller without an administrator's role, or without one that the user has;
    /// [`AccountError::NotFound`].
    pub async fn set_disabled(
        &self,
        cx: &Cx<Tenant>,
        user: Uuid,
        is_disabled: bool,
    ) -> Result<Account> {
        let none = || AccountError::NotFound("user");
        let found = self.0.users.find(cx, user).await?.ok_or_else(none)?;
        self.expect_over(cx, &found.roles.0)?;
        let user = self
            .0
            .db
            .transaction(cx, async |tx| -> Result<User> {
                let patch = UserPatch {
                    is_disabled: Some(is_disabled),
                    ..UserPatch::default()
                };
                let user = self.0.users.patch(tx, user, patch).await?;
                if is_disabled {
                    self.end_all(tx, user.id, None).await?;
                }
                Ok(user)
            })
            .await?;
        Ok(account(cx, user))
    }

    /// The caller's own account.
    ///
    /// # Errors
    /// [`AccountError::UserRequired`] if the caller is none of these users.
    pub async fn whoami(&self, cx: &Cx<Tenant>) -> Result<Account> {
        let user = self.0.users.find(cx, caller(cx)?).await?;
        Ok(account(cx, user.ok_or(AccountError::UserRequired)?))
    }

    /// Gives the caller another password, and ends all their other sessions.
    ///
    /// # Errors
    /// [`AccountError::Credentials`] if `current` is not the password, [`AccountError::TooManyAttempts`],
    /// [`AccountError::Input`].
    pub async fn change_password(&self, cx: &Cx<Tenant>, change: ChangePassword) -> Result<()> {
        self.check_password("new", &change.new)?;
        let user = self.0.users.find(cx, caller(cx)?).await?;
        let user = user.ok_or(AccountError::UserRequired)?;
        let attempt = self
            .0
            .attempts
            .begin(cx.tenant(), &Email::parse(&user.email)?)
            .await?;
        let result = self.replace_password(cx, &user, change).await;
        attempt.end(&result);
        result
    }

    async fn replace_password(
        &self,
        cx: &Cx<Tenant>,
        user: &User,
        change: ChangePassword,
    ) -> Result<()> {
        let (passwords, kept) = (&self.0.passwords, user.password_hash.expose());
        let fits = passwords
            .verify(change.current.secret(), Some(kept))
            .await?;
        if !fits {
            return Err(AccountError::Credentials);
        }
        let hash = passwords.hash(change.new.secret()).await?;
        let current = cx.identity().and_then(|one| one.session()).cloned();
        let current = current.and_then(|id| Uuid::try_parse(id.as_str()).ok());
        self.0
            .db
            .transaction(cx, async |tx| {
                self.hold_proved(tx, user, Some(Hidden::new(hash))).await?;
                self.end_all(tx, user.id, current).await
            })
            .await
    }

    /// Holds the user's row until the transaction ends, if the password that was just proved is still the one that counts; and
    /// keeps another hash of it, if there is one. Verifying takes long and is done before: meanwhile the password may have been
    /// changed, or the user been disabled.
    pub(crate) async fn hold_proved(
        &self,
        tx: &TenantTx,
        proved: &User,
        hash: Option<Hidden>,
    ) -> Result<User> {
        let hold = UserPatch {
            proved_at: Some(Some(self.now())),
            ..UserPatch::default()
        };
        let user = self.0.users.patch(tx, proved.id, hold).await?;
        let is_same = user.password_hash.expose() == proved.password_hash.expose();
        if !is_same || user.is_disabled {
            return Err(AccountError::Credentials);
        }
        if hash.is_some() {
            let patch = UserPatch {
                password_hash: hash,
                ..UserPatch::default()
            };
            self.0.users.patch(tx, user.id, patch).await?;
        }
        Ok(user)
    }

    async fn insert_user(
        &self,
        cx: &Cx<Tenant>,
        email: &str,
        password: &SecretText,
        roles: Vec<String>,
    ) -> Result<Account> {
        let email = Email::parse(email)?;
        self.check_password("password", password)?;
        let hash = self.0.passwords.hash(password.secret()).await?;
        let user = User {
            id: Uuid::now_v7(),
            email: email.as_str().to_owned(),
            password_hash: Hidden::new(hash),
            roles: Roles(roles),
            is_disabled: false,
            registered_at: self.now(),
            proved_at: None,
        };
        match self.0.users.insert(cx, user).await {
            Ok(user) => Ok(account(cx, user)),
            Err(RepoError::Conflict { .. }) => Err(AccountError::EmailTaken),
            Err(error) => Err(error.into()),
        }
    }

    fn check_password(&self, field: &'static str, password: &SecretText) -> Result<()> {
        let least = self.0.options.min_password;
        if password.expose().chars().count() < least {
            let message = format!("a password has at least {least} characters");
            return Err(AccountError::input(field, message));
        }
        Ok(())
    }

    /// Whether the caller administers users, those with these roles included. The program itself does.
    fn expect_over(&self, cx: &Cx<Tenant>, roles: &[String]) -> Result<()> {
        let Some(identity) = cx.identity() else {
            return Ok(());
        };
        let admin_roles = self.0.options.admin_roles;
        if !admin_roles.iter().any(|role| identity.has_role(role)) {
            return Err(AccountError::RoleRequired(admin_roles.join(" or ")));
        }
        let lacks = |role: &&String| {
            admin_roles.contains(&role.as_str()) && !identity.has_role(role.as_str())
        };
        match roles.iter().find(lacks) {
            Some(role) => Err(AccountError::RoleRequired(role.clone())),
            None => Ok(()),
        }
    }
}

fn account(cx: &Cx<Tenant>, user: User) -> Account {
    Account {
        id: user.id,
        tenant: cx.tenant().clone(),
        email: user.email,
        roles: user.roles.0,
        is_disabled: user.is_disabled,
        registered_at: user.registered_at,
    }
}
