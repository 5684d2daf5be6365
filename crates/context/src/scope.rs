//! What is known of the caller, as types.

use std::sync::Arc;

use bastide_auth::{AuthError, Denied, Identity, TenantId};

/// What is known of a caller. Four types are: [`Public`], [`Known`], [`Tenant`], [`System`].
pub trait Scope: sealed::Sealed + Clone + Send + Sync + 'static {
    /// Makes the scope of whom the verifier found, if that is enough.
    fn admit(identity: Option<Identity>) -> Result<Self, Refused>;

    /// The caller, if one is known.
    fn identity(&self) -> Option<&Identity>;

    /// Who acts, for records.
    fn actor(&self) -> Option<&str> {
        self.identity().map(Identity::subject)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Public {}
    impl Sealed for super::Known {}
    impl Sealed for super::Tenant {}
    impl Sealed for super::System {}
}

/// Why a caller does not get the scope that an entry needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nobody is known. An HTTP 401.
    #[error(transparent)]
    Stranger(#[from] AuthError),
    /// Who is known lacks something. An HTTP 403.
    #[error(transparent)]
    Denied(#[from] Denied),
}

/// Anybody. The caller may be known.
#[derive(Debug, Clone)]
pub struct Public(Option<Identity>);

/// Somebody with an identity, for a tenant or for none.
#[derive(Debug, Clone)]
pub struct Known(Identity);

/// Somebody who acts for a tenant.
#[derive(Debug, Clone)]
pub struct Tenant {
    actor: Actor,
    tenant: TenantId,
}

/// The program itself.
#[derive(Debug, Clone)]
pub struct System(Arc<str>);

/// Before the name of a program's own work where it stands as who acts.
const PREFIX: &str = "system:";

#[derive(Debug, Clone)]
enum Actor {
    Identity(Identity),
    System(System),
}

impl Known {
    pub(crate) fn new(identity: Identity) -> Self {
        Self(identity)
    }
}

impl Tenant {
    pub(crate) fn of(identity: Identity) -> Result<Self, Denied> {
        let tenant = identity.tenant().ok_or(Denied::Tenant)?.clone();
        let actor = Actor::Identity(identity);
        Ok(Self { actor, tenant })
    }

    pub(crate) fn by_system(system: &System, tenant: TenantId) -> Self {
        let actor = Actor::System(system.clone());
        Self { actor, tenant }
    }

    pub(crate) fn tenant(&self) -> &TenantId {
        &self.tenant
    }
}

impl System {
    pub(crate) fn new(name: &str) -> Self {
        Self(format!("{PREFIX}{name}").into())
    }

    pub(crate) fn name(&self) -> &str {
        self.0.strip_prefix(PREFIX).unwrap_or(&self.0)
    }
}

impl Scope for Public {
    fn admit(identity: Option<Identity>) -> Result<Self, Refused> {
        Ok(Self(identity))
    }

    fn identity(&self) -> Option<&Identity> {
        self.0.as_ref()
    }
}

impl Scope for Known {
    fn admit(identity: Option<Identity>) -> Result<Self, Refused> {
        identity
            .map(Self)
            .ok_or(Refused::Stranger(AuthError::Missing))
    }

    fn identity(&self) -> Option<&Identity> {
        Some(&self.0)
    }
}

impl Scope for Tenant {
    fn admit(identity: Option<Identity>) -> Result<Self, Refused> {
        let identity = identity.ok_or(Refused::Stranger(AuthError::Missing))?;
        Ok(Self::of(identity)?)
    }

    fn identity(&self) -> Option<&Identity> {
        match &self.actor {
            Actor::Identity(identity) => Some(identity),
            Actor::System(_) => None,
        }
    }

    fn actor(&self) -> Option<&str> {
        match &self.actor {
            Actor::Identity(identity) => Some(identity.subject()),
            Actor::System(system) => system.actor(),
        }
    }
}

impl Scope for System {
    /// Nobody from outside is the program.
    fn admit(_: Option<Identity>) -> Result<Self, Refused> {
        Err(Refused::Denied(Denied::ServicesOnly))
    }

    fn identity(&self) -> Option<&Identity> {
        None
    }

    fn actor(&self) -> Option<&str> {
        Some(&self.0)
    }
}
