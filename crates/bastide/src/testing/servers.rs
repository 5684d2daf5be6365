//! Where a test's rows and shared state are: a folder, or servers of its own.

use anyhow::Context as _;
use bastide_testkit::{Database, Postgres, Redis, TestFolder};

/// How the program reaches its stores.
#[derive(Debug, Clone)]
pub(super) struct Urls {
    pub(super) database: String,
    pub(super) owner: Option<String>,
    pub(super) across: Option<String>,
    pub(super) store: String,
}

/// What has to live as long as the program.
#[derive(Debug)]
pub(super) struct Servers {
    _folder: TestFolder,
    _database: Option<Database>,
    _redis: Option<Redis>,
}

/// Starts what is wanted. It blocks for as long as servers take to start.
pub(super) fn start(postgres: bool, redis: bool) -> anyhow::Result<(Servers, Urls)> {
    let folder = TestFolder::new()?;
    let file = folder.path().join("test.db");
    let mut urls = Urls {
        database: format!("sqlite:{}", file.display()),
        owner: None,
        across: None,
        store: "memory".to_owned(),
    };
    let database = if postgres {
        let database = Postgres::shared_database().context("a Postgres for this test")?;
        roles(&database)?;
        let of = |role: &str| {
            let role = format!("//{}_{role}@", database.name());
            database.url().replacen("//postgres@", &role, 1)
        };
        urls.database = of("app");
        urls.owner = Some(of("owner"));
        urls.across = Some(of("across"));
        Some(database)
    } else {
        None
    };
    let redis = if redis {
        let redis = Redis::start().context("a Redis for this test")?;
        urls.store = redis.url();
        Some(redis)
    } else {
        None
    };
    let servers = Servers {
        _folder: folder,
        _database: database,
        _redis: redis,
    };
    Ok((servers, urls))
}

/// The owner of the tables, the program, and who may look across tenants. Roles are the whole server's, so their names
/// are the database's.
fn roles(database: &Database) -> anyhow::Result<()> {
    let name = database.name();
    let statement = format!(
        "CREATE ROLE {name}_owner LOGIN; CREATE ROLE {name}_app LOGIN NOBYPASSRLS; CREATE ROLE {name}_across LOGIN BYPASSRLS; \
         GRANT CREATE ON SCHEMA public TO {name}_owner; \
         ALTER DEFAULT PRIVILEGES FOR ROLE {name}_owner IN SCHEMA public \
         GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {name}_across"
    );
    database.sql(&statement).context("roles for this test")?;
    Ok(())
}
