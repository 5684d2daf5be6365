//! The tables.
//!
//! None of them is written down in the audit log (`audit`): what stands there before and after a change would be hashes.

use bastide_repo::{Entity, Field, Json, Kind, Timestamp, Uuid, Value};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::hidden::Hidden;

/// Somebody who can sign in. The id is a token's `sub`.
#[derive(Debug, Clone, Entity)]
#[entity(table = "auth_users", tenant)]
pub(crate) struct User {
    #[entity(id)]
    pub(crate) id: Uuid,
    /// Normalised; see [`crate::email`].
    #[entity(unique)]
    pub(crate) email: String,
    /// Argon2id, in PHC form.
    pub(crate) password_hash: Hidden,
    pub(crate) roles: Roles,
    pub(crate) is_disabled: bool,
    pub(crate) registered_at: Timestamp,
    /// When the password was last given rightly. Writing it also holds the row: what a password is taken for and a change of
    /// that password come one after the other.
    pub(crate) proved_at: Option<Timestamp>,
}

/// One sign-in and all that was refreshed of it: the family of its refresh tokens. The id is a token's `sid`.
#[derive(Debug, Clone, Entity)]
#[entity(table = "auth_sessions", tenant)]
pub(crate) struct Session {
    #[entity(id)]
    pub(crate) id: Uuid,
    #[entity(belongs_to = User)]
    pub(crate) user_id: Uuid,
    /// The one refresh token that counts. Its id is no secret; `cnf.fp` is made of it.
    pub(crate) refresh_id: Uuid,
    pub(crate) began_at: Timestamp,
    /// Writing it also holds the row: of two refreshes one comes after the other.
    pub(crate) last_used_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    /// What the client calls itself.
    pub(crate) label: Option<String>,
    pub(crate) revoked_at: Option<Timestamp>,
}

/// A refresh token. Those that were replaced stay until they expire: by them a second use is noticed.
#[derive(Debug, Clone, Entity)]
#[entity(table = "auth_refresh_tokens", tenant)]
pub(crate) struct RefreshToken {
    #[entity(id)]
    pub(crate) id: Uuid,
    #[entity(belongs_to = Session)]
    pub(crate) session_id: Uuid,
    /// SHA-256 of the secret, in hexadecimal.
    pub(crate) digest: Hidden,
    pub(crate) expires_at: Timestamp,
    /// When another took its place.
    pub(crate) replaced_at: Option<Timestamp>,
}

/// In which tenant a session is. The registry asks by a session's id alone, and nothing can be read of a tenant before it is
/// known which: this one table is no tenant's.
#[derive(Debug, Clone, Entity)]
#[entity(table = "auth_session_places")]
pub(crate) struct SessionPlace {
    #[entity(id)]
    pub(crate) id: Uuid,
    pub(crate) tenant: String,
    /// When there may be something of it to remove.
    #[entity(index)]
    pub(crate) due_at: Timestamp,
}

/// The roles of a user.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Roles(pub(crate) Vec<String>);

impl Field for Roles {
    type Base = Json;
    const KIND: Kind = Kind::Json;

    fn to_value(&self) -> Value {
        serde_json::Value::from(self.0.clone()).to_value()
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        let document = serde_json::Value::from_value(value)?;
        serde_json::from_value(document).map_err(|_| "expected a list of texts".to_owned())
    }
}
