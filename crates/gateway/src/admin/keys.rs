//! `/admin/tenants/{id}/keys`: a tenant's keys, their revocation and their rotation.

use std::sync::Arc;

use bastide_config::{Secret, parse};
use bastide_rpc::Problem;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::call::Call;
use super::configuration::Configuration;
use super::edit::{self, Edit};
use super::page::Page;
use super::problem::Code;
use super::reply::Reply;
use crate::declare::ChangeSet;
use crate::keys::Keys;
use crate::model::read::{self, KeySettings, Object, Stamp, read_only};
use crate::model::{ApiKey, ManagedBy, State, Tenant};

/// How long the old key stays good after a rotation, unless the request says otherwise: a day.
const DEFAULT_GRACE_MS: u64 = 24 * 60 * 60 * 1_000;
/// At most 90 days.
const MAX_GRACE_MS: u64 = 90 * DEFAULT_GRACE_MS;

pub(super) fn list(configuration: &impl Configuration, call: &Call) -> Result<Reply, Problem> {
    let parameters = call.parameters(&["limit", "cursor", "name"])?;
    let page = Page::of(&parameters)?;
    let name = parameters.text("name");
    let state = configuration.state();
    let tenant = edit::find::<Tenant>(&state, call.id())?;
    let keys = state.keys.values().filter(|key| key.tenant_id == tenant.id);
    Ok(Reply::body(page.list(
        keys.filter(|key| name.is_none_or(|name| key.name == name)),
    )))
}

/// Also for tenants of the declarative file: the key is the API's, the tenant stays the file's.
pub(super) async fn create(
    configuration: &impl Configuration,
    call: &Call,
) -> Result<Reply, Problem> {
    let body = call.json_or_empty()?;
    let state = configuration.state();
    let tenant = edit::find::<Tenant>(&state, call.id())?;
    let (settings, chosen) = edit::validate(&body, |fields| {
        read_only(fields, ApiKey::READ_ONLY, None);
        let chosen = fields.optional("apiKey", read::api_key);
        let settings = read::key(fields);
        check_future(fields, &settings, call.now);
        Some((settings, chosen))
    })?;
    let (key, shown) = make(configuration.keys(), call.now, tenant.id, settings, chosen);
    check_free(&state, &key)?;
    let author = call.author();
    let mut changes = ChangeSet::new(&author);
    changes.create(key.clone());
    edit::commit(configuration, call, changes).await?;
    Ok(Reply::object(&key)
        .created(location(&key))
        .with_api_key(shown.expose()))
}

pub(super) fn get(configuration: &impl Configuration, call: &Call) -> Result<Reply, Problem> {
    call.parameters(&[])?;
    let key = find(&configuration.state(), call)?;
    Ok(Reply::object(&*key).unless_known(call))
}

pub(super) async fn patch(
    configuration: &impl Configuration,
    call: &Call,
) -> Result<Reply, Problem> {
    let patch = call.json()?;
    let state = configuration.state();
    let key = find(&state, call)?;
    check_live(&key)?;
    let read = |fields: &mut bastide_config::Fields<'_, '_>| {
        let KeySettings {
            name,
            rate_limit,
            expires_at,
        } = read::key(fields);
        Some(ApiKey {
            name,
            rate_limit,
            expires_at,
            ..ApiKey::clone(&key)
        })
    };
    edit::change(configuration, call, &*key, Edit::Merge(patch), read, |_| {
        Ok(())
    })
    .await
}

/// Refuses the key from now on. It stays to be seen, with the time of its revocation; revoking it again changes
/// nothing.
pub(super) async fn revoke(
    configuration: &impl Configuration,
    call: &Call,
) -> Result<Reply, Problem> {
    let key = find(&configuration.state(), call)?;
    edit::check_changeable(call, &*key)?;
    if key.revoked_at.is_some() {
        return Ok(Reply::nothing());
    }
    let author = call.author();
    let mut changes = ChangeSet::new(&author);
    let after = ApiKey {
        revoked_at: Some(call.now),
        ..ApiKey::clone(&key)
    };
    changes.update(
        "revoke",
        &*key,
        after.stamped(key.stamp().next(key.managed_by, call.now)),
    );
    edit::commit(configuration, call, changes).await?;
    Ok(Reply::nothing())
}

