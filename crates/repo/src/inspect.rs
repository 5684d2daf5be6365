//! What a database has, in the terms of what an entity says.

use bastide_db::{Database, Dialect, Row, values};

use crate::ddl::POLICY_EXPRESSION;
use crate::entity::Table;
use crate::error::Result;

/// A table as it is.
pub(crate) struct Actual {
    pub(crate) columns: Vec<ActualColumn>,
    pub(crate) indexes: Vec<ActualIndex>,
    /// The names of its references; their columns on `SQLite`, which has no names for them.
    pub(crate) references: Vec<String>,
    /// `None` on `SQLite`.
    pub(crate) security: Option<Security>,
}

pub(crate) struct ActualColumn {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) is_nullable: bool,
}

pub(crate) struct ActualIndex {
    pub(crate) name: String,
    pub(crate) columns: String,
    pub(crate) is_unique: bool,
    pub(crate) is_partial: bool,
}

/// Row-level security of a table, as it is.
pub(crate) struct Security {
    pub(crate) is_enabled: bool,
    pub(crate) is_forced: bool,
    pub(crate) is_owned: bool,
    /// The permissive ones: one is enough to let a row through.
    pub(crate) policies: Vec<Policy>,
    /// Views for whose owner there is no row-level security, and that ask as their owner.
    pub(crate) open_views: Vec<String>,
    /// Their rows are copies, which have no row-level security.
    pub(crate) materialized_views: Vec<String>,
}

pub(crate) struct Policy {
    pub(crate) name: String,
    /// Whether it lets through the tenant's rows and no others, reading and writing.
    pub(crate) is_ours: bool,
}

/// The role of the connection.
pub(crate) struct Role {
    pub(crate) name: String,
    pub(crate) bypasses: bool,
}

impl Actual {
    /// `None`: there is no such table.
    pub(crate) async fn read(database: &Database, table: &Table) -> Result<Option<Self>> {
        let actual = match database.dialect() {
            Dialect::Postgres => postgres(database, table).await?,
            Dialect::Sqlite => sqlite(database, table).await?,
        };
        Ok((!actual.columns.is_empty()).then_some(actual))
    }
}

impl Role {
    /// Of Postgres only.
    pub(crate) async fn read(database: &Database) -> Result<Option<Self>> {
        if database.dialect() == Dialect::Sqlite {
            return Ok(None);
        }
        let sql = "SELECT rolname AS name, rolsuper OR rolbypassrls AS bypasses FROM pg_roles WHERE rolname = current_user";
        let row = database.query_opt(sql, &[]).await?;
        let role = |row: Row| -> Result<Self> {
            Ok(Self {
                name: row.get("name")?,
                bypasses: row.get("bypasses")?,
            })
        };
        row.map(role).transpose()
    }
}

