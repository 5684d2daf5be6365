//! `db ..`: work on the tables, as a step of its own.

use bastide_db::{Database, Dialect, Options};
use bastide_repo::Finding;

use super::print;
use crate::app::App;
use crate::error::StartError;
use crate::launch::Db;
use crate::parts::Parts;
use crate::{migrations, tables};

pub(super) async fn carry_out(app: &App, command: Db) -> anyhow::Result<()> {
    let parts = &*app.parts;
    if let Db::New { name } = command {
        return new(parts, &name).await;
    }
    let database = &parts.configured_database()?;
    match command {
        Db::Migrate => migrate(parts, database).await,
        Db::Status => status(parts, database).await,
        Db::Check => check(parts, database).await,
        Db::Diff | Db::New { .. } => diff(parts, database).await,
    }
}

async fn migrate(parts: &Parts, database: &Database) -> anyhow::Result<()> {
    let owner = tables::owner(parts, database)?;
    let applied = tables::migrate(parts, database, &owner).await?;
    if applied.is_empty() {
        print("nothing is pending");
    }
    for name in applied {
        print(&format!("applied {name}"));
    }
    Ok(())
}

async fn status(parts: &Parts, database: &Database) -> anyhow::Result<()> {
    let owner = tables::owner(parts, database)?;
    let mut is_empty = true;
    for migrations in tables::all_migrations(parts)? {
        for step in migrations.status(&owner).await.map_err(StartError::from)? {
            let state = if step.is_applied {
                "applied"
            } else {
                "pending"
            };
            print(&format!("{state}  {}  {}", migrations.component, step.name));
            is_empty = false;
        }
    }
    if is_empty {
        let folder = parts.settings.database.migrations.display();
        print(&format!("there are no migrations in {folder}"));
    }
    Ok(())
}

async fn check(parts: &Parts, database: &Database) -> anyhow::Result<()> {
    for migrations in tables::all_migrations(parts)? {
        migrations.check(database).await.map_err(StartError::from)?;
    }
    let schema = parts.schema();
    schema.check(database).await.map_err(tables::of_repo)?;
    let differences = tables::differences(&schema, database).await?;
    if !differences.is_empty() {
        return Err(StartError::Schema(differences).into());
    }
    print("the tables are what the program needs, and keep tenants apart");
    Ok(())
}

async fn diff(parts: &Parts, database: &Database) -> anyhow::Result<()> {
    let findings = parts
        .schema()
        .diff(database)
        .await
        .map_err(tables::of_repo)?;
    if findings.is_empty() {
        print("the tables are what the entities say");
    }
    for finding in findings {
        print(&format!("-- {finding}"));
        for statement in finding.mend {
            print(&format!("{statement};"));
        }
    }
    Ok(())
}

/// The difference between the migrations that there are and the entities, for both databases. No database is needed: an empty
/// one in memory takes the migrations.
async fn new(parts: &Parts, name: &str) -> anyhow::Result<()> {
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    anyhow::ensure!(
        !name.is_empty() && name.bytes().all(is_name),
        "the name {name:?} is not of a-z, 0-9 and _; say what the migration does, as add_phone_to_users"
    );
    let scratch = Database::open_with("sqlite::memory:", Options::default())?;
    let all = tables::all_migrations(parts)?;
    for migrations in &all {
        migrations.migrate(&scratch).await?;
    }
    let schema = parts.schema();
    let of = async |dialect| {
        schema
            .diff_for(&scratch, dialect)
            .await
            .map_err(tables::of_repo)
    };
    let (postgres, sqlite) = (of(Dialect::Postgres).await?, of(Dialect::Sqlite).await?);
    if postgres.is_empty() {
        print("the migrations make what the entities say; nothing is to be written");
        return Ok(());
    }
    if let Some(finding) = sqlite.iter().find(|finding| finding.mend.is_empty()) {
        anyhow::bail!(
            "{finding}; SQLite cannot do that to a table that exists: make the column an Option, or write the migration by hand"
        );
    }
    let own = all.last().expect("the program's own are always among them");
    let folder = &parts.settings.database.migrations;
    let (postgres, sqlite) = (text(&postgres), text(&sqlite));
    for path in migrations::write(folder, own, name, &postgres, &sqlite)? {
        print(&format!("written: {}", path.display()));
    }
    Ok(())
}

fn text(findings: &[Finding]) -> String {
    let of = |finding: &Finding| {
        let statements: Vec<String> = finding.mend.iter().map(|one| format!("{one};\n")).collect();
        format!("-- {finding}\n{}", statements.concat())
    };
    findings.iter().map(of).collect::<Vec<_>>().join("\n")
}
