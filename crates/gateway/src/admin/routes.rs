//! `/admin/routes` and `/admin/tenants/{id}/routes`.

use bastide_config::Fields;
use bastide_rpc::Problem;
use uuid::Uuid;

use super::call::Call;
use super::configuration::Configuration;
use super::edit::{self, Edit};
use super::page::Page;
use super::problem::Code;
use super::reply::Reply;
use crate::declare::{ChangeSet, pattern};
use crate::model::read::{self, Object, Owner, Stamp, read_only};
use crate::model::{ManagedBy, Route, State, Tenant};

pub(super) fn list(configuration: &impl Configuration, call: &Call) -> Result<Reply, Problem> {
    let parameters = call.parameters(&["limit", "cursor", "tenantId"])?;
    let page = Page::of(&parameters)?;
    let tenant = parameters.id("tenantId")?;
    let state = configuration.state();
    let routes = state
        .routes
        .values()
        .filter(|route| tenant.is_none() || route.tenant_id == tenant);
    Ok(Reply::body(page.list(routes)))
}

pub(super) fn list_of_tenant(
    configuration: &impl Configuration,
    call: &Call,
) -> Result<Reply, Problem> {
    let page = Page::of(&call.parameters(&["limit", "cursor"])?)?;
    let state = configuration.state();
    let tenant = edit::find::<Tenant>(&state, call.id())?;
    Ok(Reply::body(
        page.list(
            state
                .routes
                .values()
                .filter(|route| route.tenant_id == Some(tenant.id)),
        ),
    ))
}

pub(super) async fn create(
    configuration: &impl Configuration,
    call: &Call,
) -> Result<Reply, Problem> {
    let body = call.json()?;
    let state = configuration.state();
    let draft = edit::validate(&body, |fields| {
        read_only(fields, Route::READ_ONLY, None);
        let route = read::route(fields, Owner::Named)?;
        match route.tenant_id {
            Some(id) if !state.tenants.contains_key(&id) => {
                fields.reject_field("tenantId", format!("there is no tenant with the id {id}"))
            }
            _ => Some(route),
        }
    })?;
    let route = draft.stamped(Stamp::new(Uuid::now_v7(), ManagedBy::Api, call.now));
    check_free(&state, &route)?;
    let author = call.author();
    let mut changes = ChangeSet::new(&author);
    changes.create(route.clone());
    edit::commit(configuration, call, changes).await?;
    Ok(Reply::object(&route).created(format!("/admin/routes/{}", route.id)))
}

pub(super) fn get(configuration: &impl Configuration, call: &Call) -> Result<Reply, Problem> {
    call.parameters(&[])?;
    let route = edit::find::<Route>(&configuration.state(), call.id())?;
    Ok(Reply::object(&*route).unless_known(call))
}

pub(super) async fn patch(
    configuration: &impl Configuration,
    call: &Call,
) -> Result<Reply, Problem> {
    change(configuration, call, Edit::Merge(call.json()?)).await
}

pub(super) async fn replace(
    configuration: &impl Configuration,
    call: &Call,
) -> Result<Reply, Problem> {
    change(configuration, call, Edit::Replace(call.json()?)).await
}

async fn change(
    configuration: &impl Configuration,
    call: &Call,
    edit: Edit,
) -> Result<Reply, Problem> {
    let state = configuration.state();
    let route = edit::find::<Route>(&state, call.id())?;
    let read = |fields: &mut Fields<'_, '_>| {
        let draft = read::route(fields, Owner::Named)?;
        if draft.tenant_id == route.tenant_id {
            return Some(draft);
        }
        fields.reject_field(
            "tenantId",
            "a route stays with its tenant; make another route for another tenant",
        )
    };
    let check = |after: &Route| {
        // Who only changes other members is not told about an older twin.
        if pattern(after) == pattern(&route) && after.priority == route.priority {
            return Ok(());
        }
        check_free(&state, after)
    };
    edit::change(configuration, call, &*route, edit, read, check).await
}

pub(super) async fn delete(
    configuration: &impl Configuration,
    call: &Call,
) -> Result<Reply, Problem> {
    let route = edit::find::<Route>(&configuration.state(), call.id())?;
    edit::check_changeable(call, &*route)?;
    let author = call.author();
    let mut changes = ChangeSet::new(&author);
    changes.delete(&*route);
    edit::commit(configuration, call, changes).await?;
    Ok(Reply::nothing())
}

/// Among routes that match the same requests with the same priority the oldest serves, so another would never do
/// anything. This also keeps a repeated POST from making a second one.
fn check_free(state: &State, route: &Route) -> Result<(), Problem> {
    let matched = pattern(route);
    let twin = state.routes.values().find(|other| {
        other.id != route.id
            && other.tenant_id == route.tenant_id
            && other.priority == route.priority
            && pattern(other) == matched
    });
    match twin {
        None => Ok(()),
        Some(twin) => {
            let message = format!(
                "the route {} matches the same requests; change that one, or give another `priority`",
                twin.id
            );
            Err(Code::RouteExists.at("path", message))
        }
    }
}
