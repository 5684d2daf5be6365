//! From state to snapshot.

use std::collections::HashMap;
use std::sync::Arc;

use bastide_limit::{FailMode, LimitKey, Limiter, Policy, Rate};
use bastide_routing::{
    self as routing, ConfigError, HostPattern, MethodFilter, PathPattern, RouteTable,
};
use uuid::Uuid;

use super::{KeyEntry, PLATFORM, RouteEntry, Routes, Snapshot, TenantEntry};
use crate::legacy_keys::LegacyKey;
use crate::model::{KeyHash, MethodRule, OnStoreLoss, RateLimit, Route, State, Tenant};
use crate::upstream::advice::NewsSender;
use crate::upstream::origin::Origins;

/// Builds snapshots, each from the one before it.
pub(crate) struct Compiler {
    limiter: Limiter,
    origins: Arc<Origins>,
    news: Option<NewsSender>,
}

impl Compiler {
    /// `news` gets what this node finds out about upstreams, where other nodes may want to know.
    pub(crate) fn new(limiter: Limiter, origins: Arc<Origins>, news: Option<NewsSender>) -> Self {
        Self {
            limiter,
            origins,
            news,
        }
    }

    /// Compiles a state. A route that cannot be compiled is left out and reported: one tenant's mistake, which the
    /// Admin API would have refused, must not stop the others' changes.
    pub(crate) fn compile(&self, state: &State, previous: Option<&Snapshot>) -> Snapshot {
        let mut by_owner: HashMap<Option<Uuid>, Vec<Arc<Route>>> = HashMap::new();
        for route in state.routes.values().filter(|route| route.is_active) {
            by_owner
                .entry(route.tenant_id)
                .or_default()
                .push(Arc::clone(route));
        }
        for routes in by_owner.values_mut() {
            routes.sort_unstable_by_key(|route| route.id);
        }
        let mut take = |owner| by_owner.remove(&owner).unwrap_or_default();
        let platform = self.routes(
            take(None),
            PLATFORM,
            previous.map(|snapshot| &snapshot.platform),
        );
        let tenants: HashMap<Uuid, Arc<TenantEntry>> = state
            .tenants
            .values()
            .map(|tenant| {
                let before = previous.and_then(|snapshot| snapshot.tenants.get(&tenant.id));
                (
                    tenant.id,
                    self.tenant(state, tenant, take(Some(tenant.id)), before),
                )
            })
            .collect();
        let mut snapshot = Snapshot {
            keys: HashMap::default(),
            legacy: Arc::new([]),
            legacy_entries: HashMap::new(),
            tenants,
            platform,
        };
        self.add_keys(state, &mut snapshot);
        for route in snapshot.routes() {
            if let Some(limits) = &route.limits {
                limits.retain(|tenant| snapshot.tenants.contains_key(&tenant));
            }
        }
        snapshot
    }

    fn tenant(
        &self,
        state: &State,
        tenant: &Arc<Tenant>,
        routes: Vec<Arc<Route>>,
        before: Option<&Arc<TenantEntry>>,
    ) -> Arc<TenantEntry> {
        let routes = self.routes(routes, 0, before.map(|entry| &entry.routes));
        let policy = policy(&state.tenant_limit(tenant));
        // The limiter returns the same limit while the policy is the same, so that this compares it as well.
        let limit = self
            .limiter
            .handle(LimitKey::new("tenant", &tenant.id.to_string()), &policy);
        if let Some(before) = before
            && Arc::ptr_eq(&before.source, tenant)
            && Arc::ptr_eq(&before.routes, &routes)
            && Arc::ptr_eq(&before.limit, &limit)
        {
            return Arc::clone(before);
        }
        Arc::new(TenantEntry {
            id: tenant.id,
            id_text: tenant.id.to_string(),
            is_active: tenant.is_active,
            limit,
            routes,
            source: Arc::clone(tenant),
        })
    }

