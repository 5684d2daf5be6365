//! Applying changes in one transaction.

use bastide_db::{BatchError, Constraint, Database, DbError, Row, Transaction, Value, values};
use uuid::Uuid;

use super::rows::{self, KEYS, ROUTES, TENANTS, Table};
use super::{CHANNEL, Commit, CommitError, audit, entity_name};
use crate::model::{Change, Entity, Revision, Tiers};

/// Deletions are remembered for so many revisions, at least; a node that is further behind loads everything.
const DELETIONS_KEPT: Revision = 10_000;

/// Rows that are made before they are written: of a large change not all at once.
const BATCH: usize = 1_000;

const REMEMBER: &str = "ON CONFLICT (entity, id) DO UPDATE SET revision = excluded.revision";

pub(super) async fn commit(database: &Database, commit: Commit) -> Result<Revision, CommitError> {
    database
        .transaction(async |transaction| Work::begin(transaction).await?.run(commit).await)
        .await
}

struct Work<'a> {
    transaction: &'a mut Transaction,
    /// The one that this commit makes.
    revision: Revision,
    pruned: Revision,
}

/// Consecutive changes of one sort, which go to the database together.
struct Run {
    table: &'static Table,
    is_new: bool,
    rows: Vec<Vec<Value>>,
    subjects: Vec<Subject>,
}

/// What an error has to name.
struct Subject {
    id: Uuid,
    tenant_id: Option<Uuid>,
    /// Of a tenant.
    name: String,
}

impl<'a> Work<'a> {
    /// Whoever comes second waits here, so that commits have one order.
    async fn begin(transaction: &'a mut Transaction) -> Result<Self, CommitError> {
        let sql = "UPDATE gateway_revision SET revision = revision + 1 WHERE id = 1 RETURNING revision, pruned";
        let head = transaction.query_opt(sql, &[]).await?.ok_or_else(|| {
            CommitError::Unusable(
                "the only row of gateway_revision is missing; restore the database from a backup"
                    .into(),
            )
        })?;
        Ok(Self {
            transaction,
            revision: head.get("revision")?,
            pruned: head.get("pruned")?,
        })
    }

    async fn run(mut self, commit: Commit) -> Result<Revision, CommitError> {
        for (entity, id, version) in commit.expect {
            self.expect(entity, id, version).await?;
        }
        let mut run: Option<Run> = None;
        let mut has_deletions = false;
        for change in commit.changes {
            let (table, version, row, subject) = match change {
                Change::PutTenant(tenant) => {
                    let row = rows::tenant_row(&tenant, self.revision)?;
                    let subject = Subject {
                        id: tenant.id,
                        tenant_id: None,
                        name: tenant.name,
                    };
                    (&TENANTS, tenant.version, row, subject)
                }
                Change::PutKey(key) => {
                    let subject = Subject {
                        id: key.id,
                        tenant_id: Some(key.tenant_id),
                        name: String::new(),
                    };
                    (
                        &KEYS,
                        key.version,
                        rows::key_row(&key, self.revision)?,
                        subject,
                    )
                }
                Change::PutRoute(route) => {
                    let subject = Subject {
                        id: route.id,
                        tenant_id: route.tenant_id,
                        name: String::new(),
                    };
                    (
                        &ROUTES,
                        route.version,
                        rows::route_row(&route, self.revision)?,
                        subject,
                    )
                }
                Change::DeleteTenant(id) => {
                    self.flush(run.take()).await?;
                    self.delete_tenant(id).await?;
                    has_deletions = true;
                    continue;
                }
                Change::DeleteKey(id) => {
                    self.flush(run.take()).await?;
                    self.delete(&KEYS, id).await?;
                    has_deletions = true;
                    continue;
                }
                Change::DeleteRoute(id) => {
                    self.flush(run.take()).await?;
                    self.delete(&ROUTES, id).await?;
                    has_deletions = true;
                    continue;
                }
                Change::PutTiers(tiers) => {
                    self.flush(run.take()).await?;
                    self.put_tiers(&tiers).await?;
                    continue;
                }
            };
            let is_new = version == 1;
            let is_next = |run: &Run| run.table.entity != table.entity || run.is_new != is_new;
            let is_over = |run: &mut Run| is_next(run) || run.rows.len() >= BATCH;
            self.flush(run.take_if(is_over)).await?;
            let run = run.get_or_insert_with(|| Run {
                table,
                is_new,
                rows: Vec::new(),
                subjects: Vec::new(),
            });
            run.rows.push(row);
            run.subjects.push(subject);
        }
        self.flush(run).await?;
        if has_deletions {
            self.prune().await?;
        }
        audit::write(self.transaction, self.revision, &commit.audit).await?;
        self.transaction
            .notify(CHANNEL, &self.revision.to_string())
            .await?;
        Ok(self.revision)
    }

