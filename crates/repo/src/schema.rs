//! The tables of a program.

use bastide_db::Dialect;

use crate::audit::AuditEntry;
use crate::ddl;
use crate::entity::{Entity, Table};

/// The tables of a program's entities.
///
/// ```
/// # use bastide_repo::{Dialect, Entity, Schema, Uuid};
/// # #[derive(Entity)]
/// # #[entity(table = "users", tenant)]
/// # struct User { #[entity(id)] id: Uuid, #[entity(unique)] email: String }
/// let schema = Schema::new().with::<User>();
/// for statement in schema.create(Dialect::Postgres) {
///     println!("{statement};");
/// }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Schema {
    pub(crate) tables: Vec<&'static Table>,
}

impl Schema {
    /// Without tables.
    pub fn new() -> Self {
        Self::default()
    }

    /// With an entity's table, and with `bastide_audit` if its changes are written down.
    pub fn with<E: Entity>(mut self) -> Self {
        if E::TABLE.traits.audit {
            self.add(AuditEntry::TABLE);
        }
        self.add(E::TABLE);
        self
    }

    /// With the tables of another.
    pub fn and(mut self, other: Self) -> Self {
        for table in other.tables {
            self.add(table);
        }
        self
    }

    fn add(&mut self, table: &'static Table) {
        if !self.tables.iter().any(|known| known.name == table.name) {
            self.tables.push(table);
        }
    }

    /// The statements that make all tables, with indexes, references and policies. They are meant for a
    /// [`Migration`](bastide_db::Migration), run by the tables' owner.
    pub fn create(&self, dialect: Dialect) -> Vec<String> {
        // References last: to tables that are there by then.
        let (references, tables): (Vec<_>, Vec<_>) = self
            .tables
            .iter()
            .flat_map(|table| ddl::whole(table, dialect))
            .partition(|statement| statement.contains(" ADD CONSTRAINT "));
        tables.into_iter().chain(references).collect()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The names of the tables.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.tables.iter().map(|table| table.name)
    }

    /// The statements that let a role of Postgres, as which the program runs, work with the tables: not as their owner, and
    /// in `bastide_audit` it may add and read only.
    pub fn grant(&self, role: &str) -> Vec<String> {
        let grant = |table: &&'static Table| {
            let rights = if table.name == AuditEntry::TABLE.name {
                "SELECT, INSERT"
            } else {
                "SELECT, INSERT, UPDATE, DELETE"
            };
            let role = role.replace('"', "\"\"");
            format!("GRANT {rights} ON \"{}\" TO \"{role}\"", table.name)
        };
        self.tables.iter().map(grant).collect()
    }
}
