//! `[database]`: where rows are.

use std::path::PathBuf;
use std::time::Duration;

use bastide_config::read::Fields;
use bastide_config::{Secret, parse};

use super::{ANY_TIME, Environment, SOME_TIME, count};

/// The database, and how many connections to it.
#[derive(Debug)]
pub struct DatabaseSettings {
    /// `url`: `postgres://..` or `sqlite:PATH`; `DATABASE_URL` is the same. Without one a file in the data directory, which only
    /// development and tests allow.
    pub url: Option<Secret>,
    /// `owner_url`: the tables' owner, for `db migrate`; `url` unless said otherwise. On Postgres the program itself must not
    /// be the owner.
    pub owner_url: Option<Secret>,
    /// `across_url`: a role that bypasses row-level security, for the named work across tenants. Without one there is none.
    pub across_url: Option<Secret>,
    /// `direct_url`: where `LISTEN` and migrations connect when `url` leads to a pooler.
    pub direct_url: Option<Secret>,
    /// `prepared_statements`: whether connections prepare what they are asked for again; where they lead to the server itself
    /// and not to a pooler.
    pub prepared_statements: Option<bool>,
    /// `pool.min`: connections that are kept open; 2, or `max` if that is less.
    pub pool_min: usize,
    /// `pool.max`: connections at most; 20.
    pub pool_max: usize,
    /// `connect_timeout`: to reach the server and log in; 3 s.
    pub connect_timeout: Duration,
    /// `acquire_timeout`: to get a connection out of the pool; 5 s.
    pub acquire_timeout: Duration,
    /// `statement_timeout`: for one statement; 10 s. A call's deadline holds too.
    pub statement_timeout: Duration,
    /// `idle_timeout`: an idle connection older than this is replaced; 5 min.
    pub idle_timeout: Duration,
    /// `migrations`: the folder of the program's migrations; `migrations`.
    pub migrations: PathBuf,
    /// `migrate_at_start`: whether the start applies what is pending. On in development and tests, and an error elsewhere.
    pub migrate_at_start: bool,
}

pub(super) fn read(
    fields: &mut Fields<'_, '_>,
    environment: Environment,
) -> Option<DatabaseSettings> {
    let url = parse::url(&["postgres", "postgresql", "sqlite"]);
    let url = |fields: &mut Fields<'_, '_>, name| fields.optional(name, &url).map(Secret::new);
    let pool = fields.object_or_empty("pool", |fields| {
        let max = fields.setting("max", 20, count);
        let min = fields.setting("min", max.min(2), parse::integer(0..=1_000_usize));
        if min > max {
            return fields.reject_field("min", format!("is more than `max`, which is {max}"));
        }
        Some((min, max))
    });
    let migrate_at_start =
        fields.setting("migrate_at_start", environment.is_lenient(), parse::boolean);
    if migrate_at_start && !environment.is_lenient() {
        let message = "is for development; run `db migrate` as a step of its own before the start";
        fields.reject_field::<()>("migrate_at_start", message);
    }
    let seconds = Duration::from_secs;
    // Every member is asked for before the first `?`, so that every mistake is found.
    Some(DatabaseSettings {
        url: url(fields, "url"),
        owner_url: url(fields, "owner_url"),
        across_url: url(fields, "across_url"),
        direct_url: url(fields, "direct_url"),
        prepared_statements: fields.optional("prepared_statements", parse::boolean),
        connect_timeout: fields.setting("connect_timeout", seconds(3), parse::duration(SOME_TIME)),
        acquire_timeout: fields.setting("acquire_timeout", seconds(5), parse::duration(SOME_TIME)),
        statement_timeout: fields.setting(
            "statement_timeout",
            seconds(10),
            parse::duration(SOME_TIME),
        ),
        idle_timeout: fields.setting("idle_timeout", seconds(300), parse::duration(ANY_TIME)),
        migrations: fields
            .setting(
                "migrations",
                "migrations".to_owned(),
                parse::string(1..=4096),
            )
            .into(),
        migrate_at_start,
        pool_min: pool?.0,
        pool_max: pool?.1,
    })
}
