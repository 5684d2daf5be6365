//! What an entity is: a struct with a table.

use std::hash::Hash;

use bastide_db::{DbError, Row, Value};

use crate::access::Ownership;
use crate::field::{Field, Kind};

/// A struct whose values are the rows of a table. Made by `#[derive(Entity)]`; see the [crate's page](crate) for what can be
/// declared.
///
/// The macro writes this implementation, a struct `<Name>Patch`, and an associated constant for each column
/// ([`Column`](crate::Column)) and relation ([`Relation`](crate::Relation)). All of it can be written by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no entity",
    note = "say `#[derive(Entity)]` and `#[entity(table = \"..\")]`"
)]
pub trait Entity: Sized + Send + Sync + 'static {
    /// The type of the id.
    type Id: Field + Eq + Hash;
    /// What can be changed of it.
    type Patch: Patch;
    /// Whose the rows are: [`PerTenant`](crate::PerTenant) or [`Shared`](crate::Shared).
    type Rows: Ownership;

    /// The table.
    const TABLE: &'static Table;

    /// The id.
    fn id(&self) -> &Self::Id;

    /// The version that was read, for entities with one.
    fn version(&self) -> Option<i64> {
        None
    }

    /// The values of [`Table::columns`], in their order.
    fn values(&self) -> Vec<Value>;

    /// Reads the columns [`Table::read`].
    ///
    /// # Errors
    /// [`DbError::Column`] when the row lacks one, or has something else in it.
    fn from_row(row: &Row) -> Result<Self, DbError>;
}

/// The fields that are to change. Made by `#[derive(Entity)]`.
pub trait Patch: Send + Sync {
    /// Columns and their new values.
    fn changes(&self) -> Vec<(&'static str, Value)>;
}

/// A table, as its entity declares it.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// The column of the id, which is one of `columns`.
    pub id: &'static str,
    /// The columns whose values are the entity's. There are [managed](Table::managed) ones besides.
    pub columns: &'static [TableColumn],
    /// The columns that the entity reads: `columns`, and those of the managed ones that it has fields for.
    pub read: &'static [&'static str],
    /// What the repository does besides.
    pub traits: Traits,
}

/// A column.
#[derive(Debug)]
pub struct TableColumn {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether it may hold nothing.
    pub is_nullable: bool,
    /// Whether it has an index (after the tenant).
    pub is_indexed: bool,
    /// Whether no two rows (of a tenant) hold the same. Rows that were soft-deleted do not count.
    pub is_unique: bool,
    /// The table whose id it holds. A function, because tables may refer to one another and to themselves.
    pub references: Option<fn() -> &'static Table>,
}

/// What the repository does for an entity besides reading and writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traits {
    /// Each row is a tenant's, and nobody else's.
    pub tenant: bool,
    /// Deleted rows stay, and are not seen.
    pub soft_delete: bool,
    /// `created_at` and `updated_at`.
    pub timestamps: bool,
    /// Each change is written down: who, when, before, after.
    pub audit: bool,
    /// An update of what somebody else has changed since is refused.
    pub version: bool,
}

/// A column that the repository keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ManagedColumn {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether it may hold nothing.
    pub is_nullable: bool,
}

pub(crate) const TENANT: &str = "tenant_id";
pub(crate) const CREATED: &str = "created_at";
pub(crate) const UPDATED: &str = "updated_at";
pub(crate) const DELETED: &str = "deleted_at";
pub(crate) const VERSION: &str = "version";

impl Table {
    /// The columns that the repository keeps.
    pub fn managed(&self) -> impl Iterator<Item = ManagedColumn> {
        let traits = self.traits;
        let column = |name, kind, is_nullable| ManagedColumn {
            name,
            kind,
            is_nullable,
        };
        [
            (traits.tenant, column(TENANT, Kind::Text, false)),
            (traits.timestamps, column(CREATED, Kind::Timestamp, false)),
            (traits.timestamps, column(UPDATED, Kind::Timestamp, false)),
            (traits.soft_delete, column(DELETED, Kind::Timestamp, true)),
            (traits.version, column(VERSION, Kind::Int, false)),
        ]
        .into_iter()
        .filter_map(|(is_kept, column)| is_kept.then_some(column))
    }

    /// Every column: name, kind, whether it may hold nothing.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, Kind, bool)> {
        let managed = self.managed();
        let own = self.columns.iter();
        managed
            .map(|column| (column.name, column.kind, column.is_nullable))
            .chain(own.map(|column| (column.name, column.kind, column.is_nullable)))
    }

    pub(crate) fn column(&self, name: &str) -> Option<&'static TableColumn> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// What a tenant does not own cannot refer to what one does. Checked when the entity is compiled:
/// ```compile_fail
/// # use bastide_repo::{Entity, Uuid};
/// # #[derive(Entity)]
/// # #[entity(table = "teams", tenant)]
/// # struct Team { #[entity(id)] id: Uuid }
/// #[derive(Entity)]
/// #[entity(table = "countries")]
/// struct Country {
///     #[entity(id)]
///     id: Uuid,
///     #[entity(belongs_to = Team)]
///     team_id: Uuid,
/// }
/// ```
///
/// # Panics
/// If it does.
pub const fn assert_relation(from: &Table, to: &Table) {
    assert!(
        from.traits.tenant || !to.traits.tenant,
        "an entity without `tenant` cannot belong to one with `tenant`: its rows are every tenant's"
    );
}
