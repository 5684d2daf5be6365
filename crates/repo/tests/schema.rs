//! What the database lacks is found, mended by the statements given, and what does not keep tenants apart is refused.

#![allow(clippy::unwrap_used, reason = "a failed test")]

mod support;

use bastide_db::{Database, Dialect};
use bastide_repo::{Entity, Finding, Problem, Schema, Uuid};

use support::{Fixture, schema};

on_both!(
    what_was_created_is_what_is_wanted,
    what_is_missing_is_found_and_mended,
);

async fn run(database: &Database, statements: impl IntoIterator<Item = impl AsRef<str>>) {
    for statement in statements {
        let done = database.execute(statement.as_ref(), &[]).await;
        done.unwrap_or_else(|error| panic!("{}: {error}", statement.as_ref()));
    }
}

async fn diff(database: &Database) -> Vec<Finding> {
    schema().diff(database).await.unwrap()
}

async fn what_was_created_is_what_is_wanted(fixture: &Fixture) {
    let owner = fixture.owner();
    let missing = diff(&owner).await;
    assert!(
        missing
            .iter()
            .all(|found| found.problem == Problem::NoTable),
        "{missing:?}"
    );
    assert_eq!(missing.len(), 5);
    fixture.create().await;
    assert_eq!(diff(&owner).await, []);
    schema().check(&fixture.app()).await.unwrap();
}

/// The same table, as somebody else made it.
#[derive(Entity)]
#[entity(table = "things", tenant, soft_delete)]
struct Thing {
    #[entity(id)]
    id: Uuid,
    #[entity(unique)]
    name: String,
    #[entity(index)]
    size: Option<i64>,
    note: Option<String>,
}

async fn what_is_missing_is_found_and_mended(fixture: &Fixture) {
    let owner = fixture.owner();
    let things = Schema::new().with::<Thing>();
    let (key, before) = match fixture.dialect() {
        Dialect::Postgres => ("uuid", "size text, deleted_at timestamp with time zone"),
        Dialect::Sqlite => ("TEXT", "size INTEGER, deleted_at TEXT"),
    };
    let text = if key == "uuid" { "text" } else { "TEXT" };
    let create = format!(
        "CREATE TABLE things (tenant_id {text} NOT NULL, id {key} NOT NULL, name {text} NOT NULL, {before}, PRIMARY KEY (tenant_id, id))"
    );
    let wrong_index = "CREATE UNIQUE INDEX things_name_key ON things (name)";
    run(&owner, [create.as_str(), wrong_index]).await;
    let findings = things.diff(&owner).await.unwrap();
    let problems: Vec<&Problem> = findings.iter().map(|found| &found.problem).collect();
    let index = |name: &str| Problem::NoIndex { index: name.into() };
    for expected in [
        index("things_name_key"),
        index("things_size_idx"),
        Problem::NoColumn { column: "note" },
    ] {
        assert!(
            problems.contains(&&expected),
            "{expected:?} in {problems:?}"
        );
    }
    if fixture.dialect() == Dialect::Postgres {
        let other_kind = Problem::OtherKind {
            column: "size",
            expected: "bigint",
            found: "text".into(),
        };
        for expected in [
            other_kind,
            Problem::NotEnabled,
            Problem::NotForced,
            Problem::NoPolicy,
        ] {
            assert!(
                problems.contains(&&expected),
                "{expected:?} in {problems:?}"
            );
        }
        let error = things.check(&owner).await.unwrap_err().to_string();
        assert!(
            error.contains("is not enabled") && error.contains("owns `things`"),
            "{error}"
        );
    }
    for found in &findings {
        run(&owner, &found.mend).await;
    }
    assert_eq!(things.diff(&owner).await.unwrap(), []);
}

#[tokio::test]
async fn what_does_not_keep_tenants_apart_is_refused() {
    let fixture = Fixture::postgres();
    fixture.create().await;
    let (owner, app) = (fixture.owner(), fixture.app());
    let refused = async |expected: &str| {
        let error = schema().check(&app).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    };
    let cases = [
        (
            "ALTER TABLE users DISABLE ROW LEVEL SECURITY",
            "ALTER TABLE users ENABLE ROW LEVEL SECURITY",
            "row-level security of `users` is not enabled",
        ),
        (
            "ALTER TABLE users NO FORCE ROW LEVEL SECURITY",
            "ALTER TABLE users FORCE ROW LEVEL SECURITY",
            "does not hold for its owner",
        ),
        (
            "CREATE POLICY more ON users FOR SELECT USING (true)",
            "DROP POLICY more ON users",
            "the policy `more` of `users` lets other rows through",
        ),
        (
            "ALTER POLICY bastide_tenant ON users USING (true)",
            "ALTER POLICY bastide_tenant ON users USING (tenant_id = (SELECT NULLIF(current_setting('app.tenant_id', true), '')))",
            "has no policy `bastide_tenant`",
        ),
        (
            "ALTER POLICY bastide_tenant ON users WITH CHECK (true)",
            "ALTER POLICY bastide_tenant ON users WITH CHECK (tenant_id = (SELECT NULLIF(current_setting('app.tenant_id', true), '')))",
            "has no policy `bastide_tenant`",
        ),
    ];
    for (breaks, mends, expected) in cases {
        run(&owner, [breaks]).await;
        refused(expected).await;
        run(&owner, [mends]).await;
        schema().check(&app).await.expect(breaks);
    }
    // A restrictive policy lets nothing more through.
    run(
        &owner,
        ["CREATE POLICY less ON users AS RESTRICTIVE USING (name <> 'x')"],
    )
    .await;
    schema().check(&app).await.unwrap();
    let as_owner = schema().check(&owner).await.unwrap_err().to_string();
    assert!(as_owner.contains("owns `users`"), "{as_owner}");
    let Fixture::Postgres(database) = &fixture else {
        unreachable!("it is a Postgres")
    };
    let superuser = Database::open(&database.url()).unwrap();
    // A view asks as its owner.
    run(&superuser, ["CREATE VIEW seen AS SELECT * FROM users"]).await;
    refused("the view `seen` shows every tenant's rows of `users`").await;
    let findings = diff(&superuser).await;
    let view = findings
        .iter()
        .find(|found| matches!(found.problem, Problem::OpenView { .. }));
    run(&superuser, &view.unwrap().mend).await;
    schema().check(&app).await.unwrap();
    run(
        &superuser,
        ["CREATE MATERIALIZED VIEW copied AS SELECT * FROM users"],
    )
    .await;
    refused("the materialized view `copied`").await;
    let as_superuser = schema().check(&superuser).await.unwrap_err().to_string();
    assert!(
        as_superuser.contains("SUPERUSER or BYPASSRLS"),
        "{as_superuser}"
    );
}
