//! A statement while it is written.
//!
//! The statements of this crate are few and have the same text on both databases but for two functions, so that a builder of
//! any SQL would be more than they are. Identifiers come from constants of the program only, values are parameters only.

use std::fmt::Write as _;

use bastide_db::{Dialect, Value};

use crate::error::{RepoError, Result};

/// The protocol of Postgres counts parameters in 16 bits; `SQLite` takes half of that.
const MAX_PARAMS: usize = 32_000;

pub(crate) struct Statement {
    dialect: Dialect,
    sql: String,
    params: Vec<Value>,
}

impl Statement {
    pub(crate) fn new(dialect: Dialect, begin: &str) -> Self {
        Self {
            dialect,
            sql: begin.to_owned(),
            params: Vec::new(),
        }
    }

    /// SQL of this crate.
    pub(crate) fn push(&mut self, sql: &str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    /// An identifier. In quotes, so that no word is reserved.
    pub(crate) fn name(&mut self, name: &'static str) -> &mut Self {
        self.sql.push('"');
        self.sql.push_str(name);
        self.sql.push('"');
        self
    }

    /// Identifiers with commas between.
    pub(crate) fn names(&mut self, names: impl IntoIterator<Item = &'static str>) -> &mut Self {
        self.list(names, |statement, name| {
            statement.name(name);
        })
    }

    pub(crate) fn param(&mut self, value: Value) -> &mut Self {
        self.params.push(value);
        write!(self.sql, "${}", self.params.len()).expect("writing to a string cannot fail");
        self
    }

    pub(crate) fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.push(", ");
            }
            write(self, item);
        }
        self
    }

    /// Not `LIKE`, which has special characters, and no large and small letters on `SQLite`.
    pub(crate) fn starts_with(&mut self, column: &'static str, text: &str) {
        match self.dialect {
            Dialect::Postgres => {
                self.push("starts_with(").name(column).push(", ");
                self.param(text.into()).push(")");
            }
            Dialect::Sqlite => {
                self.push("substr(").name(column).push(", 1, length(");
                self.param(text.into()).push(")) = ");
                self.param(text.into());
            }
        }
    }

    pub(crate) fn contains(&mut self, column: &'static str, text: &str) {
        self.push(match self.dialect {
            Dialect::Postgres => "strpos(",
            Dialect::Sqlite => "instr(",
        });
        self.name(column).push(", ");
        self.param(text.into()).push(") > 0");
    }

    /// The text alone, for parameters that come later.
    pub(crate) fn into_text(self) -> String {
        self.sql
    }

    /// Text and parameters, if the databases can take them.
    pub(crate) fn finish(self) -> Result<(String, Vec<Value>)> {
        check(&self.params)?;
        Ok((self.sql, self.params))
    }
}

/// What one of the two databases cannot keep is refused on both.
pub(crate) fn check(params: &[Value]) -> Result<()> {
    if params.len() > MAX_PARAMS {
        return Err(RepoError::invalid(format!(
            "the statement has {} values, {MAX_PARAMS} are possible; ask in parts",
            params.len()
        )));
    }
    for value in params {
        match value {
            Value::Text(text) if text.contains('\0') => {
                return Err(RepoError::invalid(
                    "a text has the character U+0000, which databases cannot keep; take it out",
                ));
            }
            Value::Float(number) if !number.is_finite() => {
                return Err(RepoError::invalid(format!(
                    "{number} is no number that databases can keep"
                )));
            }
            _ => {}
        }
    }
    Ok(())
}