/// Makes a successor with the same name and limit. The old key stays good for `graceMs` more (0 to 90 days,
/// default one day), or until its own expiry if that is sooner. The successor's `expiresAt` may be given; by
/// default it gets as long a life as its predecessor had. A key is rotated once; what goes on is its successor.
pub(super) async fn rotate(
    configuration: &impl Configuration,
    call: &Call,
) -> Result<Reply, Problem> {
    let body = call.json_or_empty()?;
    let state = configuration.state();
    let old = find(&state, call)?;
    let (grace, expires_at, chosen) = edit::validate(&body, |fields| {
        let grace = fields.or(
            "graceMs",
            DEFAULT_GRACE_MS,
            parse::integer(0..=MAX_GRACE_MS),
        );
        let expires_at = fields.optional("expiresAt", read::timestamp);
        let chosen = fields.optional("apiKey", read::api_key);
        if expires_at.is_some_and(|at| at <= call.now) {
            fields.reject_field::<()>("expiresAt", PAST);
        }
        Some((grace, expires_at, chosen))
    })?;
    edit::check_changeable(call, &*old)?;
    check_live(&old)?;
    check_not_rotated(&old)?;
    let lifetime = old.expires_at.map(|end| end.duration_since(old.created_at));
    let settings = KeySettings {
        name: old.name.clone(),
        rate_limit: old.rate_limit,
        expires_at: expires_at.or_else(|| call.now.checked_add(lifetime?).ok()),
    };
    let (new, shown) = make(
        configuration.keys(),
        call.now,
        old.tenant_id,
        settings,
        chosen,
    );
    check_free(&state, &new)?;

    let grace = SignedDuration::from_millis(grace as i64);
    let end = call.now.checked_add(grace).unwrap_or(Timestamp::MAX);
    let end = old.expires_at.map_or(end, |expiry| expiry.min(end));
    let outgoing = ApiKey {
        expires_at: Some(end),
        replaced_by: Some(new.id),
        ..ApiKey::clone(&old)
    };
    let author = call.author();
    let mut changes = ChangeSet::new(&author);
    changes.update(
        "rotate",
        &*old,
        outgoing.stamped(old.stamp().next(old.managed_by, call.now)),
    );
    changes.create(new.clone());
    edit::commit(configuration, call, changes).await?;
    Ok(Reply::object(&new)
        .created(location(&new))
        .with_api_key(shown.expose()))
}

const PAST: &str = "lies in the past; give a time to come, or leave it out";

fn check_future(
    fields: &mut bastide_config::Fields<'_, '_>,
    settings: &KeySettings,
    now: Timestamp,
) {
    if settings.expires_at.is_some_and(|at| at <= now) {
        fields.reject_field::<()>("expiresAt", PAST);
    }
}

/// A new key, and its text for the one time that it is shown.
pub(super) fn make(
    keys: &Keys,
    now: Timestamp,
    tenant_id: Uuid,
    settings: KeySettings,
    chosen: Option<Secret>,
) -> (ApiKey, Secret) {
    let text = chosen.unwrap_or_else(|| Secret::new(keys.mint().key));
    let (hint, hash) = (keys.hint(text.expose()), keys.hash(text.expose()));
    let Stamp {
        id,
        managed_by,
        created_at,
        updated_at,
        version,
    } = Stamp::new(Uuid::now_v7(), ManagedBy::Api, now);
    let KeySettings {
        name,
        rate_limit,
        expires_at,
    } = settings;
    let key = ApiKey {
        id,
        tenant_id,
        name,
        hash,
        hint,
        rate_limit,
        expires_at,
        revoked_at: None,
        replaced_by: None,
        managed_by,
        created_at,
        updated_at,
        version,
    };
    (key, text)
}

/// No two keys are the same, and a revoked one does not come back.
pub(super) fn check_free(state: &State, key: &ApiKey) -> Result<(), Problem> {
    match state.keys.values().find(|other| other.hash == key.hash) {
        None => Ok(()),
        Some(other) if other.revoked_at.is_some() => {
            Err(Code::ApiKeyTaken.at("apiKey", "this key was revoked; choose another"))
        }
        Some(_) => {
            Err(Code::ApiKeyTaken.at("apiKey", "this key is in use already; choose another"))
        }
    }
}

fn check_live(key: &ApiKey) -> Result<(), Problem> {
    match key.revoked_at {
        None => Ok(()),
        Some(at) => {
            Err(Code::KeyRevoked.problem(format!("the key was revoked at {at}; make a new one")))
        }
    }
}

/// Its expiry is the end of its grace period by now, and says nothing of how long a successor should live.
fn check_not_rotated(key: &ApiKey) -> Result<(), Problem> {
    match key.replaced_by {
        None => Ok(()),
        Some(successor) => Err(Code::KeyRotated.problem(format!(
            "the key was rotated already, its successor is {successor}; rotate that one"
        ))),
    }
}

fn find(state: &State, call: &Call) -> Result<Arc<ApiKey>, Problem> {
    let tenant = edit::find::<Tenant>(state, call.id())?;
    let key = edit::find::<ApiKey>(state, call.inner_id())?;
    if key.tenant_id == tenant.id {
        return Ok(key);
    }
    Err(Code::NotFound.problem(format!(
        "the tenant {} has no key with the id {}",
        tenant.id, key.id
    )))
}

fn location(key: &ApiKey) -> String {
    format!("/admin/tenants/{}/keys/{}", key.tenant_id, key.id)
}
