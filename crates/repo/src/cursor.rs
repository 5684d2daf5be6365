//! A place in an order of rows.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bastide_db::{Row, Value};
use serde::{Deserialize, Serialize};

use crate::entity::Table;
use crate::error::{RepoError, Result};
use crate::field::Kind;
use crate::statement::Statement;

/// A place in an order of rows: what the last row of a page holds in the columns of the order. As text it may go to clients
/// and come back; it opens nothing, because rows are the tenant's whatever stands in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cursor {
    by: Vec<Step>,
    at: Vec<serde_json::Value>,
}

/// A column of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Step(String, bool);

/// The columns of an order, the id last.
pub(crate) type Order = Vec<(&'static str, bool)>;

impl Cursor {
    /// Reads what [`Display`](fmt::Display) wrote.
    ///
    /// # Errors
    /// [`RepoError::Invalid`] for anything else.
    pub fn parse(text: &str) -> Result<Self> {
        let no_cursor = || {
            RepoError::invalid(
                "this is no cursor: give back what came with the page, letter by letter",
            )
        };
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| no_cursor())?;
        let (by, at): (Vec<Step>, Vec<serde_json::Value>) =
            serde_json::from_slice(&bytes).map_err(|_| no_cursor())?;
        Ok(Self { by, at })
    }

    /// The place of this row.
    pub(crate) fn of(order: &Order, table: &Table, row: &Row) -> Result<Self> {
        let mut at = Vec::new();
        for (name, _) in order {
            at.push(kind(table, name)?.to_json(row.value(name)?));
        }
        let step =
            |(name, is_descending): &(&'static str, bool)| Step((*name).to_owned(), *is_descending);
        Ok(Self {
            by: order.iter().map(step).collect(),
            at,
        })
    }

    /// Writes that a row comes behind this place. Absent values are the greatest.
    pub(crate) fn write(
        &self,
        order: &Order,
        table: &Table,
        statement: &mut Statement,
    ) -> Result<()> {
        let is_same = self.by.len() == order.len()
            && self.at.len() == order.len()
            && self
                .by
                .iter()
                .zip(order)
                .all(|(step, (name, is_descending))| step.0 == *name && step.1 == *is_descending);
        if !is_same {
            return Err(RepoError::invalid(
                "the cursor is of another order; use it with the query whose answer it came with",
            ));
        }
        let mut values = Vec::new();
        for ((name, _), json) in order.iter().zip(&self.at) {
            values.push(from_json(kind(table, name)?, json)?);
        }
        // Behind it by the first column, or equal there and behind it by the second, and so on.
        for (index, (name, is_descending)) in order.iter().enumerate() {
            if index > 0 {
                statement.push(" OR ");
            }
            statement.push("(");
            for ((name, _), value) in order.iter().zip(&values).take(index) {
                match value {
                    Value::Null => statement.name(name).push(" IS NULL"),
                    value => statement.name(name).push(" = ").param(value.clone()),
                };
                statement.push(" AND ");
            }
            match (&values[index], is_descending) {
                (Value::Null, false) => statement.push("FALSE"),
                (Value::Null, true) => statement.name(name).push(" IS NOT NULL"),
                (value, true) => statement.name(name).push(" < ").param(value.clone()),
                (value, false) => {
                    statement
                        .push("(")
                        .name(name)
                        .push(" > ")
                        .param(value.clone());
                    statement.push(" OR ").name(name).push(" IS NULL)")
                }
            };
            statement.push(")");
        }
        Ok(())
    }
}

fn kind(table: &Table, name: &str) -> Result<Kind> {
    let found = table.all().find(|(column, ..)| *column == name);
    match found {
        Some((_, Kind::Bytes | Kind::Json, _)) => Err(RepoError::invalid(format!(
            "`{name}` has no order that is the same on every database; sort by another column"
        ))),
        Some((_, kind, _)) => Ok(kind),
        None => Err(RepoError::invalid(format!("there is no column `{name}`"))),
    }
}

fn from_json(kind: Kind, json: &serde_json::Value) -> Result<Value> {
    let value = match (kind, json) {
        (_, serde_json::Value::Null) => Some(Value::Null),
        (Kind::Bool, json) => json.as_bool().map(Value::Bool),
        (Kind::Int, json) => json.as_i64().map(Value::Int),
        (Kind::Float, json) => json.as_f64().map(Value::Float),
        (Kind::Text, json) => json.as_str().map(Value::from),
        (Kind::Uuid, json) => json
            .as_str()
            .and_then(|text| text.parse().ok())
            .map(Value::Uuid),
        (Kind::Timestamp, json) => {
            let at = json.as_str().and_then(|text| text.parse().ok());
            at.map(Value::Timestamp)
        }
        (Kind::Bytes | Kind::Json, _) => None,
    };
    value.ok_or_else(|| {
        RepoError::invalid("the cursor was changed: give back what came with the page")
    })
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = serde_json::to_vec(&(&self.by, &self.at)).map_err(|_| fmt::Error)?;
        f.write_str(&URL_SAFE_NO_PAD.encode(json))
    }
}

impl From<Cursor> for String {
    fn from(cursor: Cursor) -> Self {
        cursor.to_string()
    }
}

impl TryFrom<String> for Cursor {
    type Error = RepoError;

    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}
