//! What the derive macro makes of a struct.

#![allow(clippy::unwrap_used, reason = "a failed test")]

mod support;

use bastide_repo::{Dialect, Entity, Kind};

use support::{Team, User, schema};

#[test]
fn the_table_is_what_the_struct_says() {
    let table = User::TABLE;
    assert_eq!((table.name, table.id), ("users", "id"));
    let columns: Vec<_> = table
        .columns
        .iter()
        .map(|column| (column.name, column.kind, column.is_nullable))
        .collect();
    assert_eq!(
        columns,
        [
            ("id", Kind::Uuid, false),
            ("email", Kind::Text, false),
            ("name", Kind::Text, false),
            ("age", Kind::Int, true),
            ("team_id", Kind::Uuid, true),
        ]
    );
    let managed: Vec<_> = table.managed().map(|column| column.name).collect();
    assert_eq!(
        managed,
        [
            "tenant_id",
            "created_at",
            "updated_at",
            "deleted_at",
            "version"
        ]
    );
    let team = table.columns[4].references.unwrap()();
    assert_eq!(team.name, Team::TABLE.name);
}

#[test]
fn statements_begin_with_the_tenant() {
    let statements = schema().create(Dialect::Postgres);
    for expected in [
        "CREATE UNIQUE INDEX \"users_email_key\" ON \"users\" (\"tenant_id\", \"email\") WHERE \"deleted_at\" IS NULL",
        "CREATE INDEX \"users_email_idx\" ON \"users\" (\"tenant_id\", \"email\")",
        "CREATE UNIQUE INDEX \"teams_name_key\" ON \"teams\" (\"tenant_id\", \"name\")",
        "ALTER TABLE \"users\" ADD CONSTRAINT \"users_team_id_fkey\" FOREIGN KEY (\"tenant_id\", \"team_id\") REFERENCES \"teams\" (\"tenant_id\", \"id\")",
        "ALTER TABLE \"users\" FORCE ROW LEVEL SECURITY",
    ] {
        assert!(
            statements.iter().any(|statement| statement == expected),
            "{expected}\nis not among {statements:#?}"
        );
    }
    let of_country = |statement: &&String| statement.contains("\"countries\"");
    let shared: Vec<_> = statements.iter().filter(of_country).collect();
    assert_eq!(shared.len(), 1, "{shared:?}");
    assert!(!shared[0].contains("tenant_id"));
    let sqlite = schema().create(Dialect::Sqlite).join(";\n");
    assert!(!sqlite.contains("POLICY") && sqlite.contains("STRICT"));
}
