//! The servers that all tests of a run share.

use std::ffi::OsString;

use bastide_testkit::{Postgres, Redis, binaries};

/// Running servers. They stop when dropped.
#[derive(Debug)]
pub(crate) struct Servers {
    postgres: Postgres,
    redis: Redis,
}

impl Servers {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let servers = Self {
            postgres: Postgres::start()?,
            redis: Redis::start()?,
        };
        eprintln!("{}\n{}", servers.postgres.url(), servers.redis.url());
        Ok(servers)
    }

    /// What tests are told of them, and where to find the programs for servers of their own.
    pub(crate) fn environment(&self) -> anyhow::Result<Vec<(&'static str, OsString)>> {
        let postgres = binaries::find("postgres")?;
        let folder = postgres.parent().unwrap_or(&postgres);
        // `postgres` may be a link; the others need not be linked beside it.
        let folder = folder
            .join("initdb")
            .exists()
            .then(|| folder.as_os_str().to_owned());
        let mut environment = vec![
            ("BASTIDE_TEST_POSTGRES_URL", self.postgres.url().into()),
            ("BASTIDE_TEST_REDIS_URL", self.redis.url().into()),
            (
                "BASTIDE_TEST_REDIS_BIN",
                binaries::find("redis-server")?.into(),
            ),
        ];
        environment.extend(folder.map(|folder| ("BASTIDE_TEST_POSTGRES_BIN", folder)));
        Ok(environment)
    }
}
