//! The state as a declarative document.

use serde_json::{Map, Value, json};

use super::changes::sorted;
use crate::model::read::Object;
use crate::model::{ApiKey, ManagedBy, Route, State, Tenant};

/// Members that a document does not say: they follow from where an entry stands and when it is applied.
const LEFT_OUT: [&str; 7] = [
    "tenantId",
    "createdAt",
    "updatedAt",
    "version",
    "revokedAt",
    "replacedBy",
    "managedBy",
];

/// Everything that is configured, in the form that is read again: tiers, tenants with their keys (as hashes) and
/// routes, the platform's routes. Oldest first; revoked keys are left out.
pub fn export(state: &State) -> Value {
    let mut keys = group(&state.keys, |key| {
        (key.revoked_at.is_none()).then_some(key.tenant_id)
    });
    let mut routes = group(&state.routes, |route| Some(route.tenant_id));
    let platform = routes.remove(&None).unwrap_or_default();
    let tenants: Vec<Value> = sorted(state.tenants.values())
        .into_iter()
        .map(|tenant| {
            let keys = keys.remove(&tenant.id).unwrap_or_default();
            let routes = routes.remove(&Some(tenant.id)).unwrap_or_default();
            tenant_entry(tenant, &keys, &routes)
        })
        .collect();
    json!({
        "tiers": *state.tiers,
        "tenants": tenants,
        "routes": platform.iter().map(|route| entry(&***route)).collect::<Vec<_>>(),
    })
}

type Grouped<'s, K, O> = std::collections::HashMap<K, Vec<&'s std::sync::Arc<O>>>;

fn group<K: Eq + std::hash::Hash, O: Object>(
    objects: &std::collections::HashMap<uuid::Uuid, std::sync::Arc<O>>,
    owner: impl Fn(&O) -> Option<K>,
) -> Grouped<'_, K, O> {
    let mut groups = Grouped::new();
    for object in sorted(objects.values()) {
        if let Some(owner) = owner(object) {
            groups.entry(owner).or_default().push(object);
        }
    }
    groups
}

fn tenant_entry(
    tenant: &Tenant,
    keys: &[&std::sync::Arc<ApiKey>],
    routes: &[&std::sync::Arc<Route>],
) -> Value {
    let mut value = entry(tenant);
    value["keys"] = keys.iter().map(|key| key_entry(key)).collect();
    value["routes"] = routes.iter().map(|route| entry(&***route)).collect();
    value
}

fn key_entry(key: &ApiKey) -> Value {
    let mut value = entry(key);
    value["hash"] = Value::String(key.hash.clone().into());
    value
}

fn entry<O: Object>(object: &O) -> Value {
    let Value::Object(members) = object.public() else {
        return Value::Null;
    };
    let mut members: Map<String, Value> = members
        .into_iter()
        .filter(|(name, value)| !LEFT_OUT.contains(&name.as_str()) && !value.is_null())
        .collect();
    if object.stamp().managed_by == ManagedBy::File {
        members.insert("managedBy".to_owned(), json!("file"));
    }
    Value::Object(members)
}