async fn postgres(database: &Database, table: &Table) -> Result<Actual> {
    let name = values![format!("\"{}\"", table.name)];
    let columns = "SELECT attname AS name, format_type(atttypid, atttypmod) AS kind, NOT attnotnull AS is_nullable \
                   FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
    let indexes = "SELECT c.relname AS name, i.indisunique AS is_unique, i.indpred IS NOT NULL AS is_partial, \
                   (SELECT string_agg(a.attname, ',' ORDER BY k.position) FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (number, position) \
                   JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.number) AS columns \
                   FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid WHERE i.indrelid = to_regclass($1) AND i.indisvalid";
    let references = "SELECT conname AS name FROM pg_constraint WHERE conrelid = to_regclass($1) AND contype = 'f'";
    let security = "SELECT relrowsecurity AS is_enabled, relforcerowsecurity AS is_forced, \
                    pg_has_role(current_user, relowner, 'USAGE') AS is_owned FROM pg_class WHERE oid = to_regclass($1)";
    let policies = "SELECT polname AS name, polcmd = '*' AS is_for_all, coalesce(pg_get_expr(polqual, polrelid), '') AS reads, \
                    coalesce(pg_get_expr(polwithcheck, polrelid), pg_get_expr(polqual, polrelid), '') AS writes \
                    FROM pg_policy WHERE polrelid = to_regclass($1) AND polpermissive";
    let views = "SELECT DISTINCT v.relname AS name, v.relkind = 'm' AS is_materialized FROM pg_depend AS d \
                 JOIN pg_rewrite AS r ON r.oid = d.objid JOIN pg_class AS v ON v.oid = r.ev_class JOIN pg_roles AS o ON o.oid = v.relowner \
                 WHERE d.classid = 'pg_rewrite'::regclass AND d.refobjid = to_regclass($1) AND v.oid <> d.refobjid \
                 AND (v.relkind = 'm' OR (o.rolsuper OR o.rolbypassrls) AND NOT coalesce(v.reloptions && \
                 ARRAY['security_invoker=true', 'security_invoker=on', 'security_invoker=1'], false))";
    let columns = database.query(columns, &name).await?;
    let indexes = database.query(indexes, &name).await?;
    let references = database.query(references, &name).await?;
    let views = database.query(views, &name).await?;
    let mut of_kind = [Vec::new(), Vec::new()];
    for view in &views {
        of_kind[usize::from(view.get::<bool>("is_materialized")?)].push(view.get("name")?);
    }
    let [open_views, materialized_views] = of_kind;
    let found = database.query_opt(security, &name).await?;
    let policies = database.query(policies, &name).await?;
    let policies: Result<Vec<Policy>> = policies.iter().map(policy).collect();
    let policies = policies?;
    let security = |row: Row| -> Result<Security> {
        Ok(Security {
            is_enabled: row.get("is_enabled")?,
            is_forced: row.get("is_forced")?,
            is_owned: row.get("is_owned")?,
            policies,
            open_views,
            materialized_views,
        })
    };
    Ok(Actual {
        columns: columns.iter().map(column).collect::<Result<_>>()?,
        indexes: indexes.iter().map(index).collect::<Result<_>>()?,
        references: names(&references)?,
        security: found.map(security).transpose()?,
    })
}

fn policy(row: &Row) -> Result<Policy> {
    let expected = plain(POLICY_EXPRESSION);
    Ok(Policy {
        name: row.get("name")?,
        is_ours: row.get("is_for_all")?
            && plain(row.get("reads")?) == expected
            && plain(row.get("writes")?) == expected,
    })
}

/// An expression without what Postgres adds when it shows it: parentheses, casts and a name for the sub-select's column.
fn plain(expression: &str) -> String {
    let bare: String = expression
        .replace("AS \"nullif\"", "")
        .replace("::text", "")
        .chars()
        .filter(|letter| !letter.is_whitespace() && !"()\"".contains(*letter))
        .collect();
    bare.to_lowercase()
}

async fn sqlite(database: &Database, table: &Table) -> Result<Actual> {
    let name = values![table.name];
    let columns =
        "SELECT name, type AS kind, \"notnull\" = 0 AS is_nullable FROM pragma_table_info($1)";
    let indexes = "SELECT l.name AS name, l.\"unique\" AS is_unique, l.partial AS is_partial, \
                   (SELECT group_concat(i.name, ',' ORDER BY i.seqno) FROM pragma_index_info(l.name) AS i) AS columns FROM pragma_index_list($1) AS l";
    let references = "SELECT \"from\" AS name FROM pragma_foreign_key_list($1)";
    let columns = database.query(columns, &name).await?;
    let indexes = database.query(indexes, &name).await?;
    let references = database.query(references, &name).await?;
    Ok(Actual {
        columns: columns.iter().map(column).collect::<Result<_>>()?,
        indexes: indexes.iter().map(index).collect::<Result<_>>()?,
        references: names(&references)?,
        security: None,
    })
}

fn column(row: &Row) -> Result<ActualColumn> {
    Ok(ActualColumn {
        name: row.get("name")?,
        kind: row.get("kind")?,
        is_nullable: row.get("is_nullable")?,
    })
}

fn index(row: &Row) -> Result<ActualIndex> {
    Ok(ActualIndex {
        name: row.get("name")?,
        columns: row.get::<Option<String>>("columns")?.unwrap_or_default(),
        is_unique: row.get("is_unique")?,
        is_partial: row.get("is_partial")?,
    })
}

fn names(rows: &[Row]) -> Result<Vec<String>> {
    rows.iter().map(|row| Ok(row.get("name")?)).collect()
}
