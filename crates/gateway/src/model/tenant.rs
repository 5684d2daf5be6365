//! A tenant: a customer of the platform, the unit of isolation.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::RateLimit;

/// A customer of the platform. Deleting one deletes its keys and routes with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tenant {
    /// Made by the gateway (UUID v7, so that ids sort by age).
    pub id: Uuid,
    /// 1 to 255 characters, unique among tenants.
    pub name: String,
    /// The name of the tier whose limit holds unless `rate_limit` says otherwise. Default `free`.
    pub tier: String,
    /// The tenant's own limit; `None` means its tier's.
    pub rate_limit: Option<RateLimit>,
    /// An inactive tenant's keys are refused with 403. Default true.
    pub is_active: bool,
    /// Who may change it: the Admin API, or only the declarative file it came from.
    #[serde(default)]
    pub managed_by: ManagedBy,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Counts changes from 1; the entity tag of the Admin API.
    pub version: i64,
}

/// Where an object comes from, and so who may change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ManagedBy {
    /// Made and changed through the Admin API.
    #[default]
    Api,
    /// Stands in the declarative file; the Admin API refuses to change it.
    File,
}
