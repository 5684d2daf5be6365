//! What a program's configuration says about its parts. One file for each section.

#![allow(
    clippy::unnecessary_wraps,
    reason = "a reader gives an `Option`, so that one of them may refuse where others have nothing to"
)]

mod auth;
mod cache;
mod cors;
mod database;
mod health;
mod http;
mod limits;
mod log;
mod metrics;
mod store;
mod traces;
mod websocket;

use std::path::PathBuf;
use std::time::Duration;

use bastide_config::read::Fields;
use bastide_config::{Node, parse};

pub use auth::{AuthSettings, KeySource, ServiceKeySettings};
pub use cache::CacheSettings;
pub use database::DatabaseSettings;
pub use health::HealthSettings;
pub use http::{HttpSettings, OpsListen, WebSocketSettings};
pub use limits::{LimitSettings, LimitStorage};
pub use log::{LogFormat, LogSettings};
pub use metrics::MetricsSettings;
pub use store::StoreSettings;
pub use traces::TracesSettings;

/// Where a program runs. `BASTIDE_ENV` says which; `development` unless it says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// At its author's: embedded stores where no others are named, readable logs, tables made at the start.
    Development,
    /// In tests: as in development, with a file of its own in `config/`.
    Test,
    /// Before its users, but not for them: as in production.
    Staging,
    /// For its users: what is missing stops the start.
    Production,
}

impl Environment {
    /// The names, for a parser.
    pub(crate) const CHOICES: &[(&str, Self)] = &[
        ("development", Self::Development),
        ("test", Self::Test),
        ("staging", Self::Staging),
        ("production", Self::Production),
    ];

    /// Its name, as in `BASTIDE_ENV` and in the name of its file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Test => "test",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }

    /// Whether embedded stores may stand in for those that nobody named.
    pub fn is_lenient(self) -> bool {
        matches!(self, Self::Development | Self::Test)
    }
}

/// Everything that can be configured about a program's parts. Times are text with a unit (`30s`), sizes too (`10MB`).
#[derive(Debug)]
pub struct Settings {
    /// `[http]`: the listener for callers.
    pub http: HttpSettings,
    /// `[database]`
    pub database: DatabaseSettings,
    /// `[store]`: what processes share.
    pub store: StoreSettings,
    /// `[cache]`
    pub cache: CacheSettings,
    /// `[auth]`
    pub auth: AuthSettings,
    /// `[rate_limit]`
    pub rate_limit: LimitSettings,
    /// `[health]`
    pub health: HealthSettings,
    /// `[log]`
    pub log: LogSettings,
    /// `[metrics]`
    pub metrics: MetricsSettings,
    /// `[traces]`
    pub traces: TracesSettings,
    /// `[config]`
    pub config: ConfigSettings,
    /// `[shutdown]`
    pub shutdown: ShutdownSettings,
    /// `data_dir`: where embedded stores keep their files; `.bastide` unless said otherwise.
    pub data_dir: PathBuf,
}

/// `[shutdown]`: how the program stops when it is told to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShutdownSettings {
    /// `delay`: how long calls are still taken after `/readyz` began to fail; 5 s, none in development.
    pub delay: Duration,
    /// `timeout`: how long calls under way and the hooks of the stop may take together; 30 s. Then the process ends.
    pub timeout: Duration,
}

/// A time that is not none.
pub(crate) const SOME_TIME: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(366 * 86_400);
/// A time, or none.
pub(crate) const ANY_TIME: std::ops::RangeInclusive<Duration> =
    Duration::ZERO..=Duration::from_secs(366 * 86_400);

impl Settings {
    /// Reads the sections out of the whole document. Keys that are no section of ours belong to the program.
    pub(crate) fn read(fields: &mut Fields<'_, '_>, environment: Environment) -> Option<Self> {
        let http = fields.object_or_empty("http", http::read);
        let database =
            fields.object_or_empty("database", |fields| database::read(fields, environment));
        let store = fields.object_or_empty("store", store::read);
        let cache = fields.object_or_empty("cache", cache::read);
        let auth = fields.object_or_empty("auth", auth::read);
        let rate_limit = fields.object_or_empty("rate_limit", limits::read);
        let health = fields.object_or_empty("health", health::read);
        let log = fields.object_or_empty("log", |fields| log::read(fields, environment));
        let metrics = fields.object_or_empty("metrics", metrics::read);
        let traces = fields.object_or_empty("traces", traces::read);
        let config = fields.object_or_empty("config", |fields| config(fields, environment));
        let shutdown = fields.object_or_empty("shutdown", |fields| shutdown(fields, environment));
        let data_dir = fields.setting("data_dir", ".bastide".to_owned(), parse::string(1..=4096));
        if let (Some(limits), Some(store)) = (&rate_limit, &store)
            && limits.storage == Some(LimitStorage::Shared)
            && !store.is_redis()
        {
            fields.reject_field::<()>(
                "rate_limit",
                "`storage` is `shared`, which needs a Redis server as store; set store.url to one, or storage to `memory`",
            );
        }
        Some(Self {
            http: http?,
            database: database?,
            store: store?,
            cache: cache?,
            auth: auth?,
            rate_limit: rate_limit?,
            health: health?,
            log: log?,
            metrics: metrics?,
            traces: traces?,
            config: config?,
            shutdown: shutdown?,
            data_dir: data_dir.into(),
        })
    }
}

/// `[config]`: what becomes of a change to the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigSettings {
    /// `watch`: whether a change of `log.level` in a file is in force at once; on, but off in production, where a change is a
    /// deployment. Other changes are named in a warning, and are in force after the next start.
    pub watch: bool,
}

fn config(fields: &mut Fields<'_, '_>, environment: Environment) -> Option<ConfigSettings> {
    let is_production = environment == Environment::Production;
    let watch = fields.setting("watch", !is_production, parse::boolean);
    if watch && is_production {
        let message = "is for development; in production a change is in force after the next start";
        return fields.reject_field("watch", message);
    }
    Some(ConfigSettings { watch })
}

fn shutdown(fields: &mut Fields<'_, '_>, environment: Environment) -> Option<ShutdownSettings> {
    let delay = Duration::from_secs(if environment.is_lenient() { 0 } else { 5 });
    Some(ShutdownSettings {
        delay: fields.setting("delay", delay, parse::duration(ANY_TIME)),
        timeout: fields.setting(
            "timeout",
            Duration::from_secs(30),
            parse::duration(SOME_TIME),
        ),
    })
}

/// A count from 1 on.
pub(crate) fn count(node: Node<'_, '_>) -> Option<usize> {
    parse::integer(1..=1_000_000_000_usize)(node)
}
