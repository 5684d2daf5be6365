//! That no tenant reaches another's rows, whatever is tried, in the table of every entity.

use bastide_db::{Dialect, values};

use super::fixtures::{Fixtures, Planted, plant};
use super::statements;
use super::test_app::TestApp;
use super::{ACME, GLOBEX};

/// Asserts that in no table of the program a tenant reaches what is another's.
///
/// Both tenants get a row for each entity whose repository the program has asked for. Then each tries what it can with the
/// other's: find, list, count, update, delete, a row of the same id, a row that refers to it, by the repositories. On Postgres
/// also by statements of one's own, in *every* table with a column `tenant_id`, whether it belongs to an entity or not: select, join,
/// count, insert, update, delete, moving a row from or to the other, all of it with another's tenant, and without any. On `SQLite`,
/// which cannot keep rows apart in such statements, they have to be refused. An entity without `tenant` must not have a table whose rows
/// are tenants'.
///
/// # Panics
/// With everything that was reached, one line each; and if rows cannot be made or are not seen by their own tenant, because
/// then the test would have shown nothing.
pub async fn assert_isolated(app: &TestApp, fixtures: &Fixtures) {
    match reached(app, fixtures).await {
        Ok(reached) if reached.is_empty() => {}
        Ok(reached) => panic!("tenants are not kept apart:\n- {}", reached.join("\n- ")),
        Err(error) => panic!("{error}"),
    }
}

async fn reached(app: &TestApp, fixtures: &Fixtures) -> Result<Vec<String>, String> {
    let db = app.database().await.map_err(|error| format!("{error:#}"))?;
    let (acme, globex) = (app.cx(ACME), app.cx(GLOBEX));
    let acmes = plant(app, &acme, fixtures).await?;
    let globexs = plant(app, &globex, fixtures).await?;
    if acmes.rows.is_empty() {
        return Err(
            "the program has asked for no repository of an entity with `tenant`: nothing could be tried"
                .to_owned(),
        );
    }
    let mut all = undeclared(app).await?;
    for (own, own_cx, other, other_name) in [
        (&acmes, &acme, &globex, GLOBEX),
        (&globexs, &globex, &acme, ACME),
    ] {
        for planted in &own.rows {
            let name = planted.probe.table().name;
            let failed = |error| format!("{name}: {error}");
            let probe = &planted.probe;
            let before = probe.find(&db, own_cx, &planted.row).await;
            let before = before
                .map_err(failed)?
                .ok_or_else(|| format!("{name}: {} does not see its own row", own_cx.tenant()))?;
            let count = probe.count(&db, own_cx).await.map_err(failed)?;
            let reached = probe
                .reach(&db, other, &planted.row)
                .await
                .map_err(failed)?;
            all.extend(reached.into_iter().map(|how| {
                format!(
                    "{name}: {other_name} reaches a row of {}: {how}",
                    own_cx.tenant()
                )
            }));
            let after = probe
                .find(&db, own_cx, &planted.row)
                .await
                .map_err(failed)?;
            if after.as_ref() != Some(&before) {
                all.push(format!(
                    "{name}: {other_name} changed a row of {}",
                    own_cx.tenant()
                ));
            }
            let counted = probe.count(&db, own_cx).await.map_err(failed)?;
            if counted != count {
                all.push(format!(
                    "{name}: {} had {count} rows before {other_name} tried, and {counted} after",
                    own_cx.tenant()
                ));
            }
        }
    }
    let connection = app
        .connection()
        .await
        .map_err(|error| format!("{error:#}"))?;
    all.extend(match connection.dialect() {
        Dialect::Postgres => statements::on_postgres(&db, &connection, &acme, &globex).await?,
        Dialect::Sqlite => statements::on_sqlite(&db, &globex, &names(&acmes)).await?,
    });
    Ok(all)
}

/// Entities that say nothing of tenants, on tables whose rows are tenants'.
async fn undeclared(app: &TestApp) -> Result<Vec<String>, String> {
    let connection = app.connection().await;
    let connection = connection.map_err(|error| format!("{error:#}"))?;
    let sql = match connection.dialect() {
        Dialect::Postgres => {
            "SELECT 1 AS one FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1 \
             AND column_name = 'tenant_id'"
        }
        Dialect::Sqlite => "SELECT 1 AS one FROM pragma_table_info($1) WHERE name = 'tenant_id'",
    };
    let mut found = Vec::new();
    for probe in app.probes() {
        let table = probe.table();
        if !table.traits.tenant {
            let row = connection.query_opt(sql, &values![table.name]).await;
            if row
                .map_err(|error| format!("{}: {error}", table.name))?
                .is_some()
            {
                found.push(format!(
                    "{}: an entity without `tenant` has this table, whose rows are tenants'",
                    table.name
                ));
            }
        }
    }
    Ok(found)
}

fn names(planted: &Planted) -> Vec<&'static str> {
    let rows = planted.rows.iter();
    rows.map(|row| row.probe.table().name).collect()
}
