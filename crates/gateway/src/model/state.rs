//! Everything that is configured, at one revision, and the changes that lead from one revision to the next.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{ApiKey, JsonText, RateLimit, Route, Tenant, Tiers};

/// Numbers the commits of the repository; every change carries the revision that made it.
pub type Revision = i64;

/// Everything that is configured. Cheap to clone: the objects are shared between versions.
#[derive(Debug, Clone)]
pub struct State {
    /// The revision of the last commit that it includes.
    pub revision: Revision,
    /// By id.
    pub tenants: HashMap<Uuid, Arc<Tenant>>,
    /// By id.
    pub keys: HashMap<Uuid, Arc<ApiKey>>,
    /// By id.
    pub routes: HashMap<Uuid, Arc<Route>>,
    /// Limits by tier name.
    pub tiers: Arc<Tiers>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            revision: 0,
            tenants: HashMap::new(),
            keys: HashMap::new(),
            routes: HashMap::new(),
            tiers: Arc::new(RateLimit::default_tiers()),
        }
    }
}

/// One change to the configuration. A commit is a list of them, applied whole or not at all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", content = "value", rename_all = "camelCase")]
pub enum Change {
    /// Make or replace a tenant.
    PutTenant(Tenant),
    /// Delete a tenant, with its keys and routes.
    DeleteTenant(Uuid),
    /// Make or replace a key.
    PutKey(ApiKey),
    /// Delete a key.
    DeleteKey(Uuid),
    /// Make or replace a route.
    PutRoute(Route),
    /// Delete a route.
    DeleteRoute(Uuid),
    /// Replace the tiers.
    PutTiers(Tiers),
}

/// What a revision changed, as the repository tells it to every node.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Delta {
    /// The revision that it leads to.
    pub revision: Revision,
    /// Deletions come before puts; a deleted tenant's keys and routes are listed one by one.
    pub changes: Vec<Change>,
}

/// The kinds of object that an audit entry speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Entity {
    /// A tenant.
    Tenant,
    /// An API key.
    Key,
    /// A route.
    Route,
    /// The tiers.
    Tiers,
}

/// One line of the audit log: who changed what, when, from what to what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Audit {
    /// UUID v7, so that ids sort by time.
    pub id: Uuid,
    /// When it was committed.
    pub at: Timestamp,
    /// `admin` for the Admin API, `file` for the declarative file, `system` for the gateway itself.
    pub actor: String,
    /// `create`, `update`, `delete`, `revoke`, `rotate`, `rehash`.
    pub action: String,
    /// What kind of object.
    pub entity: Entity,
    /// Which one.
    pub entity_id: Uuid,
    /// Whose, when it belongs to a tenant.
    pub tenant_id: Option<Uuid>,
    /// The object before; `null` for a creation. Hashes of keys are left out.
    pub before: JsonText,
    /// The object after; `null` for a deletion.
    pub after: JsonText,
    /// The request that did it.
    pub request_id: Option<String>,
}

impl State {
    /// Applies a delta of the repository.
    pub fn apply(&mut self, delta: Delta) {
        for change in delta.changes {
            self.apply_change(change);
        }
        self.revision = self.revision.max(delta.revision);
    }

    fn apply_change(&mut self, change: Change) {
        match change {
            Change::PutTenant(tenant) => {
                self.tenants.insert(tenant.id, Arc::new(tenant));
            }
            Change::DeleteTenant(id) => {
                self.tenants.remove(&id);
                self.keys.retain(|_, key| key.tenant_id != id);
                self.routes.retain(|_, route| route.tenant_id != Some(id));
            }
            Change::PutKey(key) => {
                self.keys.insert(key.id, Arc::new(key));
            }
            Change::DeleteKey(id) => {
                self.keys.remove(&id);
            }
            Change::PutRoute(route) => {
                self.routes.insert(route.id, Arc::new(route));
            }
            Change::DeleteRoute(id) => {
                self.routes.remove(&id);
            }
            Change::PutTiers(tiers) => self.tiers = Arc::new(tiers),
        }
    }

    /// The limit that holds for a tenant: its own, else its tier's, else that of the tier `free`.
    pub fn tenant_limit(&self, tenant: &Tenant) -> RateLimit {
        tenant
            .rate_limit
            .or_else(|| self.tiers.get(&tenant.tier).copied())
            .unwrap_or(RateLimit::per_minute(60))
    }
}
