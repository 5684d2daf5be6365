//! What tenants, keys and routes have in common: an identity, an age, an owner, a public form.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use crate::model::{ApiKey, Change, Entity, ManagedBy, Route, State, Tenant};

/// Identity, origin and age of an object: what the gateway itself writes on it, whatever its owner says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// UUID v7.
    pub id: Uuid,
    /// Who may change it.
    pub managed_by: ManagedBy,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Counts changes from 1; 0 on a draft.
    pub version: i64,
}

/// A moment as precise as every database keeps it: what is answered at once is what is read later.
pub(crate) fn in_microseconds(moment: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(moment.as_microsecond()).unwrap_or(moment)
}

impl Stamp {
    /// Of a new object.
    pub fn new(id: Uuid, managed_by: ManagedBy, now: Timestamp) -> Self {
        let now = in_microseconds(now);
        Self {
            id,
            managed_by,
            created_at: now,
            updated_at: now,
            version: 1,
        }
    }

    /// Of an object that was read and is not yet any object's version.
    pub fn draft() -> Self {
        Self {
            id: Uuid::nil(),
            managed_by: ManagedBy::Api,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
            version: 0,
        }
    }

    /// Of the same object after a change.
    pub fn next(self, managed_by: ManagedBy, now: Timestamp) -> Self {
        Self {
            managed_by,
            updated_at: in_microseconds(now),
            version: self.version + 1,
            ..self
        }
    }
}

/// A configured object with an identity of its own.
pub trait Object: Clone + PartialEq {
    /// Its kind.
    const ENTITY: Entity;

    /// The members of its public form that a client cannot write.
    const READ_ONLY: &'static [&'static str];

    /// The objects of this kind.
    fn all(state: &State) -> &HashMap<Uuid, Arc<Self>>;

    /// Its stamp.
    fn stamp(&self) -> Stamp;

    /// The same object under another stamp.
    fn stamped(self, stamp: Stamp) -> Self;

    /// Whose it is. A tenant is its own.
    fn tenant_id(&self) -> Option<Uuid>;

    /// What people call it.
    fn label(&self) -> String;

    /// Its JSON as the Admin API and the audit log show it: without anything secret.
    fn public(&self) -> Value;

    /// Whether the two differ in what [`Object::public`] leaves out.
    fn differs_in_secret(&self, _other: &Self) -> bool {
        false
    }

    /// The change that writes it.
    fn put(self) -> Change;

    /// The change that deletes it.
    fn delete(id: Uuid) -> Change;

    /// Whether the two differ in their stamps at most.
    fn has_content_of(&self, other: &Self) -> bool {
        self.clone().stamped(Stamp::draft()) == other.clone().stamped(Stamp::draft())
    }
}

/// Implements the members that read the same for every kind.
macro_rules! stamped {
    ($plural:ident, $put:ident, $delete:ident) => {
        fn all(state: &State) -> &HashMap<Uuid, Arc<Self>> {
            &state.$plural
        }

        fn stamp(&self) -> Stamp {
            Stamp {
                id: self.id,
                managed_by: self.managed_by,
                created_at: self.created_at,
                updated_at: self.updated_at,
                version: self.version,
            }
        }

        fn stamped(self, stamp: Stamp) -> Self {
            let Stamp {
                id,
                managed_by,
                created_at,
                updated_at,
                version,
            } = stamp;
            Self {
                id,
                managed_by,
                created_at,
                updated_at,
                version,
                ..self
            }
        }

        fn put(self) -> Change {
            Change::$put(self)
        }

        fn delete(id: Uuid) -> Change {
            Change::$delete(id)
        }
    };
}

impl Object for Tenant {
    const ENTITY: Entity = Entity::Tenant;
    const READ_ONLY: &'static [&'static str] =
        &["id", "managedBy", "createdAt", "updatedAt", "version"];

    stamped!(tenants, PutTenant, DeleteTenant);

    fn tenant_id(&self) -> Option<Uuid> {
        Some(self.id)
    }

    fn label(&self) -> String {
        self.name.clone()
    }

    fn public(&self) -> Value {
        json(self)
    }
}

impl Object for ApiKey {
    const ENTITY: Entity = Entity::Key;
    const READ_ONLY: &'static [&'static str] = &[
        "id",
        "tenantId",
        "hint",
        "revokedAt",
        "replacedBy",
        "managedBy",
        "createdAt",
        "updatedAt",
        "version",
    ];

    stamped!(keys, PutKey, DeleteKey);

    fn tenant_id(&self) -> Option<Uuid> {
        Some(self.tenant_id)
    }

    fn label(&self) -> String {
        self.name.clone()
    }

    fn public(&self) -> Value {
        let mut value = json(self);
        if let Value::Object(members) = &mut value {
            members.remove("hash");
        }
        value
    }

    fn differs_in_secret(&self, other: &Self) -> bool {
        self.hash != other.hash
    }
}

impl Object for Route {
    const ENTITY: Entity = Entity::Route;
    const READ_ONLY: &'static [&'static str] =
        &["id", "managedBy", "createdAt", "updatedAt", "version"];

    stamped!(routes, PutRoute, DeleteRoute);

    fn tenant_id(&self) -> Option<Uuid> {
        self.tenant_id
    }

    fn label(&self) -> String {
        format!(
            "{} {}{}",
            self.method,
            self.host.as_deref().unwrap_or_default(),
            self.path
        )
    }

    fn public(&self) -> Value {
        json(self)
    }
}

fn json(object: &impl serde::Serialize) -> Value {
    serde_json::to_value(object).expect("a model value has string keys and finite numbers only")
}
