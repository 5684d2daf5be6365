//! Keeps tenants, keys, routes and the audit log in SQLite or Postgres.
//!
//! Every commit takes the next revision from a single row, which it holds until it is done: commits happen in the order of
//! their revisions, and whoever has seen revision n has seen all before it. So a node catches up by asking for what is
//! newer than its own revision. Deleted objects leave their id behind for that.

mod audit;
mod commit;
mod load;
mod rows;
#[cfg(test)]
mod tests;

use bastide_db::{Changes, Database, DbError, Migration, MigrationStatus, Migrations, values};
use uuid::Uuid;

use crate::model::{Audit, Change, Delta, Entity, Revision};

/// Changes that are applied together or not at all.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// In the order in which they are applied. A put object of version 1 is made, one of version n replaces version n - 1.
    pub changes: Vec<Change>,
    /// Versions that must still stand for deletions and other objects that the decision was based on. For
    /// [`Entity::Tiers`] the version is the revision that last replaced them, 0 if none did.
    pub expect: Vec<(Entity, Uuid, i64)>,
    /// Written in the same transaction.
    pub audit: Vec<Audit>,
}

/// Why a commit was not applied. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// An object changed since it was read.
    #[error(
        "the {0:?} {1} was changed by someone else meanwhile; read it again and repeat the change"
    )]
    VersionMismatch(Entity, Uuid),
    /// An object to replace or delete is gone, or the tenant of a key or route is.
    #[error("there is no {0:?} {1}")]
    NotFound(Entity, Uuid),
    /// Another tenant has this name.
    #[error("another tenant is named `{0}`")]
    NameTaken(String),
    /// Another live key has the same hash: two tenants cannot share a key.
    #[error("this API key is already in use; choose another")]
    KeyTaken,
    /// The database cannot be reached. Only if its connection broke during the commit itself can it have been
    /// applied after all; the message says so.
    #[error("{0}")]
    Unavailable(String),
    /// The database's server answers and refuses the role, its password or the database's name. Waiting does not help.
    #[error("{0}")]
    Refused(String),
    /// The disk of the database's file is full or fails. What is known is served; changes wait for somebody to mend it.
    #[error("{0}")]
    Disk(String),
    /// The database answers, but its tables are not those of this program: a migration failed or is unknown, a table or
    /// column is missing. Waiting does not help.
    #[error("{0}")]
    Unusable(String),
    /// The database's file is damaged or no database at all. Waiting does not help.
    #[error("{0}")]
    Damaged(String),
}

impl From<DbError> for CommitError {
    fn from(error: DbError) -> Self {
        let words = error.to_string();
        match error {
            DbError::Invalid(_) | DbError::Column { .. } | DbError::Migration(_) => {
                Self::Unusable(words)
            }
            DbError::Damaged { .. } => Self::Damaged(words),
            DbError::Refused { .. } => Self::Refused(words),
            DbError::Disk { .. } => Self::Disk(words),
            _ => Self::Unavailable(words),
        }
    }
}

/// Which audit entries, newest first.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// Only entries older than this one (a cursor).
    pub before: Option<Uuid>,
    /// At most so many.
    pub limit: u32,
    /// Only of this kind.
    pub entity: Option<Entity>,
    /// Only about this object.
    pub entity_id: Option<Uuid>,
    /// Only about objects of this tenant.
    pub tenant_id: Option<Uuid>,
}

/// The revision of an empty repository.
pub const EMPTY: Revision = 0;

/// What [`Repository::load`] found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Loaded {
    /// What leads to its revision: from the revision that was asked for, or, if complete, from nothing.
    pub delta: Delta,
    /// The delta holds every object there is: begin with an empty state. It is so for revision 0, when the deletions since
    /// the revision are forgotten, and when the database is older than the revision (restored from a backup).
    pub is_complete: bool,
    /// Rows that were left out because they cannot be read.
    pub problems: Vec<RowProblem>,
}

/// A row that somebody edited by hand and damaged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("row `{id}` of {table}: {reason}")]
pub struct RowProblem {
    /// The table.
    pub table: &'static str,
    /// The row's id as far as it can be read.
    pub id: String,
    /// The column, and what is wrong with it.
    pub reason: String,
}

/// Announces commits between nodes.
const CHANNEL: &str = "bastide_gateway";

