//! Migrations: ordered, checksummed, locked, each in a transaction of its own.

use std::time::Duration;

use aws_lc_rs::digest;

use crate::transaction::{Mode, Transaction};
use crate::{Database, DbError, Dialect, MigrationError, Result, values};

/// How long to wait for another node that is migrating, at most, on Postgres. On `SQLite` it is the acquire timeout.
const LOCK_TIMEOUT: Duration = Duration::from_mins(1);
/// Any number will do as long as it stays: it names the lock among the advisory locks of the database.
const LOCK: i64 = 0x6261_7374_6964_6501;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS bastide_migrations (
    component text NOT NULL,
    position bigint NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    PRIMARY KEY (component, name)
)";

/// One step of a schema. Once released, its text never changes again; a change is a new migration.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Unique within its component, by convention `0001_what_it_does`.
    pub name: &'static str,
    /// For Postgres. May be several statements; none may need to run outside a transaction.
    pub postgres: &'static str,
    /// For `SQLite`.
    pub sqlite: &'static str,
}

/// All migrations of one component, in order. Several components may share a database.
#[derive(Debug, Clone, Copy)]
pub struct Migrations {
    /// Names the component in the database.
    pub component: &'static str,
    /// In the order in which they are applied. New ones go to the end.
    pub steps: &'static [Migration],
}

/// Whether a migration was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Its name.
    pub name: String,
    /// SHA-256 of its text, in hex.
    pub checksum: String,
    /// Whether the database has it.
    pub is_applied: bool,
}

/// A row of the table.
struct Applied {
    name: String,
    checksum: String,
}

