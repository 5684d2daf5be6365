//! A demo tenant and route, for a first look.

use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use crate::declare::{Author, ChangeSet};
use crate::keys::Keys;
use crate::model::{
    ApiKey, Auth, LoadBalancing, ManagedBy, MethodRule, PathType, Protocol, Route, State, Tenant,
    Upstream, UpstreamUrl,
};
use crate::repository::{CommitError, Repository};

const TENANT: &str = "demo";

/// What answers the demo route: the gateway's own health endpoint, as it is the one server that is surely there.
const UPSTREAM: &str = "http://127.0.0.1:3001/health";

/// Makes the tenant `demo` with a key and a route `/demo`, unless there is one. Returns what to tell the user.
pub async fn seed(repository: &Repository, keys: &Keys) -> Result<String, CommitError> {
    let mut state = State::default();
    state.apply(repository.load(0).await?.delta);
    if state
        .tenants
        .values()
        .any(|tenant: &Arc<Tenant>| tenant.name == TENANT)
    {
        return Ok(format!(
            "there is a tenant `{TENANT}` already; nothing was changed"
        ));
    }
    let now = Timestamp::now();
    let minted = keys.mint();
    let tenant = Tenant {
        id: Uuid::now_v7(),
        name: TENANT.to_owned(),
        tier: "free".to_owned(),
        rate_limit: None,
        is_active: true,
        managed_by: ManagedBy::Api,
        created_at: now,
        updated_at: now,
        version: 1,
    };
    let key = ApiKey {
        id: Uuid::now_v7(),
        tenant_id: tenant.id,
        name: "default".to_owned(),
        hash: minted.hash,
        hint: minted.hint,
        rate_limit: None,
        expires_at: None,
        revoked_at: None,
        replaced_by: None,
        managed_by: ManagedBy::Api,
        created_at: now,
        updated_at: now,
        version: 1,
    };
    let url = UpstreamUrl::try_from(UPSTREAM.to_owned()).expect("the demo's URL is valid");
    let route = Route {
        id: Uuid::now_v7(),
        tenant_id: Some(tenant.id),
        method: MethodRule::One("GET".to_owned()),
        host: None,
        path: "/demo".to_owned(),
        path_type: PathType::Prefix,
        strip_prefix: true,
        priority: 0,
        auth: Auth::ApiKey,
        upstreams: vec![Upstream {
            url,
            weight: 1,
            timeout: None,
            protocol: Protocol::default(),
        }],
        load_balancing: LoadBalancing::RoundRobin,
        rate_limit: None,
        transform: None,
        resilience: None,
        is_active: true,
        managed_by: ManagedBy::Api,
        created_at: now,
        updated_at: now,
        version: 1,
    };
    let author = Author {
        actor: "system",
        request_id: None,
        now,
    };
    let mut changes = ChangeSet::new(&author);
    changes.create(tenant);
    changes.create(key);
    changes.create(route);
    repository.commit(changes.into_commit()).await?;
    Ok(format!(
        "tenant `{TENANT}`, key {} (shown this once)\ntry: curl -i -H 'X-API-Key: {}' http://127.0.0.1:3000/demo",
        minted.key, minted.key
    ))
}
