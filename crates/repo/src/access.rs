//! By what right a statement is made.

use std::time::Duration;

use bastide_auth::TenantId;
use bastide_context::{Call, Cx, Scope, Tenant};
use bastide_db::{DbError, Local, Value};

use crate::Table;
use crate::error::{RepoError, Result};
use crate::tenant_tx::TenantTx;

/// How long after a deadline the database's own word is waited for: it is told to end the statement at the deadline, and one
/// that it ended leaves a sound connection.
const GRACE: Duration = Duration::from_millis(150);

/// Whose the rows of an entity are: [`PerTenant`] or [`Shared`].
pub trait Ownership: sealed::Sealed + Send + Sync + 'static {}

/// Each row is one tenant's: reached only by who acts for it.
#[derive(Debug, Clone, Copy)]
pub struct PerTenant;

/// The rows are everybody's: reached by every call.
#[derive(Debug, Clone, Copy)]
pub struct Shared;

impl Ownership for PerTenant {}
impl Ownership for Shared {}

/// By what right rows of this ownership are reached: `&Cx<Tenant>` and `&TenantTx` for those of a tenant, any `&Cx` for shared
/// ones. A statement by a `&Cx` is a transaction of its own.
///
/// There is no other way:
/// ```compile_fail
/// use bastide_context::{Call, Cx, System};
/// # use bastide_repo::{Entity, Repo, Uuid};
/// # #[derive(Entity)]
/// # #[entity(table = "invoices", tenant)]
/// # struct Invoice { #[entity(id)] id: Uuid }
/// # async fn example(invoices: Repo<Invoice>) {
/// let cx: Cx<System> = Cx::system("nightly-report", Call::new());
/// invoices.find(&cx, Uuid::nil()).await; // for which tenant?
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "this does not give access to the entity's rows",
    label = "rows of a tenant need a `&Cx<Tenant>` or a `&TenantTx`",
    note = "`Cx<System>::for_tenant` gives one for work of the program; cross-tenant work goes through `across_tenants`"
)]
pub trait Access<'a, O>: sealed::Sealed + Send {
    #[doc(hidden)]
    fn by(self) -> By<'a>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::PerTenant {}
    impl Sealed for super::Shared {}
    impl<S: super::Scope> Sealed for &super::Cx<S> {}
    impl Sealed for &super::TenantTx {}
}

impl<'a> Access<'a, PerTenant> for &'a Cx<Tenant> {
    fn by(self) -> By<'a> {
        By(Way::Call(Who::tenant(self)))
    }
}

impl<'a, S: Scope> Access<'a, Shared> for &'a Cx<S> {
    fn by(self) -> By<'a> {
        By(Way::Call(Who {
            call: self.call().clone(),
            tenant: None,
            actor: self.actor().map(str::to_owned),
            is_across: false,
        }))
    }
}

impl<'a, O: Ownership> Access<'a, O> for &'a TenantTx {
    fn by(self) -> By<'a> {
        By(Way::Transaction(self))
    }
}

/// What an [`Access`] comes to.
#[doc(hidden)]
pub struct By<'a>(pub(crate) Way<'a>);

pub(crate) enum Way<'a> {
    Call(Who),
    Transaction(&'a TenantTx),
}

impl Way<'_> {
    pub(crate) fn who(&self) -> &Who {
        match self {
            Self::Call(who) => who,
            Self::Transaction(transaction) => transaction.who(),
        }
    }
}

/// Who asks, for whom, and until when.
#[derive(Debug, Clone)]
pub(crate) struct Who {
    pub(crate) call: Call,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) actor: Option<String>,
    /// For all tenants at once.
    pub(crate) is_across: bool,
}

impl Who {
    pub(crate) fn tenant(cx: &Cx<Tenant>) -> Self {
        Self {
            call: cx.call().clone(),
            tenant: Some(cx.tenant().clone()),
            actor: cx.actor().map(str::to_owned),
            is_across: false,
        }
    }

    pub(crate) fn tenant_value(&self) -> Value {
        if self.is_across {
            // No tenant's name can be this.
            return Value::from("*");
        }
        Value::from(self.tenant.as_ref().map(TenantId::as_str))
    }

    /// What the database is told for one transaction.
    pub(crate) fn local(&self, is_read_only: bool) -> Result<Local> {
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        Ok(Local {
            settings: vec![
                (
                    "app.tenant_id",
                    text(self.tenant.as_ref().map(TenantId::as_str)),
                ),
                ("app.user_id", text(self.actor.as_deref())),
                ("app.is_system", self.is_across.to_string()),
            ],
            limit: self.call.remaining()?,
            is_read_only,
        })
    }

    /// Waits until the deadline, and says which errors are its doing.
    pub(crate) async fn until_deadline<T, E: From<RepoError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let Some(deadline) = self.call.deadline() else {
            return work.await;
        };
        match tokio::time::timeout_at(deadline + GRACE, work).await {
            Ok(result) => result,
            Err(_) => Err(RepoError::DeadlinePassed.into()),
        }
    }

    /// A statement that the database ended at the deadline says that it took too long.
    pub(crate) fn judge(&self, error: DbError) -> RepoError {
        if self.was_too_late(&error) {
            RepoError::DeadlinePassed
        } else {
            error.into()
        }
    }

    /// The same for a statement on this table.
    pub(crate) fn judge_of(&self, error: DbError, table: &'static Table) -> RepoError {
        if self.was_too_late(&error) {
            RepoError::DeadlinePassed
        } else {
            RepoError::of(error, table)
        }
    }

    fn was_too_late(&self, error: &DbError) -> bool {
        matches!(error, DbError::Timeout { .. }) && self.call.remaining().is_err()
    }
}
