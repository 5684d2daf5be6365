//! The statements that one connection has prepared.
//!
//! Planning costs the server more than looking up a row does, and a prepared statement is planned a few times only. Its
//! price is memory of the server for as long as it is kept, so a statement is prepared when the connection is asked for it
//! the second time, and those that were not asked for lately are let go.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::TryStreamExt as _;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row, RowStream, Statement};

use super::convert::{type_of, typed};
use crate::Value;

/// Texts that one connection keeps in mind, prepared or only seen.
const MAX_TEXTS: usize = 256;
/// Statements of one text, which differ by the types of their parameters.
const MAX_STATEMENTS_OF_A_TEXT: usize = 4;
/// Bytes. A longer text names many values, so that the next of its kind is another text.
const LONGEST_TEXT: usize = 8 * 1024;

/// What one connection has prepared.
#[derive(Default)]
pub(super) struct Prepared(Mutex<Texts>);

#[derive(Default)]
struct Texts {
    of: HashMap<String, Text>,
    /// Counts what is asked for.
    now: u64,
}

struct Text {
    last_asked_for: u64,
    statements: Vec<Statement>,
}

enum Known {
    Prepared(Statement),
    /// Asked for before, and not prepared for such parameters.
    Seen,
    New,
}

/// A statement that goes out in one message.
pub(super) struct Ready<'a> {
    sql: &'a str,
    params: &'a [Value],
    /// `None` sends the text, unnamed.
    prepared: Option<(&'a Prepared, Statement)>,
}

impl<'a> Ready<'a> {
    pub(super) fn unnamed(sql: &'a str, params: &'a [Value]) -> Self {
        Self {
            sql,
            params,
            prepared: None,
        }
    }

    /// Sends it when first polled.
    pub(super) async fn stream(self, client: &Client) -> Result<RowStream, Error> {
        let Some((prepared, statement)) = self.prepared else {
            return client.query_typed_raw(self.sql, typed(self.params)).await;
        };
        let answer = client.query_raw(&statement, self.params).await;
        answer.inspect_err(|error| prepared.learn(self.sql, error))
    }

    /// How many rows it changed. Sends it when first polled.
    pub(super) async fn changed(self, client: &Client) -> Result<u64, Error> {
        Ok(self.run(client).await?.1)
    }

    /// Its rows, and how many it changed. Sends it when first polled.
    pub(super) async fn run(self, client: &Client) -> Result<(Vec<Row>, u64), Error> {
        let mut stream = std::pin::pin!(self.stream(client).await?);
        let mut rows = Vec::new();
        while let Some(row) = stream.try_next().await? {
            rows.push(row);
        }
        Ok((rows, stream.rows_affected().unwrap_or_default()))
    }
}

impl Prepared {
    /// Prepares it, in a round trip of its own, if it was asked for before and is not prepared yet.
    pub(super) async fn ready<'a>(
        &'a self,
        client: &Client,
        sql: &'a str,
        params: &'a [Value],
    ) -> Result<Ready<'a>, Error> {
        match self.ask(sql, params) {
            Known::Prepared(statement) => Ok(self.named(statement, sql, params)),
            Known::Seen => self.prepare(client, sql, params).await,
            Known::New => Ok(Ready::unnamed(sql, params)),
        }
    }

    /// For many rows of parameters: prepares it at once.
    pub(super) async fn ready_for_many(
        &self,
        client: &Client,
        sql: &str,
        params: &[Value],
    ) -> Result<(), Error> {
        if sql.len() <= LONGEST_TEXT && !matches!(self.ask(sql, params), Known::Prepared(_)) {
            self.prepare(client, sql, params).await?;
        }
        Ok(())
    }

    /// As it is, without a round trip.
    pub(super) fn as_known<'a>(&'a self, sql: &'a str, params: &'a [Value]) -> Ready<'a> {
        match self.ask(sql, params) {
            Known::Prepared(statement) => self.named(statement, sql, params),
            Known::Seen | Known::New => Ready::unnamed(sql, params),
        }
    }

    async fn prepare<'a>(
        &'a self,
        client: &Client,
        sql: &'a str,
        params: &'a [Value],
    ) -> Result<Ready<'a>, Error> {
        let types: Vec<Type> = params.iter().map(type_of).collect();
        let statement = client.prepare_typed(sql, &types).await?;
        if statement.params().len() != params.len() {
            // The server says what is wrong better than the driver, which would not send it.
            return Ok(Ready::unnamed(sql, params));
        }
        self.keep(sql, statement.clone());
        Ok(self.named(statement, sql, params))
    }

    fn named<'a>(&'a self, statement: Statement, sql: &'a str, params: &'a [Value]) -> Ready<'a> {
        Ready {
            sql,
            params,
            prepared: Some((self, statement)),
        }
    }

    fn ask(&self, sql: &str, params: &[Value]) -> Known {
        if sql.len() > LONGEST_TEXT {
            return Known::New;
        }
        let mut texts = self.texts();
        texts.now += 1;
        let now = texts.now;
        if let Some(text) = texts.of.get_mut(sql) {
            text.last_asked_for = now;
            let fitting = text
                .statements
                .iter()
                .find(|one| fits(one.params(), params));
            return fitting.map_or(Known::Seen, |one| Known::Prepared(one.clone()));
        }
        if texts.of.len() >= MAX_TEXTS {
            // A walk through all of them, where a text is new: that statement will be planned, which takes much longer.
            let oldest = texts.of.iter().min_by_key(|(_, text)| text.last_asked_for);
            if let Some(oldest) = oldest.map(|(sql, _)| sql.clone()) {
                texts.of.remove(&oldest);
            }
        }
        let text = Text {
            last_asked_for: now,
            statements: Vec::new(),
        };
        texts.of.insert(sql.to_owned(), text);
        Known::New
    }

    fn keep(&self, sql: &str, statement: Statement) {
        if let Some(text) = self.texts().of.get_mut(sql) {
            if text.statements.len() >= MAX_STATEMENTS_OF_A_TEXT {
                text.statements.remove(0);
            }
            text.statements.push(statement);
        }
    }

    /// After an error: what the server no longer runs is not asked for again.
    fn learn(&self, sql: &str, error: &Error) {
        if is_outdated(error) {
            self.texts().of.remove(sql);
        } else if is_missing(error) {
            self.texts().of.clear();
        }
    }

    fn texts(&self) -> MutexGuard<'_, Texts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `NULL` has any type.
fn fits(types: &[Type], params: &[Value]) -> bool {
    let mut both = types.iter().zip(params);
    types.len() == params.len()
        && both.all(|(ty, value)| matches!(value, Value::Null) || type_of(value) == *ty)
}

/// The schema changed so that the rows of a prepared statement would be of other types ("cached plan must not change result
/// type"). The message is in the server's language and the code says only "not supported"; the routine is what is left.
pub(super) fn is_outdated(error: &Error) -> bool {
    error.as_db_error().is_some_and(|db| {
        *db.code() == SqlState::FEATURE_NOT_SUPPORTED
            && db.routine() == Some("RevalidateCachedQuery")
    })
}

/// The server does not know the name, or knows it from somebody else.
pub(super) fn is_missing(error: &Error) -> bool {
    error.code().is_some_and(|code| {
        *code == SqlState::INVALID_SQL_STATEMENT_NAME || *code == SqlState::DUPLICATE_PSTATEMENT
    })
}
