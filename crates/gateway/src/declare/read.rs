//! Reads a declarative document out of a tree.

use bastide_config::{Fields, Node, Problems, Secret, parse};
use serde_json::Value;

use super::document::{Declared, DeclaredKey, DeclaredRoute, DeclaredTenant, KeyMaterial};
use super::duplicates;
use crate::model::read::{self as object, Owner};
use crate::model::{KeyHash, Tiers};

const MAX_TENANTS: usize = 1_000_000;
const MAX_KEYS: usize = 1_000;
const MAX_ROUTES: usize = 1_000_000;
const MAX_HINT: usize = 8;

/// Looks up an environment variable for `${env:NAME}`, or says why not.
pub type Environment<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// For documents that come from elsewhere: what the gateway's own environment holds is not theirs to use.
pub fn no_environment(_: &str) -> Result<String, String> {
    Err("`${env:...}` works in a file of the gateway only; give the key or its hash".to_owned())
}

/// A whole document, also when it is wrapped as `{data: ...}`, which is how it is exported. Where it names no
/// tiers, `known` are the ones that tenants can have.
pub fn read(
    value: &Value,
    known: &Tiers,
    environment: Environment<'_>,
) -> Result<Declared, Problems> {
    let mut problems = Problems::new();
    let node = Node::new(value, &mut problems);
    let is_wrapped = value
        .as_object()
        .is_some_and(|root| root.len() == 1 && root.contains_key("data"));
    let declared = if is_wrapped {
        node.object(|fields| fields.required("data", |node| document(node, known, environment)))
    } else {
        document(node, known, environment)
    };
    let Some(declared) = declared else {
        return Err(problems);
    };
    for problem in duplicates::find(&declared) {
        problems.push(problem);
    }
    problems.into_result(declared)
}

fn document(node: Node<'_, '_>, known: &Tiers, environment: Environment<'_>) -> Option<Declared> {
    node.object(|fields| {
        let tiers = fields.optional("tiers", object::tiers);
        let known = tiers.as_ref().unwrap_or(known);
        let tenants = list(fields, "tenants", MAX_TENANTS, |node| {
            tenant(node, known, environment)
        });
        let routes = list(fields, "routes", MAX_ROUTES, |node| {
            route(node, Owner::Platform)
        });
        Some(Declared {
            tiers,
            tenants,
            routes,
        })
    })
}

fn list<T>(
    fields: &mut Fields<'_, '_>,
    name: &'static str,
    most: usize,
    element: impl Fn(Node<'_, '_>) -> Option<T> + Copy,
) -> Option<Vec<T>> {
    fields.optional(name, parse::list(0..=most, element))
}

fn tenant(
    node: Node<'_, '_>,
    known: &Tiers,
    environment: Environment<'_>,
) -> Option<DeclaredTenant> {
    let place = node.path().clone();
    node.object(|fields| {
        let id = identity(fields);
        let tenant = object::tenant(fields, known);
        let keys = list(fields, "keys", MAX_KEYS, |node| key(node, environment));
        let routes = list(fields, "routes", MAX_ROUTES, |node| {
            route(node, Owner::Nested)
        });
        Some(DeclaredTenant {
            place,
            id,
            tenant: tenant?,
            keys,
            routes,
        })
    })
}

fn key(node: Node<'_, '_>, environment: Environment<'_>) -> Option<DeclaredKey> {
    let place = node.path().clone();
    node.object(|fields| {
        let id = identity(fields);
        let settings = object::key(fields);
        let plain = fields.optional("key", |node| plain_key(node, environment));
        let hash = fields.optional("hash", hash);
        let hint = fields.optional("hint", parse::string(0..=MAX_HINT));
        let (has_plain, has_hash) = (fields.has("key"), fields.has("hash"));
        if has_plain && has_hash {
            return fields.reject_field("hash", "stands beside `key`; give one of the two");
        }
        if !has_plain && !has_hash {
            return fields.reject("expected `hash` (made by `bastide gateway keys hash`) or `key`");
        }
        if has_plain && hint.is_some() {
            return fields.reject_field("hint", "is taken from `key`; leave it out");
        }
        let material = plain
            .map(KeyMaterial::Plain)
            .or(hash.map(KeyMaterial::Hash))?;
        Some(DeclaredKey {
            place,
            id,
            settings,
            material,
            hint,
        })
    })
}

fn route(node: Node<'_, '_>, owner: Owner) -> Option<DeclaredRoute> {
    let place = node.path().clone();
    node.object(|fields| {
        let id = identity(fields);
        let route = object::route(fields, owner);
        Some(DeclaredRoute {
            place,
            id,
            route: route?,
        })
    })
}

/// `managedBy` stands in exports for people to see; who applies the document decides it anew.
fn identity(fields: &mut Fields<'_, '_>) -> Option<uuid::Uuid> {
    fields.ignore("managedBy");
    fields.optional("id", object::uuid)
}

/// The key itself, or `${env:NAME}` for the value of an environment variable.
fn plain_key(mut node: Node<'_, '_>, environment: Environment<'_>) -> Option<Secret> {
    let name = match node.value() {
        Value::String(text) if text.starts_with("${") => text
            .strip_prefix("${env:")
            .and_then(|rest| rest.strip_suffix('}')),
        _ => return object::api_key(node),
    };
    let is_name = |name: &&str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let Some(name) = name.filter(is_name) else {
        return node.reject("expected `${env:NAME}` with the name of an environment variable");
    };
    match environment(name) {
        Ok(key) => {
            let value = Value::String(key);
            let read = bastide_config::read::tree_at(node.path().clone(), &value, object::api_key);
            match read {
                Ok(key) => Some(key),
                Err(problems) => {
                    for problem in problems {
                        node.reject::<()>(format!("${{env:{name}}}: {}", problem.message));
                    }
                    None
                }
            }
        }
        Err(message) => node.reject(message),
    }
}

fn hash(mut node: Node<'_, '_>) -> Option<KeyHash> {
    let Value::String(text) = node.value() else {
        return node.reject("expected a string");
    };
    match KeyHash::try_from(text.clone()) {
        Ok(hash) => Some(hash),
        Err(error) => node.reject(error.to_string()),
    }
}
