//! What nearly every service imports: `use bastide::prelude::*;`.

pub use crate::{App, Result, Stop};
pub use bastide_auth::{Identity, Policy, TenantId};
pub use bastide_context::{Cx, Known, Public, System, Tenant};
pub use bastide_repo::{Entity, Filter, Found, Page, Query, Repo, RepoError, Timestamp, Uuid};
pub use bastide_rpc::{ApiError, Declared, Method, Problem, Route, Service, api, service};
pub use schemars::JsonSchema;
pub use serde::{Deserialize, Serialize};