impl Migrations {
    /// Applies what is pending and returns the names of what it applied. Safe to call from several nodes at once.
    ///
    /// # Errors
    /// [`MigrationError`] when the database does not fit; what was applied before the error stays applied.
    pub async fn migrate(&self, database: &Database) -> Result<Vec<&'static str>> {
        let mut done = Vec::new();
        for step in self.pending(&self.applied(database).await?, database.dialect())? {
            if self.apply(database, step).await? {
                done.push(step.name);
            }
        }
        Ok(done)
    }

    /// Every migration of this program, in order, with whether the database has it.
    ///
    /// # Errors
    /// [`MigrationError`] when the database has others, or the same with another text.
    pub async fn status(&self, database: &Database) -> Result<Vec<MigrationStatus>> {
        let applied = self.applied(database).await?;
        let pending = self.pending(&applied, database.dialect())?.len();
        let first_pending = self.steps.len() - pending;
        let status = |(index, step): (usize, &Migration)| MigrationStatus {
            name: step.name.to_owned(),
            checksum: checksum(step, database.dialect()),
            is_applied: index < first_pending,
        };
        Ok(self.steps.iter().enumerate().map(status).collect())
    }

    /// Whether the schema is exactly what this program wants.
    ///
    /// # Errors
    /// [`MigrationError::Pending`] when migrations are to be applied first, another one when the database does not fit.
    pub async fn check(&self, database: &Database) -> Result<()> {
        let applied = self.applied(database).await?;
        let pending = self.pending(&applied, database.dialect())?;
        match pending.first() {
            None => Ok(()),
            Some(first) => Err(MigrationError::Pending {
                component: self.component.to_owned(),
                count: pending.len(),
                first: first.name.to_owned(),
            }
            .into()),
        }
    }

    async fn applied(&self, database: &Database) -> Result<Vec<Applied>> {
        let exists = match database.dialect() {
            Dialect::Postgres => {
                "SELECT 1 AS one WHERE to_regclass('bastide_migrations') IS NOT NULL"
            }
            Dialect::Sqlite => {
                "SELECT 1 AS one FROM sqlite_master WHERE type = 'table' AND name = 'bastide_migrations'"
            }
        };
        if database.query_opt(exists, &[]).await?.is_none() {
            return Ok(Vec::new());
        }
        let sql =
            "SELECT name, checksum FROM bastide_migrations WHERE component = $1 ORDER BY position";
        let rows = database.query(sql, &values![self.component]).await?;
        rows.iter()
            .map(|row| {
                Ok(Applied {
                    name: row.get("name")?,
                    checksum: row.get("checksum")?,
                })
            })
            .collect()
    }

    /// What is still to be applied, if what was applied is a beginning of what this program knows.
    fn pending(
        &self,
        applied: &[Applied],
        dialect: Dialect,
    ) -> Result<&'static [Migration], MigrationError> {
        let component = || self.component.to_owned();
        for (index, row) in applied.iter().enumerate() {
            let Some(known) = self.steps.iter().position(|step| step.name == row.name) else {
                return Err(MigrationError::Unknown {
                    component: component(),
                    name: row.name.clone(),
                });
            };
            if known != index {
                return Err(MigrationError::OutOfOrder {
                    component: component(),
                    name: self.steps[index].name.to_owned(),
                });
            }
            let current = checksum(&self.steps[known], dialect);
            if current != row.checksum {
                return Err(MigrationError::Changed {
                    component: component(),
                    name: row.name.clone(),
                    applied: row.checksum.clone(),
                    current,
                });
            }
        }
        Ok(&self.steps[applied.len()..])
    }

    /// Applies one migration unless another node was faster.
    async fn apply(&self, database: &Database, step: &'static Migration) -> Result<bool> {
        let dialect = database.dialect();
        let sql = match dialect {
            Dialect::Postgres => step.postgres,
            Dialect::Sqlite => step.sqlite,
        };
        let work = async |transaction: &mut Transaction| -> Result<bool> {
            lock(transaction).await?;
            transaction.batch(TABLE).await?;
            let find = "SELECT checksum FROM bastide_migrations WHERE component = $1 AND name = $2";
            if transaction
                .query_opt(find, &values![self.component, step.name])
                .await?
                .is_some()
            {
                return Ok(false);
            }
            transaction.batch(sql).await.map_err(|error| match error {
                DbError::Unavailable { .. } | DbError::Disk { .. } | DbError::Timeout { .. } => {
                    error
                }
                error => MigrationError::Failed {
                    component: self.component.to_owned(),
                    name: step.name.to_owned(),
                    reason: error.to_string(),
                }
                .into(),
            })?;
            let position = self
                .steps
                .iter()
                .position(|other| other.name == step.name)
                .unwrap_or_default() as i64;
            let insert = "INSERT INTO bastide_migrations (component, position, name, checksum) VALUES ($1, $2, $3, $4)";
            let row = values![self.component, position, step.name, checksum(step, dialect)];
            transaction.execute(insert, &row).await?;
            Ok(true)
        };
        database.run(Mode::Migration, work).await
    }
}

/// One node at a time. A lock of the transaction rather than of the session: it cannot be left behind, and it works
/// behind a pooler. On `SQLite` `BEGIN IMMEDIATE` has already taken the only write lock.
async fn lock(transaction: &mut Transaction) -> Result<()> {
    if transaction.dialect() == Dialect::Postgres {
        let limit = LOCK_TIMEOUT.as_millis();
        transaction
            .batch(&format!(
                "SET LOCAL lock_timeout = {limit}; SELECT pg_advisory_xact_lock({LOCK})"
            ))
            .await?;
    }
    Ok(())
}

/// SHA-256 of the text with line ends as `\n`, so that a checkout on another system is the same migration.
fn checksum(step: &Migration, dialect: Dialect) -> String {
    use std::fmt::Write as _;
    let text = match dialect {
        Dialect::Postgres => step.postgres,
        Dialect::Sqlite => step.sqlite,
    };
    let hash = digest::digest(&digest::SHA256, text.replace("\r\n", "\n").as_bytes());
    hash.as_ref()
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
            hex
        })
}
