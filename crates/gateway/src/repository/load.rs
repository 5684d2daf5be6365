//! Reading what changed since a revision.

use bastide_db::{Database, Row, Transaction, values};
use uuid::Uuid;

use super::{CommitError, EMPTY, Loaded, RowProblem, entity_of, rows};
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
        let stored = snapshot
            .query("SELECT name AS id, rate_limit FROM gateway_tiers", &[])
            .await?;
        changes.push(Change::PutTiers(rows::tiers(&stored, &mut problems)));
    }
    let tenants = snapshot.query(rows::TENANTS.newer, &values![since]).await?;
    let keys = snapshot.query(rows::KEYS.newer, &values![since]).await?;
    let routes = snapshot.query(rows::ROUTES.newer, &values![since]).await?;
    changes.reserve(tenants.len() + keys.len() + routes.len());
    let read = rows::readable(rows::TENANTS.name, &tenants, rows::tenant, &mut problems);
    changes.extend(read.into_iter().map(Change::PutTenant));
    let read = rows::readable(rows::KEYS.name, &keys, rows::key, &mut problems);
    changes.extend(read.into_iter().map(Change::PutKey));
    let read = rows::readable(rows::ROUTES.name, &routes, rows::route, &mut problems);
    changes.extend(read.into_iter().map(Change::PutRoute));
    Ok(Loaded {
        delta: Delta {
            revision: head.revision,
            changes,
        },
        is_complete,
        problems,
    })
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
    let stored = snapshot.query(sql, &values![since]).await?;
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
    Ok(rows::readable(
        "gateway_deletions",
        &stored,
        decode,
        problems,
    ))
}
