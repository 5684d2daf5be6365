//! `/admin/audit`: who changed what, newest first.

use bastide_rpc::Problem;
use uuid::Uuid;

use super::call::Call;
use super::configuration::Configuration;
use super::page::{self, Page};
use super::reply::Reply;
use crate::model::{Audit, Entity};
use crate::repository::AuditQuery;

pub(super) async fn list(
    configuration: &impl Configuration,
    call: &Call,
) -> Result<Reply, Problem> {
    let parameters = call.parameters(&["limit", "cursor", "entity", "entityId", "tenantId"])?;
    let Page { limit, cursor } = Page::of(&parameters)?;
    let entity = parameters.value(
        "entity",
        "one of tenant, key, route, tiers",
        |text| match text {
            "tenant" => Some(Entity::Tenant),
            "key" => Some(Entity::Key),
            "route" => Some(Entity::Route),
            "tiers" => Some(Entity::Tiers),
            _ => None,
        },
    )?;
    let query = AuditQuery {
        before: cursor,
        // One more than is shown tells whether there is another page.
        limit: limit as u32 + 1,
        entity,
        entity_id: parameters.id("entityId")?,
        tenant_id: parameters.id("tenantId")?,
    };
    let mut entries = configuration.audit(&query).await?;
    let has_more = entries.len() > limit;
    entries.truncate(limit);
    let next: Option<Uuid> = entries.last().filter(|_| has_more).map(|entry| entry.id);
    let data = entries.iter().map(json).collect();
    Ok(Reply::body(page::body(data, next)))
}

fn json(entry: &Audit) -> serde_json::Value {
    serde_json::to_value(entry).expect("an audit entry has string keys and finite numbers only")
}
