//! Reads routes.

use bastide_config::{Fields, Node, parse};
use bastide_routing::{HostPattern, PathPattern};
use uuid::Uuid;

use super::resilience::resilience;
use super::syntax::{one_method, uuid};
use super::transform::transform;
use super::upstream::upstream;
use super::{Stamp, rate_limit};
use crate::model::{Auth, LoadBalancing, MethodRule, PathType, Route};

/// What the public listener always answers itself. Whether it does so below `/admin` depends on the settings of a node.
const OWN_PATHS: [&str; 2] = ["/health", "/ready"];

const MAX_PATH: usize = 1_024;
const MAX_HOST: usize = 255;
const MAX_UPSTREAMS: usize = 256;
const MAX_PRIORITY: i32 = 1_000_000;

/// Where a route's tenant is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// In its own member `tenantId`; the platform's without.
    Named,
    /// By standing among a tenant's routes. The draft's tenant is the nil UUID, for the caller to replace.
    Nested,
    /// Nowhere: the route is the platform's.
    Platform,
}

/// A route with every member that a client may write. A draft.
pub fn route(fields: &mut Fields<'_, '_>, owner: Owner) -> Option<Route> {
    let (tenant_id, has_tenant) = match owner {
        // A tenant's id that cannot be read still says that the route is a tenant's.
        Owner::Named => (
            fields.optional("tenantId", uuid),
            fields.raw("tenantId").is_some_and(|id| !id.is_null()),
        ),
        Owner::Nested => (Some(Uuid::nil()), true),
        Owner::Platform => (None, false),
    };
    let method = fields.required("method", method);
    let host = fields.optional("host", host);
    let path_type = fields.or("pathType", PathType::default(), parse::choice(&PATH_TYPES));
    let path = fields.required("path", |node| path(node, path_type));
    let strip_prefix = fields.or("stripPrefix", true, parse::boolean);
    let priority = fields.or("priority", 0, parse::integer(-MAX_PRIORITY..=MAX_PRIORITY));
    let auth = fields.or("auth", Auth::default(), parse::choice(&AUTH));
    let upstreams = fields.required("upstreams", parse::list(1..=MAX_UPSTREAMS, upstream));
    let load_balancing = fields.or(
        "loadBalancing",
        LoadBalancing::default(),
        parse::choice(&LOAD_BALANCING),
    );
    let rate_limit = fields.optional("rateLimit", rate_limit);
    let transform = fields.optional("transform", transform);
    let resilience = fields.optional("resilience", resilience);
    let is_active = fields.or("isActive", true, parse::boolean);
    if auth == Auth::None && has_tenant {
        fields.reject_field::<()>(
            "auth",
            "only a route of the platform (one without a tenant) can be open: it is the API key that tells whose a \
             request is",
        );
    }
    let Stamp {
        id,
        managed_by,
        created_at,
        updated_at,
        version,
    } = Stamp::draft();
    Some(Route {
        id,
        tenant_id,
        method: method?,
        host,
        path: path?,
        path_type,
        strip_prefix,
        priority,
        auth,
        upstreams: upstreams?,
        load_balancing,
        rate_limit,
        transform: transform.map(Box::new),
        resilience: resilience.map(Box::new),
        is_active,
        managed_by,
        created_at,
        updated_at,
        version,
    })
}

const PATH_TYPES: [(&str, PathType); 3] = [
    ("exact", PathType::Exact),
    ("prefix", PathType::Prefix),
    ("regex", PathType::Regex),
];

const AUTH: [(&str, Auth); 2] = [("api-key", Auth::ApiKey), ("none", Auth::None)];

const LOAD_BALANCING: [(&str, LoadBalancing); 5] = [
    ("round-robin", LoadBalancing::RoundRobin),
    ("weighted", LoadBalancing::Weighted),
    ("random", LoadBalancing::Random),
    ("least-request", LoadBalancing::LeastRequest),
    ("peak-ewma", LoadBalancing::PeakEwma),
];

fn method(mut node: Node<'_, '_>) -> Option<MethodRule> {
    match node.value().as_str() {
        Some("*") => Some(MethodRule::Any),
        _ => one_method(node.again()).map(MethodRule::One),
    }
}

/// Hosts compare without case, so they are kept in lower case.
fn host(mut node: Node<'_, '_>) -> Option<String> {
    let text = parse::string(1..=MAX_HOST)(node.again())?;
    match HostPattern::parse(&text) {
        Ok(_) => Some(text.to_ascii_lowercase()),
        Err(error) => node.reject(error.to_string()),
    }
}

fn path(mut node: Node<'_, '_>, path_type: PathType) -> Option<String> {
    let path = parse::string(1..=MAX_PATH)(node.again())?;
    if let Err(error) = PathPattern::parse(path_type.into(), &path) {
        return node.reject(error.to_string());
    }
    let form = PathPattern::form(path_type.into(), &path).unwrap_or_default();
    if path_type == PathType::Exact && OWN_PATHS.contains(&&*form) {
        return node.reject(format!(
            "`{form}` is the gateway's own endpoint, which no route can shadow; choose another path"
        ));
    }
    Some(path)
}
