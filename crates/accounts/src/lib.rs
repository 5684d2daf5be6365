//! Accounts and their sessions, as a service with its tables, which any app can mount.
//!
//! [`Accounts`] registers users, checks their passwords, and hands out short access tokens with refresh tokens that work once.
//! [`Accounts::service`] is the same as the service `auth@1.0.0`. Other apps verify the tokens by themselves
//! (`bastide_auth::Verifier`, with the same registry); what the registry has lost they ask for by [`RemoteSessions`].
//!
//! A user belongs to one tenant, and an address is unique within it: the same person in two tenants is two users. Who signs in
//! names the tenant.
//!
//! # Invariants
//! - **One refresh of a token counts.** Of several at once one wins. A refresh token that comes again has been in two hands: its
//!   session ends, with a warning in the log ([`Options::reuse_grace`] allows for answers that were lost).
//! - **A refresh ends the access tokens before it, an end of a session all of them**, in every process on its next call: the
//!   registry knows before the client does. It is told of an end first; what the database then does not take is an error, and
//!   to be tried again.
//! - **Nothing tells whether an address has an account**: unknown address, wrong password and disabled user are one answer, after
//!   one verified hash. Only who registers is told that an address is taken.
//! - **Of a password only its argon2id hash is kept, of a refresh token only its SHA-256 digest.** Neither these nor tokens nor
//!   keys stand in a log, an error or `Debug`.
//! - **No statement without a tenant, here too**: a call's own for a user, a named piece of the program's work before one is
//!   known. The one table without tenants says in which tenant a session is.
//!
//! # What it deliberately does not do
//! No mail, so no invitations, no verified addresses, no forgotten passwords. No second factor and no other identity provider.
//! No tenants: which there are is the program's. It applies no migrations: [`Accounts::schema`] gives the statements; and it
//! removes nothing unasked: [`Accounts::purge`].
//!
//! # Example
//! ```
//! use std::sync::Arc;
//! use bastide_accounts::{Accounts, Login, NewUser, Options, Parts};
//! use bastide_auth::{BindingKey, Issuer, Keys, Passwords, SigningKey, TenantId, Verifier};
//! use bastide_config::Secret;
//! use bastide_context::{Call, Cx};
//! use bastide_repo::TenantDb;
//! use bastide_store::Store;
//! # use bastide_db::Database;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let database = Database::open("sqlite::memory:")?;
//! for statement in Accounts::schema().create(database.dialect()) {
//!     database.execute(&statement, &[]).await?;
//! }
//! let signing = Secret::new("a secret of at least thirty-two bytes");
//! let binding = BindingKey::new(&Secret::new("another secret of thirty-two bytes"))?;
//! let parts = Parts {
//!     db: TenantDb::new(database),
//!     store: Store::memory(),
//!     issuer: Issuer::new(SigningKey::hs256(&signing)?),
//!     binding: binding.clone(),
//!     passwords: Arc::new(Passwords::new()),
//! };
//! let accounts = Accounts::new(parts, Options::default())?;
//!
//! // The first administrator is made by the program itself.
//! let acme = TenantId::parse("acme")?;
//! let cx = Cx::system("first-admin", Call::new()).for_tenant(acme.clone());
//! let roles = vec!["admin".to_owned()];
//! let ada = NewUser { email: "ada@example.org".into(), password: "correct horse battery".into(), roles };
//! let ada = accounts.create_user(&cx, ada).await?;
//!
//! let login = Login {
//!     tenant: acme,
//!     email: "Ada@Example.org".into(),
//!     password: "correct horse battery".into(),
//!     label: None,
//! };
//! let tokens = accounts.login(&Call::new(), login).await?;
//!
//! let verifier = Verifier::new(Keys::hs256(&signing)?).sessions(accounts.registry()).binding(binding);
//! let identity = verifier.verify(tokens.access_token.expose()).await?;
//! assert_eq!(identity.subject(), ada.id.to_string());
//!
//! let next = accounts.refresh(&Call::new(), tokens.refresh_token.secret()).await?;
//! assert_eq!(verifier.verify(tokens.access_token.expose()).await.unwrap_err().code(), "token_superseded");
//! assert!(verifier.verify(next.access_token.expose()).await.is_ok());
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod accounts;
mod attempts;
mod email;
mod entity;
mod error;
mod hidden;
mod login;
mod options;
mod purge;
mod refresh;
mod refresh_token;
mod remote;
mod service;
mod sessions;
mod users;

pub use accounts::{Accounts, Parts};
pub use error::{AccountError, Result};
pub use hidden::SecretText;
pub use login::{Login, Tokens};
pub use options::{Options, Registration, SetUpError};
pub use purge::Purged;
pub use remote::{RemoteError, RemoteSessions};
pub use sessions::SessionInfo;
pub use users::{Account, ChangePassword, NewUser, Register};
