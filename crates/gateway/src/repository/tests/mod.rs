//! The same tests over both databases.

use bastide_db::Database;
use bastide_testkit::TestFolder;
use jiff::Timestamp;
use uuid::Uuid;

use super::*;
use crate::model::{
    ApiKey, Auth, JsonText, KeyHash, LoadBalancing, ManagedBy, MethodRule, PathType, Protocol,
    RateLimit, Route, State, Tenant, Upstream, UpstreamUrl,
};

/// Makes two tests of each function that takes a fixture.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(&crate::repository::tests::Fixture::Sqlite(bastide_testkit::TestFolder::new().unwrap())).await; })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(&crate::repository::tests::Fixture::Postgres(bastide_testkit::Postgres::shared_database().unwrap())).await;
            })*
        }
    };
}

mod reading;
mod writing;

enum Fixture {
    Sqlite(TestFolder),
    Postgres(bastide_testkit::Database),
}

impl Fixture {
    fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite:{}", folder.path().join("test.db").display()),
            Self::Postgres(database) => database.url(),
        }
    }

    async fn open(&self) -> Repository {
        let repository = Repository::new(Database::open(&self.url()).unwrap());
        repository.migrate().await.unwrap();
        repository
    }
}

fn now() -> Timestamp {
    "2026-11-20T22:00:00.123456Z".parse().unwrap()
}

fn tenant(name: &str) -> Tenant {
    Tenant {
        id: Uuid::now_v7(),
        name: name.to_owned(),
        tier: "pro".to_owned(),
        rate_limit: Some(RateLimit::per_minute(7)),
        is_active: true,
        managed_by: ManagedBy::File,
        created_at: now(),
        updated_at: now(),
        version: 1,
    }
}

fn key(tenant: &Tenant, byte: u8) -> ApiKey {
    ApiKey {
        id: Uuid::now_v7(),
        tenant_id: tenant.id,
        name: "default".to_owned(),
        hash: KeyHash::Hmac([byte; 32]),
        hint: "abcd".to_owned(),
        rate_limit: None,
        expires_at: Some(now()),
        revoked_at: None,
        replaced_by: None,
        managed_by: ManagedBy::Api,
        created_at: now(),
        updated_at: now(),
        version: 1,
    }
}

fn route(tenant: Option<&Tenant>, path: &str) -> Route {
    let url = UpstreamUrl::try_from("http://127.0.0.1:9000/base".to_owned()).unwrap();
    Route {
        id: Uuid::now_v7(),
        tenant_id: tenant.map(|tenant| tenant.id),
        method: MethodRule::One("GET".to_owned()),
        host: Some("*.example.org".to_owned()),
        path: path.to_owned(),
        path_type: PathType::Prefix,
        strip_prefix: true,
        priority: 0,
        auth: Auth::ApiKey,
        upstreams: vec![Upstream {
            url,
            weight: 2,
            timeout: None,
            protocol: Protocol::default(),
        }],
        load_balancing: LoadBalancing::Weighted,
        rate_limit: Some(RateLimit::per_minute(3)),
        transform: None,
        resilience: None,
        is_active: true,
        managed_by: ManagedBy::Api,
        created_at: now(),
        updated_at: now(),
        version: 1,
    }
}

fn audit(tenant: &Tenant, action: &str) -> Audit {
    Audit {
        id: Uuid::now_v7(),
        at: now(),
        actor: "admin".to_owned(),
        action: action.to_owned(),
        entity: Entity::Tenant,
        entity_id: tenant.id,
        tenant_id: Some(tenant.id),
        before: JsonText::NULL,
        after: serde_json::json!({ "name": tenant.name, "odd": "\u{0}" }).into(),
        request_id: None,
    }
}

async fn put(repository: &Repository, changes: Vec<Change>) -> Result<Revision, CommitError> {
    repository
        .commit(Commit {
            changes,
            ..Commit::default()
        })
        .await
}

async fn state(repository: &Repository) -> State {
    let loaded = repository.load(EMPTY).await.unwrap();
    assert!(
        loaded.is_complete && loaded.problems.is_empty(),
        "{:?}",
        loaded.problems
    );
    let mut state = State::default();
    state.apply(loaded.delta);
    state
}
