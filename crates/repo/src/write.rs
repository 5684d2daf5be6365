//! The rows of one entity: writing.

use bastide_db::{Dialect, Row, Value};
use jiff::Timestamp;

use crate::access::{Access, Way, Who};
use crate::audit::{self, Action};
use crate::column::Column;
use crate::entity::{CREATED, DELETED, Entity, Patch, TENANT, Table, UPDATED, VERSION};
use crate::error::{RepoError, Result};
use crate::field::Field;
use crate::query::Deleted;
use crate::repo::{Repo, has_id, scope};
use crate::statement::{self, Statement};
use crate::tenant_tx::TenantTx;

/// Columns and what they are to hold.
pub(crate) type Assignments = Vec<(&'static str, Value)>;

/// A statement, and the row that it is about.
struct Write {
    action: Action,
    statement: (String, Vec<Value>),
    /// By which it is found beforehand, where a change is written down.
    before: Option<(&'static str, Value)>,
}

impl<E: Entity> Repo<E> {
    /// Adds a row, and returns it as the database has it now.
    ///
    /// # Errors
    /// [`RepoError::Conflict`] if another row has the same id or unique field.
    pub async fn insert<'a>(&self, by: impl Access<'a, E::Rows>, entity: E) -> Result<E> {
        let way = by.by().0;
        let mut statement = self.statement("");
        let row = assignments(E::TABLE, way.who(), entity.values());
        write_insert(&mut statement, E::TABLE, &row);
        returning(&mut statement, E::TABLE);
        let write = Write {
            action: Action::Insert,
            statement: statement.finish()?,
            before: None,
        };
        let row = self.write(&way, write).await?;
        let none = || RepoError::invalid("the database gave no row for what it wrote");
        Ok(E::from_row(&row.ok_or_else(none)?)?)
    }

    /// Adds many rows, all or none, at the cost of few round trips.
    ///
    /// # Errors
    /// As [`Repo::insert`], for the first row that fails.
    pub async fn insert_many<'a>(
        &self,
        by: impl Access<'a, E::Rows>,
        entities: impl IntoIterator<Item = E>,
    ) -> Result<()> {
        let way = by.by().0;
        let who = way.who().clone();
        let rows: Vec<Assignments> = entities
            .into_iter()
            .map(|entity| assignments(E::TABLE, &who, entity.values()))
            .collect();
        match way {
            _ if rows.is_empty() => Ok(()),
            Way::Transaction(transaction) => insert_each::<E>(transaction, &rows).await,
            Way::Call(who) => {
                self.db
                    .transaction_of(who, async |transaction| {
                        insert_each::<E>(transaction, &rows).await
                    })
                    .await
            }
        }
    }

    /// Adds the row, or changes the one that holds the same in this unique column; that one keeps its id.
    ///
    /// # Errors
    /// [`RepoError::Invalid`] if the column is neither unique nor the id, [`RepoError::Conflict`] if another row has the same in
    /// another unique field.
    pub async fn upsert<'a, T: Field>(
        &self,
        by: impl Access<'a, E::Rows>,
        entity: E,
        key: Column<E, T>,
    ) -> Result<E> {
        let (way, table, key) = (by.by().0, E::TABLE, key.name());
        if key != table.id && !table.column(key).is_some_and(|column| column.is_unique) {
            return Err(RepoError::invalid(format!(
                "an upsert goes by the id or a unique column, and `{key}` of {} is neither",
                table.name
            )));
        }
        let row = assignments(table, way.who(), entity.values());
        let before = row.iter().find(|(name, _)| *name == key).cloned();
        let mut statement = self.statement("");
        write_insert(&mut statement, table, &row);
        statement.push(" ON CONFLICT (");
        let tenant = table.traits.tenant.then_some(TENANT);
        statement.names(tenant.into_iter().chain([key])).push(")");
        if table.traits.soft_delete && key != table.id {
            statement.push(" WHERE ").name(DELETED).push(" IS NULL");
        }
        statement.push(" DO UPDATE SET ");
        let kept = [TENANT, CREATED, VERSION, table.id];
        let changed = row.iter().map(|(name, _)| *name);
        let changed = changed.filter(|name| *name == key || !kept.contains(name));
        statement.list(changed, |statement, name| {
            statement.name(name).push(" = excluded.").name(name);
        });
        if table.traits.version {
            statement
                .push(", ")
                .name(VERSION)
                .push(" = ")
                .name(table.name);
            statement.push(".").name(VERSION).push(" + 1");
        }
        if table.traits.soft_delete {
            // By the id a deleted row would be found too.
            statement.push(" WHERE ").name(table.name).push(".");
            statement.name(DELETED).push(" IS NULL");
        }
        returning(&mut statement, table);
        let write = Write {
            action: Action::Upsert,
            statement: statement.finish()?,
            before,
        };
        let row = self.write(&way, write).await?;
        let taken = || RepoError::Conflict {
            table: table.name,
            field: key.to_owned(),
        };
        Ok(E::from_row(&row.ok_or_else(taken)?)?)
    }

    /// Gives all fields of the row the entity's values, and returns it as the database has it now.
    ///
    /// # Errors
    /// [`RepoError::NotFound`]; [`RepoError::Stale`] if it has another version than the entity.
    pub async fn update<'a>(&self, by: impl Access<'a, E::Rows>, entity: E) -> Result<E> {
        let names = E::TABLE.columns.iter().map(|column| column.name);
        let all = names.zip(entity.values());
        let changes = all.filter(|(name, _)| *name != E::TABLE.id).collect();
        let id = entity.id().clone();
        self.change(&by.by().0, &id, changes, entity.version())
            .await
    }

    /// Changes the fields that the patch has, and returns the row as the database has it now. A patch without fields writes
    /// nothing.
    ///
    /// # Errors
    /// [`RepoError::NotFound`].
    pub async fn patch<'a>(
        &self,
        by: impl Access<'a, E::Rows>,
        id: E::Id,
        patch: E::Patch,
    ) -> Result<E> {
        let way = by.by().0;
        let changes = patch.changes();
        if changes.is_empty() {
            let found = self.find_by(&way, &id).await?;
            return found.ok_or_else(not_found::<E>);
        }
        self.change(&way, &id, changes, None).await
    }

    /// As [`Repo::patch`], if the row still has this version.
    ///
    /// # Errors
    /// [`RepoError::NotFound`]; [`RepoError::Stale`].
    pub async fn patch_version<'a>(
        &self,
        by: impl Access<'a, E::Rows>,
        id: E::Id,
        version: i64,
        patch: E::Patch,
    ) -> Result<E> {
        const {
            assert!(
                E::TABLE.traits.version,
                "only entities with `version` have one"
            );
        }
        self.change(&by.by().0, &id, patch.changes(), Some(version))
            .await
    }

    async fn change(
        &self,
        way: &Way<'_>,
        id: &E::Id,
        mut changes: Assignments,
        version: Option<i64>,
    ) -> Result<E> {
        let table = E::TABLE;
        changes.extend(touched(table));
        if changes.is_empty() && !table.traits.version {
            let found = self.find_by(way, id).await?;
            return found.ok_or_else(not_found::<E>);
        }
        let mut statement = self.statement("");
        write_update(&mut statement, table, &changes);
        scope(&mut statement, table, way.who(), Deleted::No);
        has_id(&mut statement, table, id.to_value());
        if let Some(version) = version {
            statement.push(" AND ").name(VERSION).push(" = ");
            statement.param(Value::Int(version));
        }
        returning(&mut statement, table);
        let write = Write {
            action: Action::Update,
            statement: statement.finish()?,
            before: Some((table.id, id.to_value())),
        };
        match self.write(way, write).await? {
            Some(row) => Ok(E::from_row(&row)?),
            None if version.is_some() && self.find_by(way, id).await?.is_some() => {
                Err(RepoError::Stale { table: table.name })
            }
            None => Err(not_found::<E>()),
        }
    }

    /// Deletes the row. With `soft_delete` it stays, and is no longer seen.
    ///
    /// # Errors
    /// [`RepoError::NotFound`]; [`RepoError::Reference`] if another row refers to it.
    pub async fn delete<'a>(&self, by: impl Access<'a, E::Rows>, id: E::Id) -> Result<()> {
        let (way, table) = (by.by().0, E::TABLE);
        let mut statement = self.statement("");
        if table.traits.soft_delete {
            let mut changes = vec![(DELETED, Value::Timestamp(Timestamp::now()))];
            changes.extend(touched(table));
            write_update(&mut statement, table, &changes);
        } else {
            statement.push("DELETE FROM ").name(table.name);
        }
        scope(&mut statement, table, way.who(), Deleted::No);
        has_id(&mut statement, table, id.to_value());
        self.end(&way, Action::Delete, &id, statement).await
    }

    /// Brings a soft-deleted row back.
    ///
    /// # Errors
    /// [`RepoError::NotFound`] if none with this id was deleted; [`RepoError::Conflict`] if another row has taken its place.
    pub async fn restore<'a>(&self, by: impl Access<'a, E::Rows>, id: E::Id) -> Result<()> {
        const {
            assert!(
                E::TABLE.traits.soft_delete,
                "only entities with `soft_delete` can be restored"
            );
        }
        let (way, table) = (by.by().0, E::TABLE);
        let mut statement = self.statement("");
        let mut changes = vec![(DELETED, Value::Null)];
        changes.extend(touched(table));
        write_update(&mut statement, table, &changes);
        scope(&mut statement, table, way.who(), Deleted::Only);
        has_id(&mut statement, table, id.to_value());
        self.end(&way, Action::Restore, &id, statement).await
    }

    async fn end(
        &self,
        way: &Way<'_>,
        action: Action,
        id: &E::Id,
        mut statement: Statement,
    ) -> Result<()> {
        returning(&mut statement, E::TABLE);
        let write = Write {
            action,
            statement: statement.finish()?,
            before: Some((E::TABLE.id, id.to_value())),
        };
        match self.write(way, write).await? {
            Some(_) => Ok(()),
            None => Err(not_found::<E>()),
        }
    }

    async fn write(&self, way: &Way<'_>, write: Write) -> Result<Option<Row>> {
        if !E::TABLE.traits.audit {
            let rows = self.db.run(way, E::TABLE, false, write.statement).await?;
            return Ok(rows.into_iter().next());
        }
        match way {
            Way::Transaction(transaction) => self.write_down(transaction, write).await,
            Way::Call(who) => {
                self.db
                    .transaction_of(who.clone(), async |transaction| {
                        self.write_down(transaction, write).await
                    })
                    .await
            }
        }
    }

    /// The row before, the statement, and what became of it, written down.
    async fn write_down(&self, transaction: &TenantTx, write: Write) -> Result<Option<Row>> {
        let (way, table) = (Way::Transaction(transaction), E::TABLE);
        let mut before = None;
        if let Some((column, value)) = write.before {
            let mut statement = self.statement("SELECT ");
            statement.names(table.all().map(|(name, ..)| name));
            statement.push(" FROM ").name(table.name);
            let deleted = match write.action {
                Action::Restore => Deleted::Only,
                _ => Deleted::No,
            };
            scope(&mut statement, table, transaction.who(), deleted);
            statement
                .push(" AND ")
                .name(column)
                .push(" = ")
                .param(value);
            if self.db.dialect() == Dialect::Postgres {
                statement.push(" FOR UPDATE");
            }
            let rows = self.db.run(&way, table, false, statement.finish()?).await?;
            before = rows
                .first()
                .map(|row| audit::of_row(table, row))
                .transpose()?;
        }
        let rows = self.db.run(&way, table, false, write.statement).await?;
        let Some(row) = rows.into_iter().next() else {
            return Ok(None);
        };
        let is_gone = write.action == Action::Delete && !table.traits.soft_delete;
        let after = if is_gone {
            None
        } else {
            Some(audit::of_row(table, &row)?)
        };
        let entry = audit::entry(transaction.who(), table, write.action, before, after);
        audit::write(transaction, vec![entry]).await?;
        Ok(Some(row))
    }
}

