//! Rows that the kit makes of what an entity declares.

use std::collections::HashMap;
use std::sync::Arc;

use bastide_context::{Cx, Tenant};
use bastide_db::{Database, Dialect};
use bastide_repo::{Column, Entity, Field, Kind, Row, Table, TableColumn, Timestamp, Uuid, Value};

use super::probe::Probe;
use super::test_app::TestApp;

/// What rows made by the kit hold where anything will not do: a column with a `CHECK`, or a type with a few values.
///
/// ```
/// # use bastide::prelude::*;
/// # use bastide::testing::Fixtures;
/// # #[derive(Entity)]
/// # #[entity(table = "orders", tenant)]
/// # struct Order { #[entity(id)] id: Uuid, status: String }
/// let fixtures = Fixtures::new().column(Order::STATUS, "open");
/// ```
#[derive(Debug, Clone, Default)]
pub struct Fixtures {
    values: HashMap<(&'static str, &'static str), Value>,
}

impl Fixtures {
    /// Anything that fits the columns' kinds.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every row holds this in that column.
    pub fn column<E: Entity, T: Field>(
        mut self,
        column: Column<E, T>,
        value: impl Into<T::Base>,
    ) -> Self {
        let value = value.into().into();
        self.values.insert((E::TABLE.name, column.name()), value);
        self
    }
}

/// Rows of one tenant, one in the table of each entity.
#[derive(Debug)]
pub(super) struct Planted {
    /// Stands in every text of the rows, and nowhere else in the world.
    pub(super) mark: String,
    pub(super) rows: Vec<PlantedRow>,
}

#[derive(Debug)]
pub(super) struct PlantedRow {
    pub(super) probe: Arc<dyn Probe>,
    pub(super) row: Row,
    pub(super) id: Value,
}

/// What every text of planted rows begins with: searching for it finds them.
pub(super) const COMMON: &str = "planted";

/// Plants a row in every table of the program's entities that are tenants'. `Err` says which cannot be, and what to do.
pub(super) async fn plant(
    app: &TestApp,
    cx: &Cx<Tenant>,
    fixtures: &Fixtures,
) -> Result<Planted, String> {
    let failed = |error: &dyn std::fmt::Display| format!("rows cannot be planted: {error:#}");
    let db = app.database().await.map_err(|error| failed(&error))?;
    let connection = app.connection().await.map_err(|error| failed(&error))?;
    let mut planted = Planted {
        mark: format!("{COMMON}{}", Uuid::new_v4().simple()),
        rows: Vec::new(),
    };
    let is_tenants = |probe: &Arc<dyn Probe>| probe.table().traits.tenant;
    let mut left: Vec<_> = app.probes().into_iter().filter(is_tenants).collect();
    while let Some(place) = next(&left, &planted) {
        let probe = left.swap_remove(place);
        let table = probe.table();
        let row = make(&connection, table, fixtures, &planted).await;
        let row = row.map_err(|error| explain(table, &error))?;
        let inserted = probe.insert(&db, cx, &row).await;
        inserted.map_err(|error| explain(table, &error.to_string()))?;
        let id = row.value(table.id).map_err(|error| failed(&error))?.clone();
        planted.rows.push(PlantedRow { probe, row, id });
    }
    if let Some(probe) = left.first() {
        let name = probe.table().name;
        return Err(format!(
            "no row of `{name}` can be made: it refers to a table that has no row; ask for a repository of that entity too, or \
             give the column by `Fixtures::column`"
        ));
    }
    Ok(planted)
}

fn explain(table: &Table, error: &str) -> String {
    format!(
        "no row of `{}` can be made of what its entity declares: {error}; say by `Fixtures::column` what its columns may hold",
        table.name
    )
}

