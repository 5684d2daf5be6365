//! What is asked of a table: which rows, in which order, which part of them, which columns.

use bastide_db::{DbError, Row, Value};

use crate::column::{Column, Sort};
use crate::cursor::Cursor;
use crate::entity::Entity;
use crate::error::{RepoError, Result};
use crate::field::Field;
use crate::filter::Filter;

/// Rows of one answer where the query does not say.
pub const DEFAULT_LIMIT: u32 = 50;
/// Rows of one answer at most.
pub const MAX_LIMIT: u32 = 1_000;

/// Which rows of an entity's table, in which order, and how many. `R` is what each is read as: the entity, or a [`Partial`]
/// of it after [`Query::select`].
///
/// ```
/// # use bastide_repo::{Entity, Page, Query, Uuid};
/// # #[derive(Entity)]
/// # #[entity(table = "users", tenant)]
/// # struct User { #[entity(id)] id: Uuid, email: String, name: String }
/// Query::<User>::new()
///     .filter(User::EMAIL.eq("ada@example.org").or(User::NAME.starts_with("A")))
///     .sort(User::NAME.ascending())
///     .page(Page::offset(0, 25));
/// ```
pub struct Query<E: Entity, R = E> {
    pub(crate) filter: Filter<E>,
    pub(crate) sort: Vec<Sort<E>>,
    pub(crate) page: Page,
    pub(crate) deleted: Deleted,
    pub(crate) columns: Option<Vec<&'static str>>,
    pub(crate) read: fn(Row, &[&'static str]) -> Result<R, DbError>,
}

/// Which rows as to soft deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deleted {
    No,
    Too,
    Only,
}

impl<E: Entity> Query<E> {
    /// The first rows of the tenant, by id.
    pub fn new() -> Self {
        Self {
            filter: Filter::all(),
            sort: Vec::new(),
            page: Page::first(DEFAULT_LIMIT),
            deleted: Deleted::No,
            columns: None,
            read: |row, _| E::from_row(&row),
        }
    }
}

impl<E: Entity> Default for Query<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: Entity, R> Query<E, R> {
    /// Only rows for which this holds; called again, only those for which both hold.
    pub fn filter(mut self, filter: Filter<E>) -> Self {
        self.filter = self.filter.and(filter);
        self
    }

    /// In this order; called again, what is equal by the first is ordered by the second. What is equal by all is ordered by
    /// the id.
    pub fn sort(mut self, sort: Sort<E>) -> Self {
        self.sort.push(sort);
        self
    }

    /// This part of them. Default: the first [`DEFAULT_LIMIT`].
    pub fn page(mut self, page: Page) -> Self {
        self.page = page;
        self
    }

    /// Those that were soft-deleted too.
    pub fn with_deleted(mut self) -> Self {
        self.deleted = Deleted::Too;
        self
    }

    /// Only those that were soft-deleted.
    pub fn only_deleted(mut self) -> Self {
        self.deleted = Deleted::Only;
        self
    }

    /// Reads only these columns (and what the order needs): `(User::ID, User::NAME)`.
    pub fn select(self, columns: impl Columns<E>) -> Query<E, Partial<E>> {
        Query {
            filter: self.filter,
            sort: self.sort,
            page: self.page,
            deleted: self.deleted,
            columns: Some(columns.names()),
            read: |row, columns| Ok(Partial::new(row, columns)),
        }
    }
}

/// Which part of the rows.
#[derive(Debug, Clone)]
pub struct Page {
    pub(crate) skip: u64,
    pub(crate) after: Option<Cursor>,
    pub(crate) limit: u32,
}

impl Page {
    /// The first ones.
    pub fn first(limit: u32) -> Self {
        Self::offset(0, limit)
    }

    /// Without so many first ones. The database reads what is skipped; for a way through many rows take [`Page::after`].
    pub fn offset(skip: u64, limit: u32) -> Self {
        Self {
            skip,
            after: None,
            limit,
        }
    }

    /// Those behind the last of another page, by the [cursor](Found::next) of its answer. Rows that came in between change
    /// nothing.
    pub fn after(cursor: Cursor, limit: u32) -> Self {
        Self {
            skip: 0,
            after: Some(cursor),
            limit,
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.limit == 0 || self.limit > MAX_LIMIT {
            return Err(RepoError::invalid(format!(
                "a page has 1 to {MAX_LIMIT} rows, not {}",
                self.limit
            )));
        }
        Ok(())
    }
}

/// A page of rows.
#[derive(Debug)]
pub struct Found<R> {
    /// The rows.
    pub rows: Vec<R>,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
}

impl<R> std::ops::Deref for Found<R> {
    type Target = [R];

    fn deref(&self) -> &[R] {
        &self.rows
    }
}

impl<R> IntoIterator for Found<R> {
    type Item = R;
    type IntoIter = std::vec::IntoIter<R>;

    fn into_iter(self) -> Self::IntoIter {
        self.rows.into_iter()
    }
}

/// Columns of one entity, one or a tuple of up to eight.
pub trait Columns<E> {
    /// Their names.
    fn names(self) -> Vec<&'static str>;
}

impl<E, T> Columns<E> for Column<E, T> {
    fn names(self) -> Vec<&'static str> {
        vec![self.name()]
    }
}

macro_rules! columns {
    ($($name:ident $ty:ident),*) => {
        impl<E, $($ty),*> Columns<E> for ($(Column<E, $ty>,)*) {
            fn names(self) -> Vec<&'static str> {
                let ($($name,)*) = self;
                vec![$($name.name()),*]
            }
        }
    };
}

columns!(a A);
columns!(a A, b B);
columns!(a A, b B, c C);
columns!(a A, b B, c C, d D);
columns!(a A, b B, c C, d D, e F);
columns!(a A, b B, c C, d D, e F, f G);
columns!(a A, b B, c C, d D, e F, f G, g H);
columns!(a A, b B, c C, d D, e F, f G, g H, h I);

/// Some columns of a row.
pub struct Partial<E> {
    row: Row,
    columns: Vec<&'static str>,
    of: std::marker::PhantomData<fn() -> E>,
}

impl<E: Entity> Partial<E> {
    pub(crate) fn new(row: Row, columns: &[&'static str]) -> Self {
        Self {
            row,
            columns: columns.to_vec(),
            of: std::marker::PhantomData,
        }
    }

    /// What the column holds.
    ///
    /// # Errors
    /// [`RepoError::Invalid`] if it was not selected.
    pub fn get<T: Field>(&self, column: Column<E, T>) -> Result<T> {
        if !self.columns.contains(&column.name()) {
            return Err(RepoError::invalid(format!(
                "`{}` was not selected; selected are {}",
                column.name(),
                self.columns.join(", ")
            )));
        }
        Ok(crate::field::read(&self.row, column.name())?)
    }

    /// The selected columns as a JSON object.
    pub fn to_json(&self) -> serde_json::Map<String, serde_json::Value> {
        crate::audit::document(
            E::TABLE,
            self.columns
                .iter()
                .map(|name| (*name, self.row.value(name).unwrap_or(&Value::Null))),
        )
    }
}
