//! Who is calling, and what they may do.
//!
//! A [`Verifier`] takes the text of a token and gives an [`Identity`] or an [`AuthError`]; a [`Policy`] says whether that
//! identity may enter. [`Issuer`] makes tokens, [`Sessions`] is the registry which lets them be taken back, [`Passwords`]
//! checks what people remember.
//!
//! # Invariants
//! - **Only the verifier makes an identity.** `Identity` has no public constructor and cannot be deserialised, so nothing that a
//!   client sends can become one by itself.
//! - **A key belongs to one algorithm.** The token's header chooses among the keys; it never says how a key is used
//!   (RFC 8725, 3.1). Keys and URLs within a token are never looked at.
//! - **What cannot be checked is refused.** A store or key server that is away gives [`AuthError::Unavailable`], never entry.
//! - **A cached verdict ends with the token**, and a session is asked for anew on every call unless a staleness was configured.
//! - **Secrets are not shown**: neither keys nor tokens stand in errors, logs or `Debug`.
//!
//! # What it deliberately does not do
//! No users and no tables: who may have a token is decided by the program that issues it. No HTTP: the transport hands the
//! token over. No permission language: roles and scopes are compared as they stand.
//!
//! # Example
//! ```
//! use bastide_auth::{Claims, Issuer, Keys, Policy, SigningKey, Verifier};
//! use bastide_config::Secret;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let secret = Secret::new("a secret of at least thirty-two bytes");
//! let issuer = Issuer::new(SigningKey::hs256(&secret)?).issuer("https://auth.example");
//! let verifier = Verifier::new(Keys::hs256(&secret)?).issuer("https://auth.example");
//!
//! let token = issuer.sign(&Claims::new("ada").tenant("acme").role("admin"))?;
//! let identity = verifier.verify(token.expose()).await?;
//! assert_eq!(identity.subject(), "ada");
//! assert!(Policy::any_role(&["admin", "owner"]).admit(&identity).is_ok());
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod base64url;
mod binding;
mod claims;
mod clock;
mod digest;
mod error;
mod identity;
mod issuer;
mod jwks;
mod keys;
mod object;
mod password;
mod policy;
mod remembered;
mod service_key;
mod sessions;
mod tenant;
mod token;
mod verifier;

pub use binding::BindingKey;
pub use claims::Claims;
pub use clock::{Clock, ClockHandle};
pub use error::{AuthError, KeyError};
pub use identity::{Identity, Kind};
pub use issuer::{Issuer, SigningKey};
pub use jwks::{FetchKeys, Fetched, RemoteKeys, https_keys};
pub use keys::{Algorithm, Keys};
pub use password::{PasswordError, Passwords};
pub use policy::{Denied, Policy};
pub use service_key::{ServiceKey, ServiceKeys, TenantChoice};
pub use sessions::{FindError, Found, LookUpSession, LookedUp, SessionId, SessionRecord, Sessions};
pub use tenant::{TenantId, TenantIdError};
pub use verifier::Verifier;