/// One whose references lead to rows that are there; else one that can do without.
fn next(left: &[Arc<dyn Probe>], planted: &Planted) -> Option<usize> {
    let lacks = |table: &'static Table, column: &TableColumn| {
        let to = column.references.map(|to| to().name);
        to.is_some_and(|to| to != table.name && planted.id_in(to).is_none())
    };
    let place = |may_lack: fn(&TableColumn) -> bool| {
        left.iter().position(|probe| {
            let table = probe.table();
            let mut columns = table.columns.iter();
            columns.all(|column| !lacks(table, column) || may_lack(column))
        })
    };
    place(|_| false).or_else(|| place(|column| column.is_nullable))
}

impl Planted {
    fn id_in(&self, table: &str) -> Option<&Value> {
        let row = self.rows.iter().find(|row| row.probe.table().name == table);
        row.map(|row| &row.id)
    }
}

/// A row as the database would give it, because an entity is made of nothing else.
async fn make(
    connection: &Database,
    table: &'static Table,
    fixtures: &Fixtures,
    planted: &Planted,
) -> Result<Row, String> {
    let id = anything(kind_of(table, table.id), &planted.mark);
    let mut columns: Vec<(&str, Kind, Value)> = Vec::new();
    for column in table.columns {
        let given = fixtures.values.get(&(table.name, column.name));
        let value = match (given, column.references) {
            (Some(given), _) => given.clone(),
            (None, _) if column.name == table.id => id.clone(),
            (None, Some(to)) if to().name == table.name => {
                if column.is_nullable {
                    Value::Null
                } else {
                    id.clone()
                }
            }
            (None, Some(to)) => planted.id_in(to().name).cloned().unwrap_or(Value::Null),
            (None, None) => anything(column.kind, &planted.mark),
        };
        columns.push((column.name, column.kind, value));
    }
    // What the repository keeps it says itself when the row is there.
    for column in table.managed() {
        let is_own = table.columns.iter().any(|own| own.name == column.name);
        if !is_own {
            let value = match column.kind {
                _ if column.is_nullable => Value::Null,
                Kind::Int => Value::Int(0),
                kind => anything(kind, &planted.mark),
            };
            columns.push((column.name, column.kind, value));
        }
    }
    let dialect = connection.dialect();
    let cells: Vec<_> = columns.iter().enumerate().map(cell(dialect)).collect();
    let sql = format!("SELECT {}", cells.join(", "));
    let values: Vec<_> = columns.into_iter().map(|(_, _, value)| value).collect();
    let row = connection.query_opt(&sql, &values).await;
    let row = row.map_err(|error| error.to_string())?;
    row.ok_or_else(|| "the database gave no row".to_owned())
}

fn cell(dialect: Dialect) -> impl Fn((usize, &(&str, Kind, Value))) -> String {
    move |(number, (name, kind, _))| {
        format!(
            "CAST(${} AS {}) AS \"{name}\"",
            number + 1,
            kind.sql(dialect)
        )
    }
}

fn kind_of(table: &Table, name: &str) -> Kind {
    let column = table.columns.iter().find(|column| column.name == name);
    column.map_or(Kind::Uuid, |column| column.kind)
}

/// A value that no other row has, with the mark where there is room for it.
fn anything(kind: Kind, mark: &str) -> Value {
    let random = Uuid::new_v4();
    // Seven digits: in every integer type, and no number that is there by chance.
    let number = 1_000_000 + i64::from(random.as_fields().0 % 8_999_999);
    let text = format!("{mark}{}", &random.simple().to_string()[..8]);
    match kind {
        Kind::Bool => Value::Bool(true),
        Kind::Int => Value::Int(number),
        Kind::Float => Value::Float(number as f64 + 0.5),
        Kind::Text => Value::Text(text),
        Kind::Bytes => Value::Bytes(text.into_bytes()),
        Kind::Json => Value::Json(serde_json::json!({ "mark": text }).to_string()),
        Kind::Uuid => Value::Uuid(Uuid::now_v7()),
        Kind::Timestamp => Value::Timestamp(
            Timestamp::from_microsecond(Timestamp::now().as_microsecond())
                .unwrap_or(Timestamp::UNIX_EPOCH),
        ),
    }
}