    fn routes(
        &self,
        sources: Vec<Arc<Route>>,
        owner: u32,
        before: Option<&Arc<Routes>>,
    ) -> Arc<Routes> {
        if let Some(before) = before
            && before.sources.len() == sources.len()
            && before
                .sources
                .iter()
                .zip(&sources)
                .all(|(old, new)| Arc::ptr_eq(old, new))
        {
            return Arc::clone(before);
        }
        let mut entries = Vec::with_capacity(sources.len());
        let mut table = Vec::with_capacity(sources.len());
        for route in &sources {
            let known = before.and_then(|before| {
                let position = before
                    .entries
                    .binary_search_by_key(&route.id, |entry| entry.id)
                    .ok()?;
                Some(&before.entries[position])
            });
            let compiled = match known {
                Some(known) if Arc::ptr_eq(&known.spec, route) => Ok(Arc::clone(known)),
                _ => RouteEntry::compile(
                    route,
                    &self.origins,
                    self.news.as_ref(),
                    known.map(|known| &**known),
                )
                .map(Arc::new),
            };
            let number = entries.len() as u32 | owner;
            match compiled.and_then(|entry| Ok((table_row(route, number)?, entry))) {
                Ok((row, entry)) => {
                    table.push(row);
                    entries.push(entry);
                }
                Err(error) => {
                    tracing::error!(route = %route.id, %error, "a stored route is not valid and is left out");
                }
            }
        }
        let table = RouteTable::build(&table).unwrap_or_else(|error| {
            tracing::error!(%error, "a table of routes cannot be built; its owner has none");
            entries.clear();
            RouteTable::build(&[]).expect("a table without routes can be built")
        });
        Arc::new(Routes {
            table,
            entries: entries.into(),
            sources: sources.into(),
        })
    }

    fn add_keys(&self, state: &State, snapshot: &mut Snapshot) {
        let mut legacy = Vec::new();
        for key in state.keys.values().filter(|key| key.revoked_at.is_none()) {
            let Some(tenant) = snapshot.tenants.get(&key.tenant_id) else {
                continue;
            };
            let entry = KeyEntry {
                tenant: Arc::clone(tenant),
                limit: key.rate_limit.map(|limit| {
                    self.limiter
                        .handle(LimitKey::new("key", &key.id.to_string()), &policy(&limit))
                }),
                expires_at: key.expires_at.map(jiff::Timestamp::as_millisecond),
            };
            match &key.hash {
                KeyHash::Hmac(digest) => {
                    snapshot.keys.insert(*digest, entry);
                }
                KeyHash::Bcrypt(hash) => {
                    legacy.push(LegacyKey {
                        id: key.id,
                        hash: hash.as_str().into(),
                    });
                    snapshot.legacy_entries.insert(key.id, entry);
                }
            }
        }
        snapshot.legacy = legacy.into();
    }
}

fn table_row(route: &Route, number: u32) -> Result<routing::Route, ConfigError> {
    let methods = match &route.method {
        MethodRule::Any => MethodFilter::Any,
        MethodRule::One(method) => MethodFilter::parse(method)?,
    };
    Ok(routing::Route {
        route: number,
        host: route.host.as_deref().map(HostPattern::parse).transpose()?,
        methods,
        path: PathPattern::parse(route.path_type.into(), &route.path)?,
        priority: route.priority,
        age: u64::try_from(route.created_at.as_microsecond()).unwrap_or(0),
    })
}

/// The policy of a configured limit.
pub(crate) fn policy(limit: &RateLimit) -> Policy {
    let (rate, on_store_loss, exact) = match *limit {
        RateLimit::PerSecond {
            requests_per_second,
            burst_size,
            on_store_loss,
            exact,
        } => (
            Rate::PerSecond {
                requests_per_second,
                burst_size,
            },
            on_store_loss,
            exact,
        ),
        RateLimit::Window {
            limit,
            window_ms,
            on_store_loss,
            exact,
        } => (Rate::Window { limit, window_ms }, on_store_loss, exact),
    };
    let fail_mode = match on_store_loss {
        OnStoreLoss::FailOpen => FailMode::Open,
        OnStoreLoss::FailShare => FailMode::Share,
        OnStoreLoss::FailClosed => FailMode::Closed,
    };
    let policy = Policy::new(rate).unwrap_or_else(|error| {
        tracing::error!(%error, "a stored limit is not valid; one request per second holds instead");
        Policy::new(Rate::PerSecond { requests_per_second: 1, burst_size: None }).expect("one per second is a policy")
    });
    policy.with_fail_mode(fail_mode).with_exact(exact)
}
