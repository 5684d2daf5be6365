//! The two tables: what is set, and what was ever done.

use bastide_db::{Database, Migration, Migrations, Row, Transaction, Value, values};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value as Json;

use crate::error::{Result, SettingsError};

/// On which every change is announced.
pub(crate) const CHANNEL: &str = "bastide_settings";

/// The tables of the settings. They are made before the program starts, as all migrations.
pub const MIGRATIONS: Migrations = Migrations {
    component: "settings",
    steps: &[Migration {
        name: "0001_settings",
        postgres: "\
CREATE TABLE bastide_settings (
    key text PRIMARY KEY,
    value json,
    version bigint NOT NULL
);
CREATE TABLE bastide_settings_history (
    key text NOT NULL,
    version bigint NOT NULL,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    request text NOT NULL,
    before json,
    after json,
    PRIMARY KEY (key, version)
);",
        sqlite: "\
CREATE TABLE bastide_settings (
    key text PRIMARY KEY,
    value text,
    version integer NOT NULL
);
CREATE TABLE bastide_settings_history (
    key text NOT NULL,
    version integer NOT NULL,
    at text NOT NULL,
    actor text NOT NULL,
    request text NOT NULL,
    before text,
    after text,
    PRIMARY KEY (key, version)
);",
    }],
};

/// The statements that let a role of Postgres, as which the program runs, work with the tables without owning them: what was
/// done it may add and read only.
pub fn grant(role: &str) -> Vec<String> {
    let role = role.replace('"', "\"\"");
    vec![
        format!("GRANT SELECT, INSERT, UPDATE ON bastide_settings TO \"{role}\""),
        format!("GRANT SELECT, INSERT ON bastide_settings_history TO \"{role}\""),
        format!("GRANT SELECT ON bastide_migrations TO \"{role}\""),
    ]
}

/// One change of a setting.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Which setting.
    pub key: String,
    /// The version that the change made. The first is 1.
    pub version: u64,
    /// When.
    pub at: Timestamp,
    /// Who: the caller's subject.
    pub actor: String,
    /// The id of the call.
    pub request: String,
    /// The value before; nothing where the default was in force.
    pub before: Option<Json>,
    /// The value after; nothing where the default is in force again.
    pub after: Option<Json>,
}

/// What is set for one key.
pub(crate) struct Stored {
    pub(crate) key: String,
    /// The text of the value; it may be anything.
    pub(crate) text: Option<String>,
    pub(crate) version: u64,
}

/// Everything that is set, by whatever program.
pub(crate) async fn load(database: &Database) -> Result<Vec<Stored>> {
    let rows = database
        .query("SELECT key, value, version FROM bastide_settings", &[])
        .await?;
    let stored = |row: &Row| {
        Ok(Stored {
            key: row.get("key")?,
            text: row.get("value")?,
            version: version(row)?,
        })
    };
    rows.iter().map(stored).collect()
}

/// Who changes what.
pub(crate) struct Write<'a> {
    pub(crate) key: &'a str,
    pub(crate) after: Option<&'a Json>,
    pub(crate) expected: Option<u64>,
    pub(crate) actor: &'a str,
    pub(crate) request: String,
}

/// Changes a setting and writes down that it was, in the caller's transaction. Gives the new version.
pub(crate) async fn write(transaction: &mut Transaction, write: &Write<'_>) -> Result<u64> {
    let key = write.key;
    // A row to hold: whoever comes second waits for it.
    let begin = "INSERT INTO bastide_settings (key, value, version) VALUES ($1, NULL, 0) ON CONFLICT (key) DO NOTHING";
    transaction.execute(begin, &values![key]).await?;
    let count =
        "UPDATE bastide_settings SET version = version + 1 WHERE key = $1 RETURNING version, value";
    let row = transaction.query_opt(count, &values![key]).await?;
    let row = row.ok_or_else(|| SettingsError::Unknown(key.to_owned()))?;
    let version = version(&row)?;
    let found = version.saturating_sub(1);
    if let Some(expected) = write.expected.filter(|expected| *expected != found) {
        return Err(SettingsError::Stale {
            key: key.to_owned(),
            expected,
            found,
        });
    }
    let before: Option<String> = row.get("value")?;
    let after = Value::json_opt(write.after)?;
    let change = "UPDATE bastide_settings SET value = $2 WHERE key = $1";
    transaction
        .execute(change, &[key.into(), after.clone()])
        .await?;
    let record = "INSERT INTO bastide_settings_history (key, version, at, actor, request, before, after) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let params = [
        key.into(),
        row.value("version")?.clone(),
        Timestamp::now().into(),
        write.actor.into(),
        write.request.as_str().into(),
        before.map_or(Value::Null, Value::Json),
        after,
    ];
    transaction.execute(record, &params).await?;
    transaction.notify(CHANNEL, key).await?;
    Ok(version)
}

/// The changes of one setting that are older than this version, newest first.
pub(crate) async fn history(
    database: &Database,
    key: &str,
    before: Option<u64>,
    limit: u32,
) -> Result<Vec<Change>> {
    let sql = "SELECT key, version, at, actor, request, before, after FROM bastide_settings_history \
               WHERE key = $1 AND version < $2 ORDER BY version DESC LIMIT $3";
    let before = before.map_or(i64::MAX, |before| i64::try_from(before).unwrap_or(i64::MAX));
    let rows = database.query(sql, &values![key, before, limit]).await?;
    let change = |row: &Row| {
        Ok(Change {
            key: row.get("key")?,
            version: version(row)?,
            at: row.get("at")?,
            actor: row.get("actor")?,
            request: row.get("request")?,
            before: json(row.get("before")?),
            after: json(row.get("after")?),
        })
    };
    rows.iter().map(change).collect()
}

/// What stands in the history was once written here; what somebody else made of it is shown as the text that it is.
fn json(text: Option<String>) -> Option<Json> {
    text.map(|text| serde_json::from_str(&text).unwrap_or(Json::String(text)))
}

fn version(row: &Row) -> Result<u64> {
    Ok(u64::try_from(row.get::<i64>("version")?).unwrap_or_default())
}
