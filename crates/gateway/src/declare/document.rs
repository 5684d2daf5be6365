//! A declarative document after reading: drafts with their places, not yet compared with anything.

use bastide_config::{Path, Secret};
use uuid::Uuid;

use crate::model::read::KeySettings;
use crate::model::{KeyHash, Route, Tenant, Tiers};

/// A whole document. `None` stands for a member that was left out.
#[derive(Debug, Default)]
pub struct Declared {
    /// All tiers.
    pub tiers: Option<Tiers>,
    /// The tenants.
    pub tenants: Option<Vec<DeclaredTenant>>,
    /// The platform's routes.
    pub routes: Option<Vec<DeclaredRoute>>,
}

/// A tenant with its keys and routes.
#[derive(Debug)]
pub struct DeclaredTenant {
    /// Where it stands.
    pub place: Path,
    /// Which tenant it is, if the document says so.
    pub id: Option<Uuid>,
    /// A draft.
    pub tenant: Tenant,
    /// Its keys.
    pub keys: Option<Vec<DeclaredKey>>,
    /// Its routes.
    pub routes: Option<Vec<DeclaredRoute>>,
}

/// A key of a tenant.
#[derive(Debug)]
pub struct DeclaredKey {
    /// Where it stands.
    pub place: Path,
    /// Which key it is, if the document says so.
    pub id: Option<Uuid>,
    /// Name, expiry, limit.
    pub settings: KeySettings,
    /// The key or what is kept of it.
    pub material: KeyMaterial,
    /// Its last characters, where only the hash is given.
    pub hint: Option<String>,
}

/// What a document says of a key itself.
#[derive(Debug)]
pub enum KeyMaterial {
    /// The key.
    Plain(Secret),
    /// Its hash.
    Hash(KeyHash),
}

/// A route.
#[derive(Debug)]
pub struct DeclaredRoute {
    /// Where it stands.
    pub place: Path,
    /// Which route it is, if the document says so.
    pub id: Option<Uuid>,
    /// A draft. Its tenant's id is nil where it stands among a tenant's routes.
    pub route: Route,
}

impl Declared {
    /// Whether every member was left out.
    pub fn is_empty(&self) -> bool {
        self.tiers.is_none() && self.tenants.is_none() && self.routes.is_none()
    }

    /// Every tenant, none if the list was left out.
    pub fn tenants(&self) -> &[DeclaredTenant] {
        self.tenants.as_deref().unwrap_or_default()
    }
}

impl DeclaredTenant {
    /// Every key, none if the list was left out.
    pub fn keys(&self) -> &[DeclaredKey] {
        self.keys.as_deref().unwrap_or_default()
    }

    /// Every route, none if the list was left out.
    pub fn routes(&self) -> &[DeclaredRoute] {
        self.routes.as_deref().unwrap_or_default()
    }
}
