//! Objects as rows.

use bastide_db::{DbError, Row, Transaction, Value};

use super::RowProblem;
use crate::model::{ApiKey, Entity, KeyHash, ManagedBy, RateLimit, Revision, Route, Tenant};

/// How a kind of object is stored. Parameters: `$1` id, `$2` version, `$3` revision, then the columns in order.
pub(super) struct Table {
    pub(super) entity: Entity,
    pub(super) name: &'static str,
    /// Makes a row, none if the id exists.
    pub(super) insert: &'static str,
    /// Replaces the row whose version is the one before.
    pub(super) update: &'static str,
    /// `$1` is the revision.
    pub(super) newer: &'static str,
    pub(super) version: &'static str,
    pub(super) delete: &'static str,
}

/// One source for the statements of a table, so that they cannot disagree about its columns.
macro_rules! table {
    ($entity:ident, $name:literal, $($column:literal = $number:literal),*) => {
        Table {
            entity: Entity::$entity,
            name: $name,
            insert: concat!(
                "INSERT INTO ", $name, " (id, version, revision", $(", ", $column,)* ") VALUES ($1, $2, $3", $(", $", $number,)*
                ") ON CONFLICT (id) DO NOTHING"
            ),
            update: concat!(
                "UPDATE ", $name, " SET version = $2, revision = $3", $(", ", $column, " = $", $number,)*
                " WHERE id = $1 AND version = $2 - 1"
            ),
            newer: concat!("SELECT id, version", $(", ", $column,)* " FROM ", $name, " WHERE revision > $1"),
            version: concat!("SELECT version FROM ", $name, " WHERE id = $1"),
            delete: concat!("DELETE FROM ", $name, " WHERE id = $1"),
        }
    };
}

pub(super) static TENANTS: Table = table!(
    Tenant,
    "gateway_tenants",
    "name" = 4,
    "tier" = 5,
    "rate_limit" = 6,
    "is_active" = 7,
    "managed_by" = 8,
    "created_at" = 9,
    "updated_at" = 10
);

pub(super) static KEYS: Table = table!(
    Key,
    "gateway_keys",
    "tenant_id" = 4,
    "name" = 5,
    "hash" = 6,
    "hint" = 7,
    "rate_limit" = 8,
    "expires_at" = 9,
    "revoked_at" = 10,
    "managed_by" = 11,
    "created_at" = 12,
    "updated_at" = 13,
    "replaced_by" = 14
);

pub(super) static ROUTES: Table =
    table!(Route, "gateway_routes", "tenant_id" = 4, "definition" = 5);

pub(super) fn tenant_row(tenant: &Tenant, revision: Revision) -> Result<Vec<Value>, DbError> {
    Ok(vec![
        tenant.id.into(),
        tenant.version.into(),
        revision.into(),
        tenant.name.as_str().into(),
        tenant.tier.as_str().into(),
        Value::json_opt(tenant.rate_limit.as_ref())?,
        tenant.is_active.into(),
        managed_by_name(tenant.managed_by).into(),
        tenant.created_at.into(),
        tenant.updated_at.into(),
    ])
}

pub(super) fn tenant(row: &Row) -> Result<Tenant, DbError> {
    Ok(Tenant {
        id: row.get("id")?,
        name: row.get("name")?,
        tier: row.get("tier")?,
        rate_limit: row.json_opt("rate_limit")?,
        is_active: row.get("is_active")?,
        managed_by: managed_by(row)?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
        version: row.get("version")?,
    })
}

pub(super) fn key_row(key: &ApiKey, revision: Revision) -> Result<Vec<Value>, DbError> {
    Ok(vec![
        key.id.into(),
        key.version.into(),
        revision.into(),
        key.tenant_id.into(),
        key.name.as_str().into(),
        String::from(key.hash.clone()).into(),
        key.hint.as_str().into(),
        Value::json_opt(key.rate_limit.as_ref())?,
        key.expires_at.into(),
        key.revoked_at.into(),
        managed_by_name(key.managed_by).into(),
        key.created_at.into(),
        key.updated_at.into(),
        key.replaced_by.into(),
    ])
}

pub(super) fn key(row: &Row) -> Result<ApiKey, DbError> {
    let hash =
        KeyHash::try_from(row.get::<String>("hash")?).map_err(|error| column("hash", &error))?;
    Ok(ApiKey {
        id: row.get("id")?,
        tenant_id: row.get("tenant_id")?,
        name: row.get("name")?,
        hash,
        hint: row.get("hint")?,
        rate_limit: row.json_opt("rate_limit")?,
        expires_at: row.get("expires_at")?,
        revoked_at: row.get("revoked_at")?,
        replaced_by: row.get("replaced_by")?,
        managed_by: managed_by(row)?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
        version: row.get("version")?,
    })
}

pub(super) fn route_row(route: &Route, revision: Revision) -> Result<Vec<Value>, DbError> {
    Ok(vec![
        route.id.into(),
        route.version.into(),
        revision.into(),
        route.tenant_id.into(),
        Value::json(route)?,
    ])
}

/// What is a column as well as a part of the definition is taken from the column: that is what constraints hold to.
pub(super) fn route(row: &Row) -> Result<Route, DbError> {
    let definition: Route = row.json("definition")?;
    Ok(Route {
        id: row.get("id")?,
        tenant_id: row.get("tenant_id")?,
        version: row.get("version")?,
        ..definition
    })
}

/// Reads what can be read, row by row as they come; the rest is reported.
pub(super) async fn readable<T: Send + 'static>(
    snapshot: &mut Transaction,
    sql: &str,
    params: &[Value],
    table: &'static str,
    decode: impl Fn(&Row) -> Result<T, DbError> + Send + 'static,
    problems: &mut Vec<RowProblem>,
) -> Result<Vec<T>, DbError> {
    let read = move |row: &Row| read(table, row, &decode);
    let read = snapshot.query_map(sql, params, read).await?;
    let readable = read
        .into_iter()
        .filter_map(|row| row.map_err(|problem| problems.push(problem)).ok());
    Ok(readable.collect())
}

pub(super) fn read<T>(
    table: &'static str,
    row: &Row,
    decode: impl Fn(&Row) -> Result<T, DbError>,
) -> Result<T, RowProblem> {
    decode(row).map_err(|error| RowProblem {
        table,
        id: id_text(row),
        reason: error.to_string(),
    })
}

/// A tier's name and limit.
pub(super) fn tier(row: &Row) -> Result<(String, RateLimit), DbError> {
    Ok((row.get("id")?, row.json("rate_limit")?))
}

fn id_text(row: &Row) -> String {
    match row.value("id") {
        Ok(Value::Uuid(id)) => id.to_string(),
        Ok(Value::Text(text)) => text.clone(),
        _ => "?".to_owned(),
    }
}

fn managed_by_name(managed_by: ManagedBy) -> &'static str {
    match managed_by {
        ManagedBy::Api => "api",
        ManagedBy::File => "file",
    }
}

fn managed_by(row: &Row) -> Result<ManagedBy, DbError> {
    match row.get("managed_by")? {
        "api" => Ok(ManagedBy::Api),
        "file" => Ok(ManagedBy::File),
        other => Err(column(
            "managed_by",
            &format!("expected `api` or `file`, found `{other}`"),
        )),
    }
}

pub(super) fn column(name: &str, reason: &dyn std::fmt::Display) -> DbError {
    DbError::Column {
        column: name.to_owned(),
        reason: reason.to_string(),
    }
}
