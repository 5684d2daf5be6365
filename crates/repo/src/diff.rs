//! What a database lacks of what the entities say, and whether it keeps tenants apart.

use std::fmt;

use bastide_db::{Database, Dialect};

use crate::ddl;
use crate::entity::Table;
use crate::error::{RepoError, Result};
use crate::inspect::{Actual, ActualIndex, Role};
use crate::schema::Schema;

/// A difference between an entity and the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The table.
    pub table: &'static str,
    /// What is wrong.
    pub problem: Problem,
    /// The statements that mend it, to be looked at before they are run. Empty where that is not for statements to do.
    pub mend: Vec<String>,
}

/// What is wrong with a table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// It does not exist.
    NoTable,
    /// It lacks a column.
    NoColumn {
        /// Its name.
        column: &'static str,
    },
    /// A column holds something else.
    OtherKind {
        /// Its name.
        column: &'static str,
        /// The type it should have.
        expected: &'static str,
        /// The type it has.
        found: String,
    },
    /// A column may hold nothing and should not, or the reverse.
    OtherNullability {
        /// Its name.
        column: &'static str,
        /// Whether it should be able to hold nothing.
        is_nullable: bool,
    },
    /// It lacks an index, or has another one of this name.
    NoIndex {
        /// Its name.
        index: String,
    },
    /// It lacks a reference.
    NoReference {
        /// Its name.
        reference: String,
    },
    /// Row-level security is not enabled.
    NotEnabled,
    /// Row-level security does not hold for the owner.
    NotForced,
    /// The policy that lets the tenant's rows through is missing or another one.
    NoPolicy,
    /// Another policy lets rows through.
    OtherPolicy {
        /// Its name.
        policy: String,
    },
    /// A view shows every tenant's rows, because it asks as its owner, for whom there is no row-level security.
    OpenView {
        /// Its name.
        view: String,
    },
    /// A materialized view has copies of rows, which have no row-level security.
    MaterializedView {
        /// Its name.
        view: String,
    },
    /// The program runs as the table's owner, who can switch row-level security off.
    Owned {
        /// The role.
        role: String,
    },
    /// The program runs as a role for which there is no row-level security.
    Bypassed {
        /// The role.
        role: String,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.table;
        match &self.problem {
            Problem::NoTable => write!(f, "the table `{table}` does not exist"),
            Problem::NoColumn { column } => write!(f, "`{table}` has no column `{column}`"),
            Problem::OtherKind {
                column,
                expected,
                found,
            } => write!(f, "`{table}.{column}` is {found} and should be {expected}"),
            Problem::OtherNullability {
                column,
                is_nullable: true,
            } => write!(f, "`{table}.{column}` should be able to hold nothing"),
            Problem::OtherNullability { column, .. } => {
                write!(f, "`{table}.{column}` should be NOT NULL")
            }
            Problem::NoIndex { index } => {
                write!(f, "`{table}` has no index `{index}`, or it is another one")
            }
            Problem::NoReference { reference } => {
                write!(f, "`{table}` has no reference `{reference}`")
            }
            Problem::NotEnabled => write!(f, "row-level security of `{table}` is not enabled"),
            Problem::NotForced => write!(
                f,
                "row-level security of `{table}` does not hold for its owner: FORCE it"
            ),
            Problem::NoPolicy => write!(
                f,
                "`{table}` has no policy `{}` that lets the tenant's rows through and no others",
                ddl::POLICY
            ),
            Problem::OtherPolicy { policy } => write!(
                f,
                "the policy `{policy}` of `{table}` lets other rows through: drop it, or make it RESTRICTIVE"
            ),
            Problem::OpenView { view } => write!(
                f,
                "the view `{view}` shows every tenant's rows of `{table}`: give it `security_invoker`"
            ),
            Problem::MaterializedView { view } => write!(
                f,
                "the materialized view `{view}` has every tenant's rows of `{table}`, and no row-level security: drop it"
            ),
            Problem::Owned { role } => write!(
                f,
                "the role `{role}` owns `{table}` and so can switch its row-level security off: run as another role"
            ),
            Problem::Bypassed { role } => write!(
                f,
                "for the role `{role}` there is no row-level security (SUPERUSER or BYPASSRLS): run as another role"
            ),
        }
    }
}

impl Schema {
    /// What the database lacks, with the statements that mend it, in the order of the entities. Columns and indexes that no
    /// entity knows are nobody's concern.
    pub async fn diff(&self, database: &Database) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        for table in &self.tables {
            match Actual::read(database, table).await? {
                Some(actual) => {
                    let dialect = database.dialect();
                    structure(table, &actual, dialect, dialect, &mut findings);
                    security(table, &actual, &mut findings);
                }
                None => findings.push(no_table(table, database.dialect())),
            }
        }
        Ok(findings)
    }

    /// What a database lacks, with the statements that mend it in another one that lacks the same: so that a migration can be
    /// written for both out of an empty database to which those before it were applied.
    pub async fn diff_for(&self, database: &Database, dialect: Dialect) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        for table in &self.tables {
            match Actual::read(database, table).await? {
                Some(actual) => {
                    structure(table, &actual, database.dialect(), dialect, &mut findings);
                }
                None => findings.push(no_table(table, dialect)),
            }
        }
        Ok(findings)
    }

    /// Whether the database keeps tenants apart for the role of this connection: every table of tenants exists, its row-level
    /// security is enabled, forced and as it should be, and the role neither owns the table nor bypasses it. To be asked before
    /// a program serves anybody.
    ///
    /// # Errors
    /// [`RepoError::Invalid`] with all that is wrong.
    pub async fn check(&self, database: &Database) -> Result<()> {
        let role = Role::read(database).await?;
        let mut findings = Vec::new();
        for table in self.tables.iter().filter(|table| table.traits.tenant) {
            let Some(actual) = Actual::read(database, table).await? else {
                findings.push(no_table(table, database.dialect()));
                continue;
            };
            security(table, &actual, &mut findings);
            let is_owned = actual.security.is_some_and(|security| security.is_owned);
            if let Some(role) = &role {
                let name = role.name.clone();
                if role.bypasses {
                    findings.push(finding(table, Problem::Bypassed { role: name }, []));
                } else if is_owned {
                    findings.push(finding(table, Problem::Owned { role: name }, []));
                }
            }
        }
        if findings.is_empty() {
            return Ok(());
        }
        let reasons: Vec<String> = findings.iter().map(ToString::to_string).collect();
        Err(RepoError::Invalid(format!(
            "the database does not keep tenants apart: {}",
            reasons.join("; ")
        )))
    }
}

