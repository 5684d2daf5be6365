//! Tenants that no longer stand in a document that lists all of them.

use super::changes::sorted;
use super::plan::{Planner, Scope, entry};
use crate::model::{ManagedBy, Tenant};

/// What becomes of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Departure {
    /// It is deleted, and with it all that is its own.
    Deleted,
    /// The Admin API made keys or routes of it, which the file has no right to delete: it stays without what the file
    /// made, inactive, and the Admin API may change it from now on. Back in the file it is the file's again.
    HandedOver,
}

impl Planner<'_, '_> {
    pub(super) fn depart(&mut self, tenant: &Tenant) -> Departure {
        if self.scope == Scope::File && self.has_objects_of_the_api(tenant) {
            self.hand_over(tenant);
            Departure::HandedOver
        } else {
            self.delete_tenant(tenant);
            Departure::Deleted
        }
    }

    /// Revoked keys are history.
    fn has_objects_of_the_api(&self, tenant: &Tenant) -> bool {
        let mut keys = self.state.keys.values();
        let mut routes = self.state.routes.values();
        keys.any(|key| {
            key.tenant_id == tenant.id
                && key.managed_by == ManagedBy::Api
                && key.revoked_at.is_none()
        }) || routes
            .any(|route| route.tenant_id == Some(tenant.id) && route.managed_by == ManagedBy::Api)
    }

    fn hand_over(&mut self, tenant: &Tenant) {
        let state = self.state;
        for key in sorted(
            state
                .keys
                .values()
                .filter(|key| key.tenant_id == tenant.id && key.managed_by == ManagedBy::File),
        ) {
            self.delete(&**key, Some(&tenant.name));
        }
        for route in sorted(state.routes.values().filter(|route| {
            route.tenant_id == Some(tenant.id) && route.managed_by == ManagedBy::File
        })) {
            self.delete(&**route, Some(&tenant.name));
        }
        let after = Tenant {
            is_active: false,
            ..tenant.clone()
        };
        self.replace(tenant, after, ManagedBy::Api, None);
    }

    fn delete_tenant(&mut self, tenant: &Tenant) {
        let state = self.state;
        for key in sorted(state.keys.values().filter(|key| key.tenant_id == tenant.id)) {
            self.diff
                .delete
                .push(entry(&**key, Some(tenant.name.clone())));
        }
        for route in sorted(
            state
                .routes
                .values()
                .filter(|route| route.tenant_id == Some(tenant.id)),
        ) {
            self.diff
                .delete
                .push(entry(&**route, Some(tenant.name.clone())));
        }
        self.diff.delete.push(entry(tenant, None));
        self.changes.delete_tenant(tenant, state);
    }
}
