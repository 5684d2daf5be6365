//! What one call carries with it: who asks, for which tenant, until when, and where in a trace.
//!
//! A [`Cx`] is handed on as a value, never looked up. Its type parameter says what is known of the caller, so that a function
//! states by its signature what it needs: [`Tenant`] (the default) has an identity and a tenant, [`Known`] an identity,
//! [`Public`] perhaps nothing, [`System`] is the program's own work.
//!
//! # Invariants
//! - **A tenant comes from a proof.** A `Cx<Tenant>` is made of an [`Identity`] that has a tenant, or by
//!   [`Cx::for_tenant`] of work that the program does under a name of its own.
//! - **One deadline.** It is set where the call enters; who calls on may shorten it and cannot extend it.
//!
//! # What it deliberately does not do
//! No map of attributes: what a call needs is a parameter of its function. No ambient state of any kind.
//!
//! ```
//! use bastide_context::{Call, Cx, System};
//! use bastide_auth::TenantId;
//! use std::time::Duration;
//!
//! let cx: Cx<System> = Cx::system("nightly-report", Call::within(Duration::from_mins(5)));
//! let acme = TenantId::parse("acme").unwrap();
//! assert_eq!(cx.for_tenant(acme).tenant().as_str(), "acme");
//! ```
//!
//! A function that needs a tenant cannot be called without one:
//! ```compile_fail
//! use bastide_context::{Call, Cx};
//! fn invoices(_: &Cx) {}
//! let cx = Cx::system("nightly-report", Call::new());
//! invoices(&cx);
//! ```
#![forbid(unsafe_code)]

mod call;
mod scope;

use std::fmt;

use bastide_auth::{Denied, Identity, TenantId};
use bastide_telemetry::log::CALLS;
use tracing::Instrument as _;

pub use call::{Call, Caller, DeadlinePassed};
pub use scope::{Known, Public, Refused, Scope, System, Tenant};

/// The context of one call. Cheap to clone.
#[derive(Clone)]
pub struct Cx<S = Tenant> {
    call: Call,
    scope: S,
}

impl<S: Scope> Cx<S> {
    /// The context of a call by whom the verifier found, if that is enough for this scope.
    pub fn enter(call: Call, identity: Option<Identity>) -> Result<Self, Refused> {
        let scope = S::admit(identity)?;
        Ok(Self { call, scope })
    }

    /// Deadline, ids and trace.
    pub fn call(&self) -> &Call {
        &self.call
    }

    /// The caller, if one is known.
    pub fn identity(&self) -> Option<&Identity> {
        self.scope.identity()
    }

    /// Who acts, for records: the identity's subject, or `system:` and the name of the program's own work. `None`: a stranger.
    pub fn actor(&self) -> Option<&str> {
        self.scope.actor()
    }

    /// The same caller with another deadline; it is taken only where it is earlier.
    pub fn within(&self, limit: std::time::Duration) -> Self {
        Self {
            call: self.call.shortened(limit),
            scope: self.scope.clone(),
        }
    }
}

impl Cx<Tenant> {
    /// For whom the caller acts.
    pub fn tenant(&self) -> &TenantId {
        self.scope.tenant()
    }

    /// The same call where no tenant is needed.
    pub fn known(&self) -> Option<Cx<Known>> {
        let identity = self.identity()?.clone();
        Some(Cx {
            call: self.call.clone(),
            scope: Known::new(identity),
        })
    }
}

impl Cx<Known> {
    /// The same call for the caller's tenant, if the caller acts for one.
    pub fn tenant(&self) -> Result<Cx<Tenant>, Denied> {
        let identity = self.identity().ok_or(Denied::Tenant)?.clone();
        Ok(Cx {
            call: self.call.clone(),
            scope: Tenant::of(identity)?,
        })
    }
}

impl Cx<System> {
    /// The program's own work, under a name that will stand in records. [`Cx::run`] does it.
    pub fn system(name: &'static str, call: Call) -> Self {
        Self {
            call,
            scope: System::new(name),
        }
    }

    /// Does the work, until the call's deadline and no longer. Each line of the log that is written in it has the `request_id` and
    /// `trace_id` of the call, and its name as `work`.
    ///
    /// ```
    /// # use bastide_context::{Call, Cx, DeadlinePassed};
    /// # async fn nightly() -> Result<(), DeadlinePassed> {
    /// Cx::system("nightly-report", Call::new()).run(async |cx| {
    ///     tracing::info!("begun");
    /// #   let _ = cx;
    /// }).await
    /// # }
    /// ```
    pub async fn run<T>(self, work: impl AsyncFnOnce(Self) -> T) -> Result<T, DeadlinePassed> {
        let call = self.call.clone();
        let span = call.span();
        let name =
            span.in_scope(|| tracing::error_span!(target: CALLS, "work", work = self.scope.name()));
        call.run(work(self).instrument(name)).await
    }

    /// The same work for one tenant. Take the tenant from what the program itself wrote down, never from a request.
    pub fn for_tenant(&self, tenant: TenantId) -> Cx<Tenant> {
        Cx {
            call: self.call.clone(),
            scope: Tenant::by_system(&self.scope, tenant),
        }
    }
}

impl<S: Scope> fmt::Debug for Cx<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cx")
            .field("actor", &self.actor())
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}