    async fn expect(&mut self, entity: Entity, id: Uuid, version: i64) -> Result<(), CommitError> {
        let row = match entity {
            Entity::Tenant => {
                self.transaction
                    .query_opt(TENANTS.version, &values![id])
                    .await?
            }
            Entity::Key => {
                self.transaction
                    .query_opt(KEYS.version, &values![id])
                    .await?
            }
            Entity::Route => {
                self.transaction
                    .query_opt(ROUTES.version, &values![id])
                    .await?
            }
            Entity::Tiers => {
                self.transaction
                    .query_opt(
                        "SELECT tiers AS version FROM gateway_revision WHERE id = 1",
                        &[],
                    )
                    .await?
            }
        };
        let found: i64 = row
            .ok_or(CommitError::NotFound(entity, id))?
            .get("version")?;
        if found == version {
            Ok(())
        } else {
            Err(CommitError::VersionMismatch(entity, id))
        }
    }

    async fn flush(&mut self, run: Option<Run>) -> Result<(), CommitError> {
        let Some(Run {
            table,
            is_new,
            rows,
            subjects,
        }) = run
        else {
            return Ok(());
        };
        let sql = if is_new { table.insert } else { table.update };
        let counts = self.transaction.execute_each(sql, rows).await.map_err(
            |BatchError { index, error }| refused(table.entity, &subjects[index], error),
        )?;
        let Some(index) = counts.iter().position(|count| *count == 0) else {
            return Ok(());
        };
        let id = subjects[index].id;
        // A row to make that exists, or a row to replace that is another version or none.
        let exists: Option<Row> = self
            .transaction
            .query_opt(table.version, &values![id])
            .await?;
        Err(match exists {
            Some(_) => CommitError::VersionMismatch(table.entity, id),
            None => CommitError::NotFound(table.entity, id),
        })
    }

    async fn delete(&mut self, table: &Table, id: Uuid) -> Result<(), CommitError> {
        if self.transaction.execute(table.delete, &values![id]).await? == 0 {
            return Err(CommitError::NotFound(table.entity, id));
        }
        let sql = format!(
            "INSERT INTO gateway_deletions (entity, id, revision) VALUES ($1, $2, $3) {REMEMBER}"
        );
        self.transaction
            .execute(&sql, &values![entity_name(table.entity), id, self.revision])
            .await?;
        Ok(())
    }

    /// With its keys and routes, each of which is remembered by itself.
    async fn delete_tenant(&mut self, id: Uuid) -> Result<(), CommitError> {
        for table in [&KEYS, &ROUTES] {
            let remember = format!(
                "INSERT INTO gateway_deletions (entity, id, revision) SELECT $1, id, $2 FROM {} WHERE tenant_id = $3 {REMEMBER}",
                table.name
            );
            self.transaction
                .execute(
                    &remember,
                    &values![entity_name(table.entity), self.revision, id],
                )
                .await?;
            self.transaction
                .execute(
                    &format!("DELETE FROM {} WHERE tenant_id = $1", table.name),
                    &values![id],
                )
                .await?;
        }
        self.delete(&TENANTS, id).await
    }

    async fn put_tiers(&mut self, tiers: &Tiers) -> Result<(), CommitError> {
        self.transaction
            .execute("DELETE FROM gateway_tiers", &[])
            .await?;
        let row = |(name, limit): (&String, _)| Ok(vec![name.into(), Value::json(limit)?]);
        let tiers = tiers.iter().map(row).collect::<Result<Vec<_>, DbError>>()?;
        let insert = "INSERT INTO gateway_tiers (name, rate_limit) VALUES ($1, $2)";
        self.transaction
            .execute_each(insert, tiers)
            .await
            .map_err(DbError::from)?;
        let sql = "UPDATE gateway_revision SET tiers = $1 WHERE id = 1";
        self.transaction
            .execute(sql, &values![self.revision])
            .await?;
        Ok(())
    }

    /// Forgets old deletions, many at a time and seldom.
    async fn prune(&mut self) -> Result<(), CommitError> {
        if self.revision - self.pruned < 2 * DELETIONS_KEPT {
            return Ok(());
        }
        let limit = values![self.revision - DELETIONS_KEPT];
        self.transaction
            .execute("DELETE FROM gateway_deletions WHERE revision <= $1", &limit)
            .await?;
        self.transaction
            .execute(
                "UPDATE gateway_revision SET pruned = $1 WHERE id = 1",
                &limit,
            )
            .await?;
        Ok(())
    }
}

fn refused(entity: Entity, subject: &Subject, error: DbError) -> CommitError {
    match (entity, subject.tenant_id) {
        (Entity::Tenant, _) if error.is_conflict(Constraint::Unique) => {
            CommitError::NameTaken(subject.name.clone())
        }
        (Entity::Key, _) if error.is_conflict(Constraint::Unique) => CommitError::KeyTaken,
        (_, Some(tenant_id)) if error.is_conflict(Constraint::ForeignKey) => {
            CommitError::NotFound(Entity::Tenant, tenant_id)
        }
        _ => error.into(),
    }
}
