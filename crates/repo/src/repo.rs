//! The rows of one entity: reading.

use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

use bastide_db::Value;

use crate::access::{Access, Way, Who};
use crate::cursor::{Cursor, Order};
use crate::entity::{DELETED, Entity, TENANT, Table};
use crate::error::Result;
use crate::field::Field;
use crate::filter::Filter;
use crate::query::{Deleted, Found, Query};
use crate::statement::{self, Statement};
use crate::tenant_db::TenantDb;

/// The rows of one entity. Cheap to clone.
///
/// Every method takes first [by what right](Access) it is asked: a `&Cx<Tenant>`, then it is a transaction of its own, or the
/// `&TenantTx` of a transaction.
pub struct Repo<E> {
    pub(crate) db: TenantDb,
    /// The statement of [`Repo::find`], written when it is first needed.
    pub(crate) find: Arc<OnceLock<String>>,
    pub(crate) of: PhantomData<fn() -> E>,
}

impl<E> Clone for Repo<E> {
    fn clone(&self) -> Self {
        Self {
            db: self.db.clone(),
            find: Arc::clone(&self.find),
            of: PhantomData,
        }
    }
}

impl<E: Entity> std::fmt::Debug for Repo<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Repo").field(&E::TABLE.name).finish()
    }
}

/// Writes which rows may be touched at all: the tenant's, deleted ones or not.
pub(crate) fn scope(statement: &mut Statement, table: &Table, who: &Who, deleted: Deleted) {
    statement.push(" WHERE TRUE");
    if table.traits.tenant {
        statement.push(" AND ").name(TENANT).push(" = ");
        statement.param(who.tenant_value());
    }
    if table.traits.soft_delete && deleted != Deleted::Too {
        statement.push(" AND ").name(DELETED).push(match deleted {
            Deleted::Only => " IS NOT NULL",
            Deleted::No | Deleted::Too => " IS NULL",
        });
    }
}

pub(crate) fn has_id(statement: &mut Statement, table: &Table, id: Value) {
    statement.push(" AND ").name(table.id).push(" = ").param(id);
}

impl<E: Entity> Repo<E> {
    /// The row with this id, if the caller may see one.
    pub async fn find<'a>(&self, by: impl Access<'a, E::Rows>, id: E::Id) -> Result<Option<E>> {
        self.find_by(&by.by().0, &id).await
    }

    pub(crate) async fn find_by(&self, way: &Way<'_>, id: &E::Id) -> Result<Option<E>> {
        let (table, who) = (E::TABLE, way.who());
        let sql = self.find.get_or_init(|| self.find_text(who));
        let tenant = table.traits.tenant.then(|| who.tenant_value());
        let params: Vec<Value> = tenant.into_iter().chain([id.to_value()]).collect();
        statement::check(&params)?;
        let rows = self.db.run_text(way, table, true, sql, &params).await?;
        let first = rows.first().map(E::from_row);
        Ok(first.transpose()?)
    }

    /// The same text whoever asks, and for which id.
    fn find_text(&self, who: &Who) -> String {
        let table = E::TABLE;
        let mut statement = self.statement("SELECT ");
        statement.names(table.read.iter().copied());
        statement.push(" FROM ").name(table.name);
        scope(&mut statement, table, who, Deleted::No);
        has_id(&mut statement, table, Value::Null);
        statement.into_text()
    }

    /// The rows that a query asks for.
    pub async fn list<'a, R>(
        &self,
        by: impl Access<'a, E::Rows>,
        query: Query<E, R>,
    ) -> Result<Found<R>> {
        let (way, table) = (by.by().0, E::TABLE);
        query.page.check()?;
        let sorted = query
            .sort
            .iter()
            .map(|sort| (sort.column, sort.is_descending));
        // The id makes every order a full one, without which pages could lose rows.
        let order: Order = sorted.chain([(table.id, false)]).collect();
        let columns = query.columns.as_deref().unwrap_or(table.read);
        let mut read = columns.to_vec();
        for (name, _) in &order {
            if !read.contains(name) {
                read.push(name);
            }
        }
        let mut statement = self.statement("SELECT ");
        statement.names(read).push(" FROM ").name(table.name);
        scope(&mut statement, table, way.who(), query.deleted);
        statement.push(" AND (");
        query.filter.clone().into_node().write(&mut statement);
        statement.push(")");
        if let Some(cursor) = &query.page.after {
            statement.push(" AND (");
            cursor.write(&order, table, &mut statement)?;
            statement.push(")");
        }
        statement.push(" ORDER BY ");
        statement.list(&order, |statement, (name, is_descending)| {
            statement.name(name).push(if *is_descending {
                " DESC NULLS FIRST"
            } else {
                " ASC NULLS LAST"
            });
        });
        // One more than wanted says whether there are more.
        statement
            .push(" LIMIT ")
            .param(Value::Int(i64::from(query.page.limit) + 1));
        if query.page.skip > 0 {
            let skip = i64::try_from(query.page.skip).unwrap_or(i64::MAX);
            statement.push(" OFFSET ").param(Value::Int(skip));
        }
        let mut rows = self.db.run(&way, table, true, statement.finish()?).await?;
        let limit = query.page.limit as usize;
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let next = match rows.last().filter(|_| has_more) {
            Some(last) => Some(Cursor::of(&order, table, last)?),
            None => None,
        };
        let rows: std::result::Result<Vec<R>, _> = rows
            .into_iter()
            .map(|row| (query.read)(row, columns))
            .collect();
        Ok(Found { rows: rows?, next })
    }

    /// How many rows there are for which this holds.
    pub async fn count<'a>(&self, by: impl Access<'a, E::Rows>, filter: Filter<E>) -> Result<u64> {
        let way = by.by().0;
        let mut statement = self.statement("SELECT count(*) AS n FROM ");
        filtered::<E>(&mut statement, way.who(), filter);
        let rows = self
            .db
            .run(&way, E::TABLE, true, statement.finish()?)
            .await?;
        let count = rows.first().map(|row| row.get::<i64>("n")).transpose()?;
        Ok(u64::try_from(count.unwrap_or_default()).unwrap_or_default())
    }

    /// Whether there is a row for which this holds.
    pub async fn exists<'a>(
        &self,
        by: impl Access<'a, E::Rows>,
        filter: Filter<E>,
    ) -> Result<bool> {
        let way = by.by().0;
        self.exists_by(&way, filter).await
    }

    async fn exists_by(&self, way: &Way<'_>, filter: Filter<E>) -> Result<bool> {
        let mut statement = self.statement("SELECT 1 AS found FROM ");
        filtered::<E>(&mut statement, way.who(), filter);
        statement.push(" LIMIT 1");
        let rows = self
            .db
            .run(way, E::TABLE, true, statement.finish()?)
            .await?;
        Ok(!rows.is_empty())
    }

    pub(crate) fn statement(&self, begin: &str) -> Statement {
        Statement::new(self.db.dialect(), begin)
    }
}

fn filtered<E: Entity>(statement: &mut Statement, who: &Who, filter: Filter<E>) {
    statement.name(E::TABLE.name);
    scope(statement, E::TABLE, who, Deleted::No);
    statement.push(" AND (");
    filter.into_node().write(statement);
    statement.push(")");
}
