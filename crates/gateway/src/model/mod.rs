//! What the gateway is told: tenants, their keys and routes, tiers and switches.
//!
//! These are plain values. [`crate::admin`] and the declarative file read them (with every problem collected),
//! [`crate::repository`] keeps them, `snapshot` compiles them into what the data plane uses. Their JSON is the
//! contract of the Admin API: camelCase, absent fields mean their defaults.

mod json_text;
mod key;
mod limit;
pub mod read;
mod resilience;
mod route;
mod state;
mod tenant;
mod transform;

pub use json_text::JsonText;
pub use key::{ApiKey, KeyHash};
pub use limit::{OnStoreLoss, RateLimit, Tiers};
pub use resilience::{
    CircuitBreaker, DEFAULT_RETRYABLE_STATUS_CODES, Fallback, HealthCheck, Resilience, Retry,
    Timeouts,
};
pub use route::{
    Auth, LoadBalancing, MethodRule, PathType, Protocol, Route, Upstream, UpstreamAddress,
    UpstreamUrl, UpstreamUrlError,
};
pub use state::{Audit, Change, Delta, Entity, Revision, State};
pub use tenant::{ManagedBy, Tenant};
pub use transform::{HeaderOps, PathRewrite, RequestTransform, ResponseTransform, Transform};
