//! The statements that make a table what its entity says.

use bastide_db::Dialect;

use crate::entity::{DELETED, TENANT, Table};
use crate::field::Kind;

/// The name of the one policy of each table of tenants.
pub(crate) const POLICY: &str = "bastide_tenant";
/// Whose rows are seen and written. A sub-select, so that it is computed once for a statement and not for each row; `NULLIF`,
/// because after a transaction the setting is empty and not absent. Without a setting no row is equal to it.
pub(crate) const POLICY_EXPRESSION: &str =
    "\"tenant_id\" = (SELECT NULLIF(current_setting('app.tenant_id', true), ''))";

/// An index as the entity declares it.
pub(crate) struct Index {
    pub(crate) name: String,
    table: &'static str,
    /// The tenant first.
    pub(crate) columns: Vec<&'static str>,
    pub(crate) is_unique: bool,
    /// Rows that were soft-deleted do not count.
    pub(crate) is_partial: bool,
}

/// A reference as the entity declares it.
pub(crate) struct Reference {
    pub(crate) name: String,
    /// The one that holds the id.
    pub(crate) column: &'static str,
    table: &'static str,
    columns: Vec<&'static str>,
    to: &'static str,
    to_columns: Vec<&'static str>,
}

pub(crate) fn table(table: &'static Table, dialect: Dialect) -> String {
    let mut parts: Vec<String> = table
        .all()
        .map(|(name, kind, is_nullable)| column(name, kind, is_nullable, dialect))
        .collect();
    let key = quoted(&within_tenant(table, table.id));
    parts.push(format!(
        "CONSTRAINT \"{}_pkey\" PRIMARY KEY ({key})",
        table.name
    ));
    // Only there can they be declared before the table that they lead to exists; and later they cannot be at all.
    if dialect == Dialect::Sqlite {
        parts.extend(references(table).map(|reference| reference.constraint()));
    }
    let end = match dialect {
        Dialect::Postgres => "",
        Dialect::Sqlite => " STRICT",
    };
    format!(
        "CREATE TABLE \"{}\" (\n    {}\n){end}",
        table.name,
        parts.join(",\n    ")
    )
}

pub(crate) fn column(name: &str, kind: Kind, is_nullable: bool, dialect: Dialect) -> String {
    let null = if is_nullable { "" } else { " NOT NULL" };
    // So that a statement of one's own need not name the tenant.
    let default = match dialect {
        Dialect::Postgres if name == TENANT => {
            " DEFAULT NULLIF(current_setting('app.tenant_id', true), '')"
        }
        _ => "",
    };
    format!("\"{name}\" {}{null}{default}", kind.sql(dialect))
}

pub(crate) fn indexes(table: &'static Table) -> impl Iterator<Item = Index> {
    let index = move |column: &'static str, is_unique: bool| Index {
        name: format!(
            "{}_{column}_{}",
            table.name,
            if is_unique { "key" } else { "idx" }
        ),
        table: table.name,
        columns: within_tenant(table, column),
        is_unique,
        is_partial: is_unique && table.traits.soft_delete,
    };
    table.columns.iter().flat_map(move |column| {
        let is_id = column.name == table.id;
        let unique = (column.is_unique && !is_id).then(|| index(column.name, true));
        // What is deleted or updated has to be looked for in what refers to it. A partial index is no help there.
        let needs_own = column.is_indexed || column.references.is_some();
        let is_covered = is_id || column.is_unique && !table.traits.soft_delete;
        let plain = (needs_own && !is_covered).then(|| index(column.name, false));
        unique.into_iter().chain(plain)
    })
}

pub(crate) fn references(table: &'static Table) -> impl Iterator<Item = Reference> {
    table.columns.iter().filter_map(move |column| {
        let to = column.references?();
        let is_tenants = to.traits.tenant;
        let with_tenant = |name| {
            let tenant = is_tenants.then_some(TENANT);
            tenant.into_iter().chain([name]).collect()
        };
        Some(Reference {
            name: format!("{}_{}_fkey", table.name, column.name),
            column: column.name,
            table: table.name,
            columns: with_tenant(column.name),
            to: to.name,
            to_columns: with_tenant(to.id),
        })
    })
}

/// All that makes it.
pub(crate) fn whole(of: &'static Table, dialect: Dialect) -> Vec<String> {
    let mut statements = vec![table(of, dialect)];
    statements.extend(indexes(of).map(|index| index.create()));
    if dialect == Dialect::Postgres {
        statements.extend(references(of).map(|reference| reference.create()));
        if of.traits.tenant {
            statements.extend(policy(of));
        }
    }
    statements
}

/// For a table of tenants. `FORCE`, so that it holds for the owner too; it never does for a superuser.
pub(crate) fn policy(table: &Table) -> [String; 3] {
    let name = table.name;
    [
        format!("ALTER TABLE \"{name}\" ENABLE ROW LEVEL SECURITY"),
        format!("ALTER TABLE \"{name}\" FORCE ROW LEVEL SECURITY"),
        format!(
            "CREATE POLICY \"{POLICY}\" ON \"{name}\" USING ({POLICY_EXPRESSION}) WITH CHECK ({POLICY_EXPRESSION})"
        ),
    ]
}

impl Index {
    pub(crate) fn create(&self) -> String {
        let unique = if self.is_unique { "UNIQUE " } else { "" };
        let rows = if self.is_partial {
            format!(" WHERE \"{DELETED}\" IS NULL")
        } else {
            String::new()
        };
        format!(
            "CREATE {unique}INDEX \"{}\" ON \"{}\" ({}){rows}",
            self.name,
            self.table,
            quoted(&self.columns)
        )
    }
}

impl Reference {
    pub(crate) fn create(&self) -> String {
        format!("ALTER TABLE \"{}\" ADD {}", self.table, self.constraint())
    }

    fn constraint(&self) -> String {
        format!(
            "CONSTRAINT \"{}\" FOREIGN KEY ({}) REFERENCES \"{}\" ({})",
            self.name,
            quoted(&self.columns),
            self.to,
            quoted(&self.to_columns)
        )
    }
}

fn within_tenant(table: &Table, column: &'static str) -> Vec<&'static str> {
    let tenant = table.traits.tenant.then_some(TENANT);
    tenant.into_iter().chain([column]).collect()
}

fn quoted(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    quoted.join(", ")
}
