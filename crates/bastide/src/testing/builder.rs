//! What a test says before its program starts.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::ensure;

use super::test_app::TestApp;

/// What may be called again and again to start the program: its `main`.
pub(super) type Main = Arc<dyn Fn() -> ExitCode + Send + Sync>;

/// A program about to be tested. Made by [`TestApp::builder`].
#[derive(Debug, Clone, Default)]
pub struct TestAppBuilder {
    pub(super) postgres: bool,
    pub(super) redis: bool,
    pub(super) listens: bool,
    pub(super) folder: PathBuf,
    pub(super) overrides: Vec<(String, String)>,
    pub(super) service_keys: Vec<(String, Vec<String>)>,
}

/// What the kit sets itself, and how it is chosen there.
const KEPT: &[(&str, &str)] = &[
    ("database.url", "`postgres()` chooses where rows are"),
    ("database.owner_url", "`postgres()` makes the owner"),
    (
        "database.across_url",
        "`postgres()` makes the role that looks across tenants",
    ),
    ("database.direct_url", "there is no pooler in between"),
    ("store.url", "`redis()` chooses what processes share"),
    ("auth.secret", "tokens are of the kit's key"),
    ("auth.algorithm", "tokens are of the kit's key"),
    ("auth.public_key_file", "tokens are of the kit's key"),
    ("auth.jwks_url", "tokens are of the kit's key"),
    (
        "cache.l1",
        "values are kept in the store alone, for the clock's sake",
    ),
    (
        "cache.multi_tier",
        "values are kept in the store alone, for the clock's sake",
    ),
    ("http.listen", "`listen()` takes a free port"),
    ("http.port", "`listen()` takes a free port"),
    ("http.socket", "`listen()` takes a free port"),
    ("http.ops", "they stand beside the methods"),
    (
        "data_dir",
        "embedded stores are in a folder of the test's own",
    ),
];

impl TestAppBuilder {
    /// Rows are in a Postgres that is the test's alone, as a role that owns nothing; otherwise in an `SQLite` file.
    ///
    /// Each process of tests starts one server (about two seconds) and each program has a database of its own there. The programs
    /// of Postgres have to be installed.
    pub fn postgres(mut self) -> Self {
        self.postgres = true;
        self
    }

    /// What processes share is in a Redis of this program's own; otherwise in memory.
    pub fn redis(mut self) -> Self {
        self.redis = true;
        self
    }

    /// Callers may come over a socket too: [`TestApp::url`].
    pub fn listen(mut self) -> Self {
        self.listens = true;
        self
    }

    /// The folder with `config/` and `migrations/`: the package's unless said otherwise, which is where cargo runs tests. The
    /// files are `config/default.*` and `config/test.*`.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = folder.into();
        self
    }

    /// One setting for this program alone, over what the files say: `.set("rate_limit.default", "2/min")`. The text is read as that
    /// of an environment variable would be.
    pub fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.overrides.push((name.to_owned(), value.into()));
        self
    }

    /// With one more trusted program, for [`TestApp::service`]. There is one already, `testing`, without roles.
    pub fn service_key(mut self, name: &str, roles: &[&str]) -> Self {
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        self.service_keys.push((name.to_owned(), roles));
        self
    }

    /// Starts the program by its `main`, until it takes calls.
    ///
    /// # Errors
    /// Whatever would have stopped it in production, and servers that cannot be started.
    pub async fn start(
        self,
        main: impl Fn() -> ExitCode + Send + Sync + 'static,
    ) -> anyhow::Result<TestApp> {
        for (name, _) in &self.overrides {
            let is_within = |kept: &str| {
                let rest = name.strip_prefix(kept);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            let kept = KEPT.iter().find(|(kept, _)| is_within(kept));
            ensure!(
                kept.is_none(),
                "the test cannot set `{name}`: {}",
                kept.map_or("", |(_, reason)| reason)
            );
        }
        TestApp::build(self, Arc::new(main)).await
    }
}
