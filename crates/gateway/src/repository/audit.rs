//! The audit log.

use std::fmt::Write as _;

use bastide_db::{Database, DbError, Row, Transaction, Value, values};

use super::{AuditQuery, CommitError, entity_name, entity_of, rows};
use crate::model::{Audit, JsonText, Revision};

const PAGE_LIMIT: u32 = 1_000;

/// Rows that are made before they are written: of a large change not all at once.
const BATCH: usize = 1_000;

pub(super) async fn write(
    transaction: &mut Transaction,
    revision: Revision,
    entries: &[Audit],
) -> Result<(), CommitError> {
    let row = |entry: &Audit| {
        let document = |text: &JsonText| match text.as_str() {
            Some(text) => Value::Json(text.to_owned()),
            None => Value::Null,
        };
        let [id, at, tenant_id] = values![entry.id, entry.at, entry.tenant_id];
        let [revision, entity, entity_id] =
            values![revision, entity_name(entry.entity), entry.entity_id];
        let [actor, action, request_id] =
            values![&entry.actor, &entry.action, entry.request_id.clone()];
        let (before, after) = (document(&entry.before), document(&entry.after));
        vec![
            id, revision, at, actor, action, entity, entity_id, tenant_id, before, after,
            request_id,
        ]
    };
    let sql = "INSERT INTO gateway_audit \
               (id, revision, at, actor, action, entity, entity_id, tenant_id, before, after, request_id) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    for batch in entries.chunks(BATCH) {
        let rows = batch.iter().map(row).collect();
        transaction
            .execute_each(sql, rows)
            .await
            .map_err(DbError::from)?;
    }
    Ok(())
}

pub(super) async fn page(
    database: &Database,
    query: &AuditQuery,
) -> Result<Vec<Audit>, CommitError> {
    let mut sql =
        "SELECT id, at, actor, action, entity, entity_id, tenant_id, before, after, request_id \
                   FROM gateway_audit WHERE TRUE"
            .to_owned();
    let mut params = Vec::new();
    let filters = [
        ("id <", query.before.map(Value::from)),
        (
            "entity =",
            query.entity.map(|entity| entity_name(entity).into()),
        ),
        ("entity_id =", query.entity_id.map(Value::from)),
        ("tenant_id =", query.tenant_id.map(Value::from)),
    ];
    for (comparison, value) in filters {
        if let Some(value) = value {
            params.push(value);
            write!(sql, " AND {comparison} ${}", params.len())
                .expect("writing to a string cannot fail");
        }
    }
    params.push(query.limit.min(PAGE_LIMIT).into());
    // Ids are UUIDs of version 7: their order is the order of time.
    write!(sql, " ORDER BY id DESC LIMIT ${}", params.len())
        .expect("writing to a string cannot fail");
    let stored = database.query(&sql, &params).await?;
    let read = |row| {
        rows::read("gateway_audit", row, entry)
            .inspect_err(|problem| {
                tracing::error!(%problem, "an audit entry cannot be read and is left out");
            })
            .ok()
    };
    Ok(stored.iter().filter_map(read).collect())
}

fn entry(row: &Row) -> Result<Audit, DbError> {
    let document = |value: Option<serde_json::Value>| value.unwrap_or_default().into();
    let entity = entity_of(row.get("entity")?);
    Ok(Audit {
        id: row.get("id")?,
        at: row.get("at")?,
        actor: row.get("actor")?,
        action: row.get("action")?,
        entity: entity.ok_or_else(|| rows::column("entity", &"not a kind of object"))?,
        entity_id: row.get("entity_id")?,
        tenant_id: row.get("tenant_id")?,
        before: document(row.json_opt("before")?),
        after: document(row.json_opt("after")?),
        request_id: row.get("request_id")?,
    })
}
