//! What was done, written down in the transaction that does it.

use bastide_db::{DbError, Row, Value};
use jiff::Timestamp;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::access::Who;
use crate::entity::{Entity, Table};
use crate::error::Result;
use crate::tenant_tx::TenantTx;
use crate::write::{assignments, insert_rows};

/// A change of a row of an entity with `audit`: a row of `bastide_audit`, the tenant's as the row itself.
#[derive(Debug, Clone, bastide_macros::Entity)]
#[entity(table = "bastide_audit", tenant)]
pub struct AuditEntry {
    /// Ascending in time.
    #[entity(id)]
    pub id: Uuid,
    /// When.
    #[entity(index)]
    pub at: Timestamp,
    /// Who: a user's id, a service's name, or `system:` and the name of the program's own work.
    pub actor: Option<String>,
    /// The id of the call.
    pub request: String,
    /// `insert`, `update`, `upsert`, `delete`, `restore`.
    pub action: String,
    /// The table.
    pub entity: String,
    /// The row's id.
    #[entity(index)]
    pub row: String,
    /// The row's columns before; nothing if there was none.
    pub before: Option<Json>,
    /// The row's columns after; nothing if there is none any more.
    pub after: Option<Json>,
}

/// What is done to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Insert,
    Update,
    Upsert,
    Delete,
    Restore,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Upsert => "upsert",
            Self::Delete => "delete",
            Self::Restore => "restore",
        }
    }
}

/// A row that has all columns.
pub(crate) fn of_row(table: &Table, row: &Row) -> Result<Map<String, Json>, DbError> {
    let cells: Result<Vec<_>, DbError> = table
        .all()
        .map(|(name, ..)| Ok((name, row.value(name)?)))
        .collect();
    Ok(document(table, cells?))
}

/// Columns of a row as a JSON object.
pub(crate) fn document<'a>(
    table: &Table,
    cells: impl IntoIterator<Item = (&'static str, &'a Value)>,
) -> Map<String, Json> {
    let kind = |name| table.all().find(|(column, ..)| *column == name);
    cells
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), kind(name)?.1.to_json(value))))
        .collect()
}

pub(crate) fn entry(
    who: &Who,
    table: &Table,
    action: Action,
    before: Option<Map<String, Json>>,
    after: Option<Map<String, Json>>,
) -> AuditEntry {
    let row = match after
        .as_ref()
        .or(before.as_ref())
        .and_then(|row| row.get(table.id))
    {
        Some(Json::String(id)) => id.clone(),
        Some(id) => id.to_string(),
        None => String::new(),
    };
    AuditEntry {
        id: Uuid::now_v7(),
        at: Timestamp::now(),
        actor: who.actor.clone(),
        request: who.call.request_id().to_string(),
        action: action.name().to_owned(),
        entity: table.name.to_owned(),
        row,
        before: before.map(Json::Object),
        after: after.map(Json::Object),
    }
}

pub(crate) async fn write(transaction: &TenantTx, entries: Vec<AuditEntry>) -> Result<()> {
    let rows: Vec<_> = entries
        .iter()
        .map(|entry| assignments(AuditEntry::TABLE, transaction.who(), entry.values()))
        .collect();
    insert_rows(transaction, AuditEntry::TABLE, &rows).await
}
