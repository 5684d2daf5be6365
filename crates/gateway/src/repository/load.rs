//! Reading what changed since a revision.

use bastide_db::{Database, DbError, Row, Transaction, values};
use uuid::Uuid;

use super::{CommitError, EMPTY, Loaded, RowProblem, entity_of, rows, rows::Table};
use crate::model::{Change, Delta, Entity, Revision};

const HEAD: &str = "SELECT revision, tiers, pruned FROM gateway_revision WHERE id = 1";

/// The row that every commit changes.
struct Head {
    revision: Revision,
    tiers: Revision,
    pruned: Revision,
}

pub(super) async fn load(database: &Database, since: Revision) -> Result<Loaded, CommitError> {
    // Nodes ask often and mostly in vain; that should cost one statement.
    if since != EMPTY && head(database.query(HEAD, &[]).await?)?.revision == since {
        let delta = Delta {
            revision: since,
            changes: Vec::new(),
        };
        return Ok(Loaded {
            delta,
            is_complete: false,
            problems: Vec::new(),
        });
    }
    database
        .snapshot(async |snapshot| read(snapshot, since).await)
        .await
}

async fn read(snapshot: &mut Transaction, since: Revision) -> Result<Loaded, CommitError> {
    let head = head(snapshot.query(HEAD, &[]).await?)?;
    let is_complete = since == EMPTY || since > head.revision || since < head.pruned;
    let since = if is_complete { EMPTY } else { since };
    let mut problems = Vec::new();
    let mut changes = Vec::new();
    if !is_complete {
        changes = deletions(snapshot, since, &mut problems).await?;
    }
    if head.tiers > since {
        let sql = "SELECT name AS id, rate_limit FROM gateway_tiers";
        let tiers = rows::readable(
            snapshot,
            sql,
            &[],
            "gateway_tiers",
            rows::tier,
            &mut problems,
        );
        changes.push(Change::PutTiers(tiers.await?.into_iter().collect()));
    }
    let put = |row: &Row| rows::tenant(row).map(Change::PutTenant);
    changes.extend(newer(snapshot, &rows::TENANTS, since, put, &mut problems).await?);
    let put = |row: &Row| rows::key(row).map(Change::PutKey);
    changes.extend(newer(snapshot, &rows::KEYS, since, put, &mut problems).await?);
    let put = |row: &Row| rows::route(row).map(Change::PutRoute);
    changes.extend(newer(snapshot, &rows::ROUTES, since, put, &mut problems).await?);
    Ok(Loaded {
        delta: Delta {
            revision: head.revision,
            changes,
        },
        is_complete,
        problems,
    })
}

/// What was put into a table since a revision.
async fn newer(
    snapshot: &mut Transaction,
    table: &Table,
    since: Revision,
    put: impl Fn(&Row) -> Result<Change, DbError> + Send + 'static,
    problems: &mut Vec<RowProblem>,
) -> Result<Vec<Change>, DbError> {
    rows::readable(
        snapshot,
        table.newer,
        &values![since],
        table.name,
        put,
        problems,
    )
    .await
}

fn head(rows: Vec<Row>) -> Result<Head, CommitError> {
    let row = rows.into_iter().next().ok_or_else(|| {
        CommitError::Unusable(
            "the only row of gateway_revision is missing; restore the database from a backup"
                .into(),
        )
    })?;
    Ok(Head {
        revision: row.get("revision")?,
        tiers: row.get("tiers")?,
        pruned: row.get("pruned")?,
    })
}

/// An object that was made again under its id comes a second time, as a put, after these.
async fn deletions(
    snapshot: &mut Transaction,
    since: Revision,
    problems: &mut Vec<RowProblem>,
) -> Result<Vec<Change>, CommitError> {
    let sql = "SELECT entity, id FROM gateway_deletions WHERE revision > $1 ORDER BY revision";
    let decode = |row: &Row| {
        let id: Uuid = row.get("id")?;
        match entity_of(row.get("entity")?) {
            Some(Entity::Tenant) => Ok(Change::DeleteTenant(id)),
            Some(Entity::Key) => Ok(Change::DeleteKey(id)),
            Some(Entity::Route) => Ok(Change::DeleteRoute(id)),
            Some(Entity::Tiers) | None => Err(rows::column(
                "entity",
                &"expected `tenant`, `key` or `route`",
            )),
        }
    };
    let since = values![since];
    let deletions = rows::readable(snapshot, sql, &since, "gateway_deletions", decode, problems);
    Ok(deletions.await?)
}