async fn insert_each<E: Entity>(transaction: &TenantTx, rows: &[Assignments]) -> Result<()> {
    insert_rows(transaction, E::TABLE, rows).await?;
    if !E::TABLE.traits.audit {
        return Ok(());
    }
    let entry = |row: &Assignments| {
        let cells = row.iter().map(|(name, value)| (*name, value));
        let after = audit::document(E::TABLE, cells);
        audit::entry(
            transaction.who(),
            E::TABLE,
            Action::Insert,
            None,
            Some(after),
        )
    };
    audit::write(transaction, rows.iter().map(entry).collect()).await
}

/// All of them have the same columns.
pub(crate) async fn insert_rows(
    transaction: &TenantTx,
    table: &'static Table,
    rows: &[Assignments],
) -> Result<()> {
    let Some(first) = rows.first() else {
        return Ok(());
    };
    let mut insert = Statement::new(transaction.dialect(), "");
    write_insert(&mut insert, table, first);
    let (sql, _) = insert.finish()?;
    let mut params = Vec::with_capacity(rows.len());
    for row in rows {
        let values: Vec<Value> = row.iter().map(|(_, value)| value.clone()).collect();
        statement::check(&values)?;
        params.push(values);
    }
    let written = transaction.run_each(&sql, params).await;
    written.map_err(|batch| transaction.who().judge_of(batch.error, table))
}

