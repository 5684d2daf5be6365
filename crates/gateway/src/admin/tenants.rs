//! `/admin/tenants`: tenants, made together with their first key.

use bastide_rpc::Problem;
use serde_json::Value;
use uuid::Uuid;

use super::call::Call;
use super::configuration::Configuration;
use super::edit::{self, Edit};
use super::keys;
use super::page::Page;
use super::problem::Code;
use super::reply::Reply;
use crate::declare::ChangeSet;
use crate::model::read::{self, KeySettings, Object, Stamp, read_only};
use crate::model::{ManagedBy, State, Tenant};

pub(super) fn list(configuration: &impl Configuration, call: &Call) -> Result<Reply, Problem> {
    let parameters = call.parameters(&["limit", "cursor", "name"])?;
    let page = Page::of(&parameters)?;
    let name = parameters.text("name");
    let state = configuration.state();
    let tenants = state
        .tenants
        .values()
        .filter(|tenant| name.is_none_or(|name| tenant.name == name));
    Ok(Reply::body(page.list(tenants)))
}

/// Without `apiKey` a key is made. Either way it is shown in this answer and never again.
pub(super) async fn create(
    configuration: &impl Configuration,
    call: &Call,
) -> Result<Reply, Problem> {
    let body = call.json()?;
    let state = configuration.state();
    let (tenant, chosen) = edit::validate(&body, |fields| {
        read_only(fields, Tenant::READ_ONLY, None);
        let chosen = fields.optional("apiKey", read::api_key);
        Some((read::tenant(fields, &state.tiers)?, chosen))
    })?;
    let tenant = tenant.stamped(Stamp::new(Uuid::now_v7(), ManagedBy::Api, call.now));
    check_name(&state, &tenant)?;
    let settings = KeySettings {
        name: "default".to_owned(),
        rate_limit: None,
        expires_at: None,
    };
    let (key, shown) = keys::make(configuration.keys(), call.now, tenant.id, settings, chosen);
    keys::check_free(&state, &key)?;
    let author = call.author();
    let mut changes = ChangeSet::new(&author);
    changes.create(tenant.clone());
    changes.create(key);
    edit::commit(configuration, call, changes).await?;
    let location = format!("/admin/tenants/{}", tenant.id);
    Ok(Reply::object(&tenant)
        .created(location)
        .with_api_key(shown.expose()))
}

pub(super) fn get(configuration: &impl Configuration, call: &Call) -> Result<Reply, Problem> {
    call.parameters(&[])?;
    let tenant = edit::find::<Tenant>(&configuration.state(), call.id())?;
    Ok(Reply::object(&*tenant).unless_known(call))
}

pub(super) async fn patch(
    configuration: &impl Configuration,
    call: &Call,
) -> Result<Reply, Problem> {
    let mut patch = call.json()?;
    use_newer_name(&mut patch);
    let state = configuration.state();
    let tenant = edit::find::<Tenant>(&state, call.id())?;
    let read = |fields: &mut bastide_config::Fields<'_, '_>| read::tenant(fields, &state.tiers);
    let check = |after: &Tenant| check_name(&state, after);
    edit::change(
        configuration,
        call,
        &*tenant,
        Edit::Merge(patch),
        read,
        check,
    )
    .await
}

/// `defaultRateLimit` is the older name of `rateLimit`; merged under its own name it would stand beside the
/// limit that it is to replace.
fn use_newer_name(patch: &mut Value) {
    if let Value::Object(members) = patch
        && !members.contains_key("rateLimit")
        && let Some(limit) = members.remove("defaultRateLimit")
    {
        members.insert("rateLimit".to_owned(), limit);
    }
}

/// Deletes the tenant, its keys and its routes.
pub(super) async fn delete(
    configuration: &impl Configuration,
    call: &Call,
) -> Result<Reply, Problem> {
    let state = configuration.state();
    let tenant = edit::find::<Tenant>(&state, call.id())?;
    edit::check_changeable(call, &*tenant)?;
    let author = call.author();
    let mut changes = ChangeSet::new(&author);
    changes.delete_tenant(&tenant, &state);
    edit::commit(configuration, call, changes).await?;
    Ok(Reply::nothing())
}

fn check_name(state: &State, tenant: &Tenant) -> Result<(), Problem> {
    let is_taken = state
        .tenants
        .values()
        .any(|other| other.id != tenant.id && other.name == tenant.name);
    if is_taken {
        return Err(Code::NameTaken.at("name", "another tenant has this name; choose another"));
    }
    Ok(())
}