const MIGRATIONS: Migrations = Migrations {
    component: "gateway",
    steps: &[
        Migration {
            name: "0001_gateway",
            postgres: include_str!("migrations/0001_gateway.postgres.sql"),
            sqlite: include_str!("migrations/0001_gateway.sqlite.sql"),
        },
        Migration {
            name: "0002_rotated_keys",
            postgres: include_str!("migrations/0002_rotated_keys.postgres.sql"),
            sqlite: include_str!("migrations/0002_rotated_keys.sqlite.sql"),
        },
        Migration {
            name: "0003_successors_of_before",
            postgres: include_str!("migrations/0003_successors_of_before.postgres.sql"),
            sqlite: include_str!("migrations/0003_successors_of_before.sqlite.sql"),
        },
    ],
};

/// The stored configuration. Clones share the connections.
#[derive(Debug, Clone)]
pub struct Repository {
    database: Database,
}

impl Repository {
    /// Over this database, which is not contacted yet.
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// The database, for a look at whether it answers.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Brings the tables up to date and returns the names of the migrations that were applied. Several nodes may do so at
    /// once.
    pub async fn migrate(&self) -> Result<Vec<&'static str>, CommitError> {
        Ok(MIGRATIONS.migrate(&self.database).await?)
    }

    /// Every migration of this program, in order.
    pub async fn migration_status(&self) -> Result<Vec<MigrationStatus>, CommitError> {
        Ok(MIGRATIONS.status(&self.database).await?)
    }

    /// How many migrations are to be applied before the tables can be used.
    pub async fn pending_migrations(&self) -> Result<usize, CommitError> {
        let status = self.migration_status().await?;
        Ok(status.iter().filter(|step| !step.is_applied).count())
    }

    /// What changed since a revision; everything since [`EMPTY`]. One consistent state, however much is committed
    /// meanwhile.
    pub async fn load(&self, since: Revision) -> Result<Loaded, CommitError> {
        load::load(&self.database, since).await
    }

    /// Applies changes and returns the revision that they make. Cancelled, it applies all or nothing.
    pub async fn commit(&self, commit: Commit) -> Result<Revision, CommitError> {
        commit::commit(&self.database, commit).await
    }

    /// A page of the audit log, newest first; at most 1 000 entries. An entry that cannot be read is left out.
    pub async fn audit(&self, query: &AuditQuery) -> Result<Vec<Audit>, CommitError> {
        audit::page(&self.database, query).await
    }

    /// A signal that a commit may have been made, by whatever node. To be called within a tokio runtime.
    pub fn changes(&self) -> Changes {
        self.database.listen(CHANNEL)
    }

    /// Whether a write is taken. It changes nothing.
    pub async fn check_writable(&self) -> Result<(), CommitError> {
        let sql = "UPDATE gateway_revision SET revision = revision WHERE id = 1";
        self.database.execute(sql, &[]).await?;
        Ok(())
    }

    /// A value that all nodes of the installation share.
    pub async fn setting(&self, name: &str) -> Result<Option<String>, CommitError> {
        let sql = "SELECT value FROM gateway_settings WHERE name = $1";
        let row = self.database.query_opt(sql, &values![name]).await?;
        Ok(row.map(|row| row.get("value")).transpose()?)
    }

    /// The value that all nodes share: this one if nobody was faster.
    pub async fn setting_or_insert(&self, name: &str, value: &str) -> Result<String, CommitError> {
        let sql = "INSERT INTO gateway_settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        self.database.execute(sql, &values![name, value]).await?;
        // What stands now stays: settings are never changed.
        let stored = self.setting(name).await?;
        stored.ok_or_else(|| {
            CommitError::Unavailable(format!("the setting `{name}` vanished while it was read"))
        })
    }
}

/// How the database calls an entity.
fn entity_name(entity: Entity) -> &'static str {
    match entity {
        Entity::Tenant => "tenant",
        Entity::Key => "key",
        Entity::Route => "route",
        Entity::Tiers => "tiers",
    }
}

fn entity_of(name: &str) -> Option<Entity> {
    [Entity::Tenant, Entity::Key, Entity::Route, Entity::Tiers]
        .into_iter()
        .find(|entity| entity_name(*entity) == name)
}
