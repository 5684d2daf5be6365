//! A route's own limit, which counts for each tenant apart, and on an open route for each client without a key.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use bastide_limit::{Limit, LimitKey, Limiter, Policy};
use uuid::Uuid;

/// Clients of one generation; at most two generations are counted at a time. Whoever comes from so many addresses that
/// an older one is forgotten begins anew there.
const CLIENTS: usize = 8_192;

pub(crate) struct RouteLimit {
    route: Uuid,
    policy: Policy,
    /// Made when a tenant first uses the route: a platform route may serve thousands that never do.
    by_tenant: RwLock<HashMap<Uuid, Arc<Limit>>>,
    by_client: RwLock<Clients>,
}

/// The clients of late: those since the last time that there were too many, and those before them.
#[derive(Default)]
struct Clients {
    recent: HashMap<IpAddr, Arc<Limit>>,
    older: HashMap<IpAddr, Arc<Limit>>,
}

impl RouteLimit {
    pub(crate) fn new(route: Uuid, policy: Policy) -> Self {
        Self {
            route,
            policy,
            by_tenant: RwLock::default(),
            by_client: RwLock::default(),
        }
    }

    /// The limit for a tenant.
    pub(crate) fn for_tenant(&self, limiter: &Limiter, tenant: Uuid) -> Arc<Limit> {
        let known = self.by_tenant.read();
        if let Some(limit) = known.unwrap_or_else(PoisonError::into_inner).get(&tenant) {
            return Arc::clone(limit);
        }
        let known = self.by_tenant.write();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        let limit = known
            .entry(tenant)
            .or_insert_with(|| self.limit(limiter, &tenant));
        Arc::clone(limit)
    }

    /// The limit for a client without a tenant, by what [`crate::network::of`] makes of its address.
    pub(crate) fn for_client(&self, limiter: &Limiter, client: IpAddr) -> Arc<Limit> {
        let known = self.by_client.read();
        let known = known.unwrap_or_else(PoisonError::into_inner);
        if let Some(limit) = known.recent.get(&client) {
            return Arc::clone(limit);
        }
        drop(known);
        let known = self.by_client.write();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        known.recent(client, || self.limit(limiter, &client))
    }

    fn limit(&self, limiter: &Limiter, whose: &dyn std::fmt::Display) -> Arc<Limit> {
        let key = LimitKey::new("route", &format!("{}:{whose}", self.route));
        limiter.handle(key, &self.policy)
    }

    /// Lets go of tenants that are gone.
    pub(crate) fn retain(&self, is_known: impl Fn(Uuid) -> bool) {
        let known = self.by_tenant.write();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        known.retain(|tenant, _| is_known(*tenant));
    }
}

impl Clients {
    fn recent(&mut self, client: IpAddr, make: impl FnOnce() -> Arc<Limit>) -> Arc<Limit> {
        if let Some(limit) = self.recent.get(&client) {
            return Arc::clone(limit);
        }
        if self.recent.len() >= CLIENTS {
            self.older = std::mem::take(&mut self.recent);
        }
        let limit = self.older.remove(&client).unwrap_or_else(make);
        self.recent.insert(client, Arc::clone(&limit));
        limit
    }
}

#[cfg(test)]
mod tests {
    use bastide_limit::Rate;

    use super::*;

    fn limit() -> RouteLimit {
        let rate = Rate::Window {
            limit: 1,
            window_ms: 60_000,
        };
        RouteLimit::new(Uuid::now_v7(), Policy::new(rate).unwrap())
    }

    #[test]
    fn clients_and_tenants_are_counted_apart() {
        let (route, limiter) = (limit(), Limiter::local());
        let client = |text: &str| route.for_client(&limiter, text.parse().unwrap());
        assert!(Arc::ptr_eq(&client("192.0.2.1"), &client("192.0.2.1")));
        assert!(!Arc::ptr_eq(&client("192.0.2.1"), &client("192.0.2.2")));
        let tenant = Uuid::now_v7();
        let first = route.for_tenant(&limiter, tenant);
        assert!(Arc::ptr_eq(&first, &route.for_tenant(&limiter, tenant)));
        assert!(!Arc::ptr_eq(&first, &client("192.0.2.1")));
    }

    #[test]
    fn many_clients_take_bounded_memory_and_whoever_keeps_coming_is_remembered() {
        let (route, limiter) = (limit(), Limiter::local());
        let steady = IpAddr::from([192, 0, 2, 1]);
        let first = route.for_client(&limiter, steady);
        for number in 0..4 * CLIENTS as u32 {
            route.for_client(&limiter, IpAddr::V4((0x0a00_0000 + number).into()));
            if number % 1_000 == 0 {
                assert!(Arc::ptr_eq(&first, &route.for_client(&limiter, steady)));
            }
        }
        let known = route.by_client.read().unwrap();
        assert!(known.recent.len() + known.older.len() <= 2 * CLIENTS);
    }
}
