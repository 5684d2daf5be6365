//! Columns and relations as constants with types.

use std::fmt;
use std::marker::PhantomData;

use bastide_db::Value;

use crate::Entity;
use crate::field::Field;
use crate::filter::{Comparison, Filter, Node};

/// A column of an entity: the only way to name one. Filters and sort orders are made of it.
///
/// It knows whose it is and what it holds:
/// ```compile_fail
/// # use bastide_repo::{Entity, Query, Uuid};
/// # #[derive(Entity)]
/// # #[entity(table = "users", tenant)]
/// # struct User { #[entity(id)] id: Uuid }
/// # #[derive(Entity)]
/// # #[entity(table = "invoices", tenant)]
/// # struct Invoice { #[entity(id)] id: Uuid, total: i64 }
/// Query::<User>::new().filter(Invoice::TOTAL.eq(7_i64));
/// ```
/// ```compile_fail
/// # use bastide_repo::{Entity, Uuid};
/// # #[derive(Entity)]
/// # #[entity(table = "invoices", tenant)]
/// # struct Invoice { #[entity(id)] id: Uuid, total: i64 }
/// Invoice::TOTAL.eq("seven");
/// ```
pub struct Column<E, T> {
    name: &'static str,
    of: PhantomData<fn() -> (E, T)>,
}

impl<E, T> Clone for Column<E, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E, T> Copy for Column<E, T> {}

impl<E, T> fmt::Debug for Column<E, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Column").field(&self.name).finish()
    }
}

impl<E, T> Column<E, T> {
    /// What the derive macro calls. The name goes into statements as an identifier, so that it has to be a constant of the
    /// program.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            of: PhantomData,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        self.name
    }
}

impl<E: Entity, T: Field> Column<E, T> {
    fn compare(self, comparison: Comparison, value: impl Into<T::Base>) -> Filter<E> {
        Filter::of(Node::Compare(self.name, comparison, value.into().into()))
    }

    /// Holds this.
    pub fn eq(self, value: impl Into<T::Base>) -> Filter<E> {
        self.compare(Comparison::Equal, value)
    }

    /// Holds something else, or nothing.
    pub fn ne(self, value: impl Into<T::Base>) -> Filter<E> {
        self.compare(Comparison::Different, value)
    }

    /// Holds less.
    pub fn lt(self, value: impl Into<T::Base>) -> Filter<E> {
        self.compare(Comparison::Less, value)
    }

    /// Holds this or less.
    pub fn le(self, value: impl Into<T::Base>) -> Filter<E> {
        self.compare(Comparison::AtMost, value)
    }

    /// Holds more.
    pub fn gt(self, value: impl Into<T::Base>) -> Filter<E> {
        self.compare(Comparison::Greater, value)
    }

    /// Holds this or more.
    pub fn ge(self, value: impl Into<T::Base>) -> Filter<E> {
        self.compare(Comparison::AtLeast, value)
    }

    /// Holds one of these; none, if there are none.
    pub fn in_<V: Into<T::Base>>(self, values: impl IntoIterator<Item = V>) -> Filter<E> {
        let values: Vec<Value> = values
            .into_iter()
            .map(|value| value.into().into())
            .collect();
        Filter::of(Node::In(self.name, values))
    }

    /// Smallest first; what holds nothing comes last.
    pub fn ascending(self) -> Sort<E> {
        Sort::new(self.name, false)
    }

    /// Greatest first; what holds nothing comes first, so that it is the reverse of [`Column::ascending`].
    pub fn descending(self) -> Sort<E> {
        Sort::new(self.name, true)
    }
}

impl<E: Entity, T: Field> Column<E, Option<T>> {
    /// Holds nothing.
    pub fn is_null(self) -> Filter<E> {
        Filter::of(Node::IsNull(self.name))
    }
}

impl<E: Entity, T: Field<Base = String>> Column<E, T> {
    /// Begins with this text, letter by letter.
    pub fn starts_with(self, text: impl Into<String>) -> Filter<E> {
        Filter::of(Node::StartsWith(self.name, text.into()))
    }

    /// Has this text somewhere, letter by letter.
    pub fn contains(self, text: impl Into<String>) -> Filter<E> {
        Filter::of(Node::Contains(self.name, text.into()))
    }
}

/// By which column rows are sorted, and in which direction.
pub struct Sort<E> {
    pub(crate) column: &'static str,
    pub(crate) is_descending: bool,
    of: PhantomData<fn() -> E>,
}

impl<E> Sort<E> {
    pub(crate) const fn new(column: &'static str, is_descending: bool) -> Self {
        Self {
            column,
            is_descending,
            of: PhantomData,
        }
    }
}

/// That each `E` may belong to one `P`, by a column that holds the id.
pub struct Relation<E: Entity, P: Entity> {
    pub(crate) column: &'static str,
    pub(crate) key: fn(&E) -> Option<P::Id>,
}

impl<E: Entity, P: Entity> Clone for Relation<E, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E: Entity, P: Entity> Copy for Relation<E, P> {}

impl<E: Entity, P: Entity> Relation<E, P> {
    /// What the derive macro calls: the column, and how its value is read of an entity.
    pub const fn new(column: &'static str, key: fn(&E) -> Option<P::Id>) -> Self {
        Self { column, key }
    }
}
