//! Which endpoint a method and a path name. This table is the whole of the Admin API.

use http::Method;
use uuid::Uuid;

/// An endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    ListTenants,
    CreateTenant,
    GetTenant,
    PatchTenant,
    DeleteTenant,
    ListKeys,
    CreateKey,
    GetKey,
    PatchKey,
    RevokeKey,
    RotateKey,
    ListTenantRoutes,
    ListRoutes,
    CreateRoute,
    GetRoute,
    PatchRoute,
    ReplaceRoute,
    DeleteRoute,
    ListAudit,
    GetConfig,
    PutConfig,
    GetMaintenance,
    PutMaintenance,
}

type Row = (&'static str, &'static [(Method, Endpoint)]);

/// Paths, with `{}` for an id, and what each method does there.
const TABLE: &[Row] = &[
    (
        "/admin/tenants",
        &[
            (Method::GET, Endpoint::ListTenants),
            (Method::POST, Endpoint::CreateTenant),
        ],
    ),
    (
        "/admin/tenants/{}",
        &[
            (Method::GET, Endpoint::GetTenant),
            (Method::PATCH, Endpoint::PatchTenant),
            (Method::DELETE, Endpoint::DeleteTenant),
        ],
    ),
    (
        "/admin/tenants/{}/keys",
        &[
            (Method::GET, Endpoint::ListKeys),
            (Method::POST, Endpoint::CreateKey),
        ],
    ),
    (
        "/admin/tenants/{}/keys/{}",
        &[
            (Method::GET, Endpoint::GetKey),
            (Method::PATCH, Endpoint::PatchKey),
            (Method::DELETE, Endpoint::RevokeKey),
        ],
    ),
    (
        "/admin/tenants/{}/keys/{}/rotate",
        &[(Method::POST, Endpoint::RotateKey)],
    ),
    (
        "/admin/tenants/{}/routes",
        &[(Method::GET, Endpoint::ListTenantRoutes)],
    ),
    (
        "/admin/routes",
        &[
            (Method::GET, Endpoint::ListRoutes),
            (Method::POST, Endpoint::CreateRoute),
        ],
    ),
    (
        "/admin/routes/{}",
        &[
            (Method::GET, Endpoint::GetRoute),
            (Method::PATCH, Endpoint::PatchRoute),
            (Method::PUT, Endpoint::ReplaceRoute),
            (Method::DELETE, Endpoint::DeleteRoute),
        ],
    ),
    ("/admin/audit", &[(Method::GET, Endpoint::ListAudit)]),
    (
        "/admin/config",
        &[
            (Method::GET, Endpoint::GetConfig),
            (Method::PUT, Endpoint::PutConfig),
        ],
    ),
    (
        "/admin/maintenance",
        &[
            (Method::GET, Endpoint::GetMaintenance),
            (Method::PUT, Endpoint::PutMaintenance),
        ],
    ),
];

/// What a method and a path name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// An endpoint, and the ids in the path.
    Endpoint(Endpoint, Vec<Uuid>),
    /// OPTIONS on a path: the methods that it has.
    Options(String),
    /// A path that has other methods.
    OtherMethods(String),
    /// No path of this API.
    Nothing,
}

/// Looks the endpoint up. HEAD is GET without a body.
pub(super) fn find(method: &Method, path: &str) -> Named {
    let row = TABLE
        .iter()
        .find_map(|(template, methods)| Some((ids(template, path)?, methods)));
    let Some((ids, methods)) = row else {
        return Named::Nothing;
    };
    let wanted = if method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    if let Some((_, endpoint)) = methods.iter().find(|(method, _)| method == wanted) {
        return Named::Endpoint(*endpoint, ids);
    }
    let has_get = methods.iter().any(|(method, _)| method == Method::GET);
    let names = methods
        .iter()
        .map(|(method, _)| method.as_str())
        .chain(has_get.then_some("HEAD"))
        .chain(["OPTIONS"]);
    let allow = names.collect::<Vec<_>>().join(", ");
    if method == Method::OPTIONS {
        Named::Options(allow)
    } else {
        Named::OtherMethods(allow)
    }
}

/// The ids in a path, if it fits the template. What is no UUID names nothing.
fn ids(template: &str, path: &str) -> Option<Vec<Uuid>> {
    let mut ids = Vec::new();
    let mut segments = path.split('/');
    for expected in template.split('/') {
        let segment = segments.next()?;
        if expected == "{}" {
            ids.push(segment.parse().ok().filter(|_| segment.len() == 36)?);
        } else if expected != segment {
            return None;
        }
    }
    segments.next().is_none().then_some(ids)
}