fn not_found<E: Entity>() -> RepoError {
    RepoError::NotFound {
        table: E::TABLE.name,
    }
}

/// All columns of a new row.
pub(crate) fn assignments(table: &Table, who: &Who, own: Vec<Value>) -> Assignments {
    let now = Value::Timestamp(Timestamp::now());
    let managed = table.managed().map(|column| {
        let value = match column.name {
            TENANT => who.tenant_value(),
            VERSION => Value::Int(1),
            DELETED => Value::Null,
            _ => now.clone(),
        };
        (column.name, value)
    });
    let names = table.columns.iter().map(|column| column.name);
    managed.chain(names.zip(own)).collect()
}

/// What changes with every change.
fn touched(table: &Table) -> Option<(&'static str, Value)> {
    table
        .traits
        .timestamps
        .then(|| (UPDATED, Value::Timestamp(Timestamp::now())))
}

fn write_insert(statement: &mut Statement, table: &Table, row: &Assignments) {
    statement.push("INSERT INTO ").name(table.name).push(" (");
    statement.names(row.iter().map(|(name, _)| *name));
    statement.push(") VALUES (");
    statement.list(row, |statement, (_, value)| {
        statement.param(value.clone());
    });
    statement.push(")");
}

fn write_update(statement: &mut Statement, table: &Table, changes: &Assignments) {
    statement.push("UPDATE ").name(table.name).push(" SET ");
    statement.list(changes, |statement, (name, value)| {
        statement.name(name).push(" = ").param(value.clone());
    });
    if table.traits.version {
        statement.push(if changes.is_empty() { "" } else { ", " });
        statement
            .name(VERSION)
            .push(" = ")
            .name(VERSION)
            .push(" + 1");
    }
}

/// What is read of a row that was written: all of it where it is written down.
fn returning(statement: &mut Statement, table: &Table) {
    statement.push(" RETURNING ");
    if table.traits.audit {
        statement.names(table.all().map(|(name, ..)| name));
    } else {
        statement.names(table.read.iter().copied());
    }
}
