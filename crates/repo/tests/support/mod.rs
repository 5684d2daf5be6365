//! The same test on both databases; on Postgres as a role that owns nothing.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program includes this and uses a part"
)]

use std::time::Duration;

use bastide_auth::TenantId;
use bastide_context::{Call, Cx};
use bastide_db::{Database, Dialect, Options};
use bastide_repo::{Entity, Repo, Schema, TenantDb, Timestamp, Uuid};
use bastide_testkit::{Postgres, TestFolder};

/// Generous: what takes longer than this does not happen.
pub const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(table = "teams", tenant)]
pub struct Team {
    #[entity(id)]
    pub id: Uuid,
    #[entity(unique)]
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(table = "users", tenant, soft_delete, timestamps, audit, version)]
pub struct User {
    #[entity(id)]
    pub id: Uuid,
    #[entity(index, unique)]
    pub email: String,
    pub name: String,
    pub age: Option<i64>,
    #[entity(belongs_to = Team)]
    pub team_id: Option<Uuid>,
    pub version: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub deleted_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(table = "posts", tenant)]
pub struct Post {
    #[entity(id)]
    pub id: Uuid,
    #[entity(belongs_to = User)]
    pub author_id: Uuid,
    pub title: String,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(table = "countries")]
pub struct Country {
    #[entity(id)]
    pub id: String,
    pub name: String,
}

pub fn schema() -> Schema {
    Schema::new()
        .with::<Team>()
        .with::<User>()
        .with::<Post>()
        .with::<Country>()
}

pub fn user(email: &str) -> User {
    User {
        id: Uuid::now_v7(),
        email: email.to_owned(),
        name: email.split('@').next().unwrap_or_default().to_owned(),
        age: None,
        team_id: None,
        version: 0,
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
        deleted_at: None,
    }
}

pub fn team(name: &str) -> Team {
    Team {
        id: Uuid::now_v7(),
        name: name.to_owned(),
    }
}

pub fn tenant(name: &str) -> Cx {
    within(name, Call::new())
}

pub fn within(name: &str, call: Call) -> Cx {
    Cx::system("test", call).for_tenant(TenantId::parse(name).unwrap())
}

/// An empty schema, gone when dropped.
pub enum Fixture {
    Sqlite(TestFolder),
    Postgres(bastide_testkit::Database),
}

impl Fixture {
    pub fn sqlite() -> Self {
        Self::Sqlite(TestFolder::new().unwrap())
    }

    pub fn postgres() -> Self {
        let database = Postgres::shared_database().unwrap();
        let name = database.name();
        // A role of its own for each test: roles are the whole server's.
        let roles = format!(
            "DROP ROLE IF EXISTS {name}_owner, {name}_app; CREATE ROLE {name}_owner LOGIN; CREATE ROLE {name}_app LOGIN NOBYPASSRLS; \
             GRANT CREATE ON SCHEMA public TO {name}_owner"
        );
        database.sql(&roles).unwrap();
        Self::Postgres(database)
    }

    fn url(&self, role: &str) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite:{}", folder.path().join("test.db").display()),
            Self::Postgres(database) => {
                let role = format!("//{}_{role}@", database.name());
                database.url().replacen("//postgres@", &role, 1)
            }
        }
    }

    pub fn app_url(&self) -> String {
        self.url("app")
    }

    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    pub fn role(&self) -> String {
        match self {
            Self::Sqlite(_) => String::new(),
            Self::Postgres(database) => format!("{}_app", database.name()),
        }
    }

    /// As the tables' owner.
    pub fn owner(&self) -> Database {
        Database::open(&self.url("owner")).unwrap()
    }

    /// As the program.
    pub fn app(&self) -> Database {
        Database::open(&self.app_url()).unwrap()
    }

    /// What a superuser sees.
    pub async fn count_of_all(&self, table: &str) -> i64 {
        let database = match self {
            Self::Sqlite(_) => self.app(),
            Self::Postgres(database) => Database::open(&database.url()).unwrap(),
        };
        let sql = format!("SELECT count(*) AS n FROM {table}");
        database.query(&sql, &[]).await.unwrap()[0]
            .get("n")
            .unwrap()
    }

    pub async fn create(&self) {
        let owner = self.owner();
        let mut statements = schema().create(self.dialect());
        if self.dialect() == Dialect::Postgres {
            statements.extend(schema().grant(&self.role()));
        }
        for statement in statements {
            owner.execute(&statement, &[]).await.expect(&statement);
        }
    }

    pub async fn db(&self) -> TenantDb {
        self.create().await;
        TenantDb::new(self.app())
    }

    /// With one connection, so that every caller gets the one the last caller had.
    pub async fn single(&self) -> TenantDb {
        self.create().await;
        let options = Options {
            max_connections: 1,
            ..Options::default()
        };
        TenantDb::new(Database::open_with(&self.app_url(), options).unwrap())
    }
}

pub struct Repos {
    pub db: TenantDb,
    pub teams: Repo<Team>,
    pub users: Repo<User>,
    pub posts: Repo<Post>,
}

impl Repos {
    pub async fn new(fixture: &Fixture) -> Self {
        let db = fixture.db().await;
        Self {
            teams: db.repo(),
            users: db.repo(),
            posts: db.repo(),
            db,
        }
    }
}

/// Makes two tests of each function that takes a fixture.
#[macro_export]
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(&$crate::support::Fixture::sqlite()).await; })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(&$crate::support::Fixture::postgres()).await; })*
        }
    };
}
