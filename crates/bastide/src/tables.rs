//! The tables before calls are taken: what is pending is applied where that is allowed, and nothing is served on tables that
//! do not keep tenants apart.

use std::time::Duration;

use bastide_db::{Database, DbError, Dialect, Migrations, Options};
use bastide_repo::{Finding, RepoError, Schema};
use tokio::time::Instant;

use crate::error::StartError;
use crate::migrations;
use crate::parts::{Component, Parts, database_options};

/// How long a start waits for a database that boots beside it.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two tries.
const RETRY: Duration = Duration::from_millis(250);

/// Looks at the tables, if the program has any.
pub(crate) async fn prepare(parts: &Parts) -> Result<(), StartError> {
    let Some(database) = parts.used_database() else {
        return Ok(());
    };
    tokio::spawn(database.tend());
    wait_for(database).await?;
    let all = all_migrations(parts)?;
    let schema = parts.schema();
    if parts.settings.database.migrate_at_start {
        let owner = owner(parts, database)?;
        migrate(parts, database, &owner).await?;
        if all.iter().all(|migrations| migrations.steps.is_empty()) {
            make_tables(&schema, &owner).await?;
            grant(parts, database, &owner).await?;
        }
    } else {
        for migrations in &all {
            migrations.check(database).await?;
        }
    }
    schema.check(database).await.map_err(of_repo)?;
    let differences = differences(&schema, database).await?;
    if differences.is_empty() {
        return Ok(());
    }
    if !parts.environment.is_lenient() {
        return Err(StartError::Schema(differences));
    }
    tracing::warn!(
        differences,
        "the tables are not what the entities say; `db new NAME` writes the migration"
    );
    Ok(())
}

/// A part with tables of its own, which it needs from the moment it is asked for.
pub(crate) async fn prepare_component(
    parts: &Parts,
    component: Component,
) -> Result<(), StartError> {
    let migrations = component.migrations;
    parts.add_component(component);
    let database = parts.database().await?;
    if !parts.is_serving {
        migrations.migrate(database).await?;
        return Ok(());
    }
    wait_for(database).await?;
    if parts.settings.database.migrate_at_start {
        let owner = owner(parts, database)?;
        migrations.migrate(&owner).await?;
        grant(parts, database, &owner).await?;
    }
    Ok(())
}

/// Applies what is pending, as the tables' owner, and lets the program's own role work with the tables. Gives the names of what
/// was applied.
pub(crate) async fn migrate(
    parts: &Parts,
    database: &Database,
    owner: &Database,
) -> Result<Vec<&'static str>, StartError> {
    let mut applied = Vec::new();
    let all = all_migrations(parts)?;
    for migrations in &all {
        for name in migrations.migrate(owner).await? {
            tracing::info!(
                component = migrations.component,
                migration = name,
                "applied"
            );
            applied.push(name);
        }
    }
    if all.iter().any(|migrations| !migrations.steps.is_empty()) {
        grant(parts, database, owner).await?;
    }
    Ok(applied)
}

/// The program's own and those of the parts that it is made of.
pub(crate) fn all_migrations(parts: &Parts) -> Result<Vec<Migrations>, StartError> {
    let folder = &parts.settings.database.migrations;
    let own = migrations::read(folder, parts.program.name)?;
    Ok(parts.components().into_iter().chain([own]).collect())
}

/// The database as the tables' owner. On `SQLite` there is no other.
pub(crate) fn owner(parts: &Parts, database: &Database) -> Result<Database, StartError> {
    let settings = &parts.settings.database;
    match &settings.owner_url {
        None => Ok(database.clone()),
        Some(url) => {
            let options = Options {
                min_connections: 0,
                ..database_options(settings, parts.program.name)
            };
            Ok(Database::open_with(url.expose(), options)?)
        }
    }
}

/// What the tables lack, one line for each finding.
pub(crate) async fn differences(
    schema: &Schema,
    database: &Database,
) -> Result<String, StartError> {
    let findings = schema.diff(database).await.map_err(of_repo)?;
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    Ok(lines.join("\n"))
}

/// A program without migrations is being written: its tables follow its entities.
async fn make_tables(schema: &Schema, owner: &Database) -> Result<(), StartError> {
    let findings = schema.diff(owner).await.map_err(of_repo)?;
    for finding in findings {
        for statement in &finding.mend {
            tracing::info!(table = finding.table, statement, "made");
            owner.execute(statement, &[]).await?;
        }
    }
    Ok(())
}

/// On Postgres the program's role is not the owner: it is told what it may do.
async fn grant(parts: &Parts, database: &Database, owner: &Database) -> Result<(), StartError> {
    let is_apart = parts.settings.database.owner_url.is_some();
    if !is_apart || owner.dialect() != Dialect::Postgres {
        return Ok(());
    }
    let row = database
        .query_opt("SELECT current_user::text AS role", &[])
        .await?;
    let role: String = row.map_or(Ok(String::new()), |row| row.get("role"))?;
    let mut statements = parts.schema().grant(&role);
    let exists = "SELECT 1 AS one WHERE to_regclass('bastide_migrations') IS NOT NULL";
    if owner.query_opt(exists, &[]).await?.is_some() {
        let quoted = role.replace('"', "\"\"");
        statements.push(format!(
            "GRANT SELECT ON bastide_migrations TO \"{quoted}\""
        ));
    }
    for grant in parts.grants() {
        statements.extend(grant(&role));
    }
    for statement in &statements {
        owner.execute(statement, &[]).await?;
    }
    Ok(())
}

/// A database that cannot be reached may be on its way; one that refuses will not change its mind.
async fn wait_for(database: &Database) -> Result<(), StartError> {
    let end = Instant::now() + PATIENCE;
    loop {
        match database.ping().await {
            Ok(()) => return Ok(()),
            Err(error @ (DbError::Unavailable { .. } | DbError::Timeout { .. })) => {
                if Instant::now() > end {
                    return Err(error.into());
                }
                tracing::warn!(%error, "waiting for the database");
                tokio::time::sleep(RETRY).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

pub(crate) fn of_repo(error: RepoError) -> StartError {
    match error {
        RepoError::Invalid(why) => StartError::Isolation(why),
        RepoError::Unavailable(error) | RepoError::Failed(error) => error.into(),
        other => StartError::Schema(other.to_string()),
    }
}