fn finding(table: &Table, problem: Problem, mend: impl IntoIterator<Item = String>) -> Finding {
    Finding {
        table: table.name,
        problem,
        mend: mend.into_iter().collect(),
    }
}

fn no_table(table: &'static Table, dialect: Dialect) -> Finding {
    finding(table, Problem::NoTable, ddl::whole(table, dialect))
}

/// `actual` is what stands in a database of the one dialect; the statements are for one of the other.
fn structure(
    table: &'static Table,
    actual: &Actual,
    of: Dialect,
    dialect: Dialect,
    findings: &mut Vec<Finding>,
) {
    let is_postgres = dialect == Dialect::Postgres;
    let alter = format!("ALTER TABLE \"{}\"", table.name);
    // SQLite cannot change a column: the table is to be made anew.
    let on_postgres = |statement: String| is_postgres.then_some(statement);
    for (column, kind, is_nullable) in table.all() {
        let expected = kind.sql(dialect);
        let Some(found) = actual.columns.iter().find(|found| found.name == column) else {
            let definition = ddl::column(column, kind, is_nullable, dialect);
            // SQLite adds none that may not be empty, not even to a table without rows.
            let add =
                (is_postgres || is_nullable).then(|| format!("{alter} ADD COLUMN {definition}"));
            findings.push(finding(table, Problem::NoColumn { column }, add));
            continue;
        };
        if found.kind != kind.sql(of) {
            let change = format!(
                "{alter} ALTER COLUMN \"{column}\" TYPE {expected} USING \"{column}\"::{expected}"
            );
            let problem = Problem::OtherKind {
                column,
                expected,
                found: found.kind.clone(),
            };
            findings.push(finding(table, problem, on_postgres(change)));
        }
        if found.is_nullable != is_nullable {
            let verb = if is_nullable { "DROP" } else { "SET" };
            let change = format!("{alter} ALTER COLUMN \"{column}\" {verb} NOT NULL");
            let problem = Problem::OtherNullability {
                column,
                is_nullable,
            };
            findings.push(finding(table, problem, on_postgres(change)));
        }
    }
    for index in ddl::indexes(table) {
        let named = |found: &&ActualIndex| found.name == index.name;
        let found = actual.indexes.iter().find(named);
        let is_same = |found: &ActualIndex| {
            found.is_unique == index.is_unique
                && found.is_partial == index.is_partial
                && found.columns == index.columns.join(",")
        };
        if !found.is_some_and(is_same) {
            let drop = found.map(|_| format!("DROP INDEX \"{}\"", index.name));
            let mend = drop.into_iter().chain([index.create()]);
            let problem = Problem::NoIndex {
                index: index.name.clone(),
            };
            findings.push(finding(table, problem, mend));
        }
    }
    for reference in ddl::references(table) {
        let known = if of == Dialect::Postgres {
            reference.name.as_str()
        } else {
            reference.column
        };
        if !actual.references.iter().any(|found| found == known) {
            let add = on_postgres(reference.create());
            let problem = Problem::NoReference {
                reference: reference.name,
            };
            findings.push(finding(table, problem, add));
        }
    }
}

fn security(table: &'static Table, actual: &Actual, findings: &mut Vec<Finding>) {
    let Some(security) = actual.security.as_ref().filter(|_| table.traits.tenant) else {
        return;
    };
    let [enable, force, create] = ddl::policy(table);
    if !security.is_enabled {
        findings.push(finding(table, Problem::NotEnabled, [enable]));
    }
    if !security.is_forced {
        findings.push(finding(table, Problem::NotForced, [force]));
    }
    let drop = |name: &str| {
        let name = name.replace('"', "\"\"");
        format!("DROP POLICY \"{name}\" ON \"{}\"", table.name)
    };
    let own = security
        .policies
        .iter()
        .find(|policy| policy.name == ddl::POLICY);
    if !own.is_some_and(|policy| policy.is_ours) {
        let drop = own.map(|policy| drop(&policy.name));
        let mend = drop.into_iter().chain([create]);
        findings.push(finding(table, Problem::NoPolicy, mend));
    }
    let others = security.policies.iter();
    for other in others.filter(|policy| policy.name != ddl::POLICY && !policy.is_ours) {
        let problem = Problem::OtherPolicy {
            policy: other.name.clone(),
        };
        findings.push(finding(table, problem, [drop(&other.name)]));
    }
    for view in security.open_views.iter().cloned() {
        let quoted = view.replace('"', "\"\"");
        let mend = format!("ALTER VIEW \"{quoted}\" SET (security_invoker = true)");
        findings.push(finding(table, Problem::OpenView { view }, [mend]));
    }
    for view in security.materialized_views.iter().cloned() {
        findings.push(finding(table, Problem::MaterializedView { view }, []));
    }
}
