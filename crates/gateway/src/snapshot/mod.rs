//! The configuration as the data plane uses it: immutable, compiled, swapped whole.
//!
//! A snapshot is built beside the running one and shares with it whatever did not change, so that a reload costs as much
//! as the change and not as the configuration. What lives longer than a snapshot (limits, breakers, health, connections)
//! is carried over by identity.

mod attempts;
mod build;
mod endpoint;
mod headers;
pub(crate) mod last_good;
mod route;
mod route_limit;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use bastide_limit::Limit;
use bastide_routing::{Lookup, RequestLine, RouteTable, Scratch};
use uuid::Uuid;

pub(crate) use attempts::{Again, Attempts, Outcome, Picked};
pub(crate) use build::Compiler;
pub(crate) use endpoint::{Endpoint, EndpointNumber, EndpointState};
pub(crate) use route::RouteEntry;

use crate::legacy_keys::LegacyKey;
use crate::model::{Route, Tenant};

/// Everything that the data plane knows of the configuration.
pub(crate) struct Snapshot {
    keys: HashMap<[u8; 32], KeyEntry, BuildHasherDefault<DigestHasher>>,
    /// Keys whose HMAC is not known yet.
    pub(crate) legacy: Arc<[LegacyKey]>,
    legacy_entries: HashMap<Uuid, KeyEntry>,
    pub(crate) tenants: HashMap<Uuid, Arc<TenantEntry>>,
    pub(crate) platform: Arc<Routes>,
}

/// A live key.
pub(crate) struct KeyEntry {
    pub(crate) tenant: Arc<TenantEntry>,
    pub(crate) limit: Option<Arc<Limit>>,
    /// Milliseconds since the epoch.
    pub(crate) expires_at: Option<i64>,
}

/// A tenant and its own routes.
pub(crate) struct TenantEntry {
    pub(crate) id: Uuid,
    pub(crate) id_text: String,
    pub(crate) is_active: bool,
    pub(crate) limit: Arc<Limit>,
    pub(crate) routes: Arc<Routes>,
    /// What it was built from, to see whether the next snapshot can share it.
    source: Arc<Tenant>,
}

/// A table of routes and the routes that its numbers stand for.
pub(crate) struct Routes {
    table: RouteTable,
    pub(crate) entries: Box<[Arc<RouteEntry>]>,
    /// What they were built from, in the order of their ids.
    sources: Box<[Arc<Route>]>,
}

/// Set in the numbers of the platform's routes, so that a match tells whose it is.
const PLATFORM: u32 = 1 << 31;

/// A route that serves a request, or why there is none.
pub(crate) enum Found<'s> {
    /// The route, and how much of the path its prefix matched.
    Route(&'s RouteEntry, usize),
    /// Routes for other methods only.
    OtherMethods(bastide_routing::Allow),
    /// No route at all.
    Nothing,
}

impl Snapshot {
    pub(crate) fn key(&self, digest: &[u8; 32]) -> Option<&KeyEntry> {
        self.keys.get(digest)
    }

    /// A key that was verified by its bcrypt hash.
    pub(crate) fn legacy_key(&self, id: Uuid) -> Option<&KeyEntry> {
        self.legacy_entries.get(&id)
    }

    /// The best route: of the tenant's, if there is a tenant, and else of the platform's.
    pub(crate) fn lookup<'s>(
        &'s self,
        tenant: Option<&'s TenantEntry>,
        request: &RequestLine<'_>,
        scratch: &mut Scratch,
    ) -> Found<'s> {
        let tenants = tenant.map(|tenant| &*tenant.routes);
        let tables = tenants
            .into_iter()
            .chain([&*self.platform])
            .map(|routes| &routes.table);
        match RouteTable::lookup_in(tables, request, scratch) {
            Lookup::Found(found) => {
                let owner = match tenants {
                    Some(tenants) if found.route & PLATFORM == 0 => tenants,
                    _ => &*self.platform,
                };
                Found::Route(
                    &owner.entries[(found.route & !PLATFORM) as usize],
                    found.prefix_len,
                )
            }
            Lookup::MethodNotAllowed(allow) => Found::OtherMethods(allow),
            Lookup::NotFound => Found::Nothing,
        }
    }

    /// Every route, whoever's.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &Arc<RouteEntry>> {
        self.tenants
            .values()
            .flat_map(|tenant| &tenant.routes.entries)
            .chain(&*self.platform.entries)
    }
}

/// An HMAC is as random as a hash can be: eight bytes of it serve as one.
#[derive(Default)]
pub(crate) struct DigestHasher(u64);

impl Hasher for DigestHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_ne_bytes(*first);
        }
    }

    /// The length of the array, which says nothing.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}
