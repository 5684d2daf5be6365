//! Values with an expiry, as rows.

use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::SqliteOptions;
use super::file::Fault;
use super::messages;
use crate::backend::whole_number;
use crate::error::StoreError;

/// Rows that one step of sweeping removes, so that nobody waits for it long.
const STEP: i64 = 200;

/// The system's time, milliseconds since 1970: the one clock that all processes share.
pub(super) fn now() -> i64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, millis)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// When what lives for `ttl` from now on is over.
fn expiry(ttl: Option<Duration>) -> Option<i64> {
    ttl.map(|ttl| now().saturating_add(millis(ttl).max(1)))
}

/// Runs `change` whole or not at all, with no other process in between.
pub(super) fn change<T>(
    connection: &mut Connection,
    change: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let result = change(&transaction)?;
    transaction.commit()?;
    Ok(result)
}

pub(super) fn get(connection: &Connection, key: &str) -> Result<Option<Vec<u8>>, Fault> {
    Ok(row(connection, key)?.map(|(value, _)| value))
}

pub(super) fn get_many(
    connection: &mut Connection,
    keys: &[String],
) -> Result<Vec<Option<Vec<u8>>>, Fault> {
    // All as they were at one moment.
    let moment = connection.transaction()?;
    keys.iter().map(|key| get(&moment, key)).collect()
}

/// A value and when it expires.
type Row = (Vec<u8>, Option<i64>);

/// The row, if it has not expired yet.
fn row(connection: &Connection, key: &str) -> Result<Option<Row>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT value, expires_at FROM entries WHERE key = ?1 AND (expires_at IS NULL OR expires_at > ?2)",
    )?;
    let row = statement
        .query_row(params![key.as_bytes(), now()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    Ok(row)
}

pub(super) fn set(
    transaction: &Transaction<'_>,
    options: &SqliteOptions,
    key: &str,
    value: &[u8],
    ttl: Option<Duration>,
) -> Result<(), Fault> {
    put(transaction, options, key, value, expiry(ttl))
}

pub(super) fn compare_and_set(
    transaction: &Transaction<'_>,
    options: &SqliteOptions,
    key: &str,
    expected: Option<&[u8]>,
    value: Option<&[u8]>,
    ttl: Option<Duration>,
) -> Result<bool, Fault> {
    if get(transaction, key)?.as_deref() != expected {
        return Ok(false);
    }
    match value {
        Some(value) => put(transaction, options, key, value, expiry(ttl))?,
        None => drop(delete(transaction, key)?),
    }
    Ok(true)
}

/// Says whether there was a value that had not expired.
pub(super) fn delete(transaction: &Transaction<'_>, key: &str) -> Result<bool, Fault> {
    let was_there = row(transaction, key)?.is_some();
    transaction
        .prepare_cached("DELETE FROM entries WHERE key = ?1")?
        .execute([key.as_bytes()])?;
    Ok(was_there)
}

pub(super) fn increment(
    transaction: &Transaction<'_>,
    options: &SqliteOptions,
    key: &str,
    by: i64,
    ttl: Option<Duration>,
) -> Result<i64, Fault> {
    let (present, expires_at) = match row(transaction, key)? {
        None => (0, expiry(ttl)),
        Some((value, expires_at)) => (
            whole_number(&value).ok_or(StoreError::NotANumber)?,
            expires_at,
        ),
    };
    let sum = present.checked_add(by).ok_or(StoreError::NotANumber)?;
    put(
        transaction,
        options,
        key,
        sum.to_string().as_bytes(),
        expires_at,
    )?;
    Ok(sum)
}

/// Tokens follow the time, so that they go on growing when the file was lost and made anew.
pub(super) fn acquire(
    transaction: &Transaction<'_>,
    options: &SqliteOptions,
    key: &str,
    ttl: Duration,
) -> Result<Option<u64>, Fault> {
    if row(transaction, key)?.is_some() {
        return Ok(None);
    }
    let token: i64 = transaction
        .prepare_cached("UPDATE locks SET token = max(token + 1, ?1) RETURNING token")?
        .query_row([now().saturating_mul(1_000)], |row| row.get(0))?;
    let value = token.to_string();
    put(
        transaction,
        options,
        key,
        value.as_bytes(),
        expiry(Some(ttl)),
    )?;
    Ok(Some(token as u64))
}

fn put(
    transaction: &Transaction<'_>,
    options: &SqliteOptions,
    key: &str,
    value: &[u8],
    expires_at: Option<i64>,
) -> Result<(), Fault> {
    while !fits(transaction, options, key, value)? {
        if sweep_values(transaction)? == 0 {
            return Err(StoreError::Full.into());
        }
    }
    transaction
        .prepare_cached(
            "INSERT INTO entries (key, value, expires_at) VALUES (?1, ?2, ?3)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at",
        )?
        .execute(params![key.as_bytes(), value, expires_at])?;
    Ok(())
}

fn fits(
    transaction: &Transaction<'_>,
    options: &SqliteOptions,
    key: &str,
    value: &[u8],
) -> Result<bool, Fault> {
    let (entries, bytes): (i64, i64) = transaction
        .prepare_cached("SELECT entries, bytes FROM size")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let before: Option<i64> = transaction
        .prepare_cached("SELECT length(key) + length(value) FROM entries WHERE key = ?1")?
        .query_row([key.as_bytes()], |row| row.get(0))
        .optional()?;
    let entries = entries + i64::from(before.is_none());
    let bytes = bytes - before.unwrap_or(0) + (key.len() + value.len()) as i64;
    Ok(entries as usize <= options.entries && bytes as usize <= options.bytes)
}

fn sweep_values(transaction: &Transaction<'_>) -> Result<usize, Fault> {
    let removed = transaction
        .prepare_cached(
            "DELETE FROM entries WHERE key IN
             (SELECT key FROM entries WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)",
        )?
        .execute(params![now(), STEP])?;
    Ok(removed)
}

/// Removes some of what has expired, values and messages. Says whether there may be more. Where nothing has, nobody who
/// writes is held up.
pub(super) fn sweep(connection: &mut Connection) -> Result<bool, Fault> {
    let is_expired: bool = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM entries WHERE expires_at <= ?1)")?
        .query_row([now()], |row| row.get(0))?;
    if !is_expired && !messages::is_old(connection)? {
        return Ok(false);
    }
    change(connection, |transaction| {
        messages::sweep(transaction)?;
        Ok(sweep_values(transaction)? == STEP as usize)
    })
}
