//! The rows that belong to others: for all of them at once, by one statement.

use std::collections::HashMap;

use crate::access::Access;
use crate::column::Relation;
use crate::entity::Entity;
use crate::error::Result;
use crate::field::Field;
use crate::filter::Node;
use crate::query::Deleted;
use crate::repo::{Repo, scope};

impl<E: Entity> Repo<E> {
    /// The rows that belong to these, by whose id: `posts.belonging_to(cx, &users, Post::AUTHOR)`. All of them, so that it is
    /// meant for pages of parents; what has no rows is not in the map.
    pub async fn belonging_to<'a, 'p, P: Entity>(
        &self,
        by: impl Access<'a, E::Rows>,
        parents: impl IntoIterator<Item = &'p P>,
        relation: Relation<E, P>,
    ) -> Result<HashMap<P::Id, Vec<E>>> {
        let ids = parents.into_iter().map(|parent| parent.id().clone());
        let mut found: HashMap<P::Id, Vec<E>> = HashMap::new();
        for row in self.with_one_of(by, relation.column, ids).await? {
            if let Some(key) = (relation.key)(&row) {
                found.entry(key).or_default().push(row);
            }
        }
        Ok(found)
    }

    /// The rows to which these belong, by their id: `users.of(cx, &posts, Post::AUTHOR)`.
    pub async fn of<'a, 'c, C: Entity>(
        &self,
        by: impl Access<'a, E::Rows>,
        children: impl IntoIterator<Item = &'c C>,
        relation: Relation<C, E>,
    ) -> Result<HashMap<E::Id, E>> {
        let ids = children.into_iter().filter_map(relation.key);
        let rows = self.with_one_of(by, E::TABLE.id, ids).await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.id().clone(), row))
            .collect())
    }

    async fn with_one_of<'a, I: Field + Eq + std::hash::Hash>(
        &self,
        by: impl Access<'a, E::Rows>,
        column: &'static str,
        ids: impl Iterator<Item = I>,
    ) -> Result<Vec<E>> {
        let (way, table) = (by.by().0, E::TABLE);
        let ids: std::collections::HashSet<I> = ids.collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut statement = self.statement("SELECT ");
        statement.names(table.read.iter().copied());
        statement.push(" FROM ").name(table.name);
        scope(&mut statement, table, way.who(), Deleted::No);
        statement.push(" AND ");
        Node::In(column, ids.iter().map(Field::to_value).collect()).write(&mut statement);
        statement.push(" ORDER BY ").name(table.id);
        let rows = self.db.run(&way, table, true, statement.finish()?).await?;
        let rows: std::result::Result<Vec<E>, _> = rows.iter().map(E::from_row).collect();
        Ok(rows?)
    }
}
