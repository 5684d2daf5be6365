//! A route's own limit, which counts for each tenant apart.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use bastide_limit::{Limit, LimitKey, Limiter, Policy};
use uuid::Uuid;

pub(crate) struct RouteLimit {
    route: Uuid,
    policy: Policy,
    /// Made when a tenant first uses the route: a platform route may serve thousands that never do.
    by_tenant: RwLock<HashMap<Uuid, Arc<Limit>>>,
}

impl RouteLimit {
    pub(crate) fn new(route: Uuid, policy: Policy) -> Self {
        Self {
            route,
            policy,
            by_tenant: RwLock::default(),
        }
    }

    /// The limit for a tenant, or, on an open route, the one that all callers share.
    pub(crate) fn for_tenant(&self, limiter: &Limiter, tenant: Option<Uuid>) -> Arc<Limit> {
        let tenant = tenant.unwrap_or(Uuid::nil());
        if let Some(limit) = self
            .by_tenant
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&tenant)
        {
            return Arc::clone(limit);
        }
        let mut by_tenant = self
            .by_tenant
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let limit = by_tenant.entry(tenant).or_insert_with(|| {
            limiter.handle(
                LimitKey::new("route", &format!("{}:{tenant}", self.route)),
                &self.policy,
            )
        });
        Arc::clone(limit)
    }

    /// Lets go of tenants that are gone.
    pub(crate) fn retain(&self, is_known: impl Fn(Uuid) -> bool) {
        let mut by_tenant = self
            .by_tenant
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        by_tenant.retain(|tenant, _| tenant.is_nil() || is_known(*tenant));
    }
}
