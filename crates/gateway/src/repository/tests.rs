//! The same tests over both databases.

use std::time::{Duration, Instant};

use bastide_db::{Database, values};
use bastide_testkit::{Postgres, TestFolder};
use jiff::Timestamp;
use uuid::Uuid;

use super::*;
use crate::model::{
    ApiKey, Auth, KeyHash, LoadBalancing, ManagedBy, MethodRule, PathType, RateLimit, Route, State,
    Tenant, Upstream, UpstreamUrl,
};

/// Makes two tests of each function that takes a fixture.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(&super::Fixture::Sqlite(super::TestFolder::new().unwrap())).await; })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(&super::Fixture::Postgres(super::Postgres::shared_database().unwrap())).await;
            })*
        }
    };
}

on_both!(
    what_is_committed_is_loaded,
    a_node_catches_up_by_revisions,
    versions_guard_against_lost_updates,
    deleting_a_tenant_deletes_what_is_its_own,
    names_and_live_keys_are_unique,
    a_refused_commit_changes_nothing,
    an_object_may_be_made_again,
    forgotten_deletions_ask_for_everything,
    an_older_database_asks_for_everything,
    concurrent_commits_lose_nothing,
    the_first_setting_wins,
    the_audit_log_is_paged_and_filtered,
    damaged_rows_are_reported_and_left_out,
    another_node_is_told_within_a_second,
    ten_thousand_routes_are_no_burden,
    migrations_are_known,
);

enum Fixture {
    Sqlite(TestFolder),
    Postgres(bastide_testkit::Database),
}

impl Fixture {
    async fn open(&self) -> Repository {
        let url = match self {
            Self::Sqlite(folder) => format!("sqlite:{}", folder.path().join("test.db").display()),
            Self::Postgres(database) => database.url(),
        };
        let repository = Repository::new(Database::open(&url).unwrap());
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
        before: serde_json::Value::Null,
        after: serde_json::json!({ "name": tenant.name, "odd": "\u{0}" }),
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

async fn what_is_committed_is_loaded(fixture: &Fixture) {
    let repository = fixture.open().await;
    assert_eq!(
        repository.load(EMPTY).await.unwrap().delta,
        Delta::default()
    );
    let tenant = tenant("a");
    let (key, mine, everyones) = (
        key(&tenant, 1),
        route(Some(&tenant), "/mine"),
        route(None, "/all"),
    );
    let tiers: crate::model::Tiers = [("gold".to_owned(), RateLimit::per_minute(9))]
        .into_iter()
        .collect();
    let changes = vec![
        Change::PutTiers(tiers),
        Change::PutTenant(tenant),
        Change::PutKey(key),
        Change::PutRoute(mine),
        Change::PutRoute(everyones),
    ];
    let revision = put(&repository, changes.clone()).await.unwrap();
    let loaded = fixture.open().await.load(EMPTY).await.unwrap();
    assert_eq!(loaded.delta.revision, revision);
    assert_eq!(loaded.delta.changes.len(), changes.len());
    for change in changes {
        assert!(
            loaded.delta.changes.contains(&change),
            "{change:?} is not among {:?}",
            loaded.delta.changes
        );
    }
}

async fn a_node_catches_up_by_revisions(fixture: &Fixture) {
    let repository = fixture.open().await;
    let (mut a, b) = (tenant("a"), tenant("b"));
    let first = put(
        &repository,
        vec![Change::PutTenant(a.clone()), Change::PutTenant(b.clone())],
    )
    .await
    .unwrap();
    assert!(
        repository
            .load(first)
            .await
            .unwrap()
            .delta
            .changes
            .is_empty()
    );
    (a.name, a.version) = ("c".to_owned(), 2);
    put(&repository, vec![Change::PutTenant(a.clone())])
        .await
        .unwrap();
    let last = put(&repository, vec![Change::DeleteTenant(b.id)])
        .await
        .unwrap();
    let loaded = repository.load(first).await.unwrap();
    assert!(!loaded.is_complete);
    let changes = vec![Change::DeleteTenant(b.id), Change::PutTenant(a)];
    assert_eq!(
        loaded.delta,
        Delta {
            revision: last,
            changes
        }
    );
}

async fn versions_guard_against_lost_updates(fixture: &Fixture) {
    let repository = fixture.open().await;
    let mut a = tenant("a");
    put(&repository, vec![Change::PutTenant(a.clone())])
        .await
        .unwrap();
    let again = put(&repository, vec![Change::PutTenant(a.clone())]).await;
    assert!(
        matches!(again, Err(CommitError::VersionMismatch(Entity::Tenant, id)) if id == a.id),
        "{again:?}"
    );
    a.version = 3;
    let skipped = put(&repository, vec![Change::PutTenant(a.clone())]).await;
    assert!(
        matches!(skipped, Err(CommitError::VersionMismatch(..))),
        "{skipped:?}"
    );
    a.version = 2;
    put(&repository, vec![Change::PutTenant(a.clone())])
        .await
        .unwrap();
    let mut gone = tenant("gone");
    gone.version = 2;
    let missing = put(&repository, vec![Change::PutTenant(gone.clone())]).await;
    assert!(
        matches!(missing, Err(CommitError::NotFound(Entity::Tenant, id)) if id == gone.id),
        "{missing:?}"
    );
    let missing = put(&repository, vec![Change::DeleteRoute(gone.id)]).await;
    assert!(
        matches!(missing, Err(CommitError::NotFound(Entity::Route, _))),
        "{missing:?}"
    );

    let guarded = |version| Commit {
        changes: vec![Change::DeleteTenant(a.id)],
        expect: vec![
            (Entity::Tenant, a.id, version),
            (Entity::Tiers, Uuid::nil(), 0),
        ],
        audit: Vec::new(),
    };
    let stale = repository.commit(guarded(1)).await;
    assert!(
        matches!(stale, Err(CommitError::VersionMismatch(Entity::Tenant, _))),
        "{stale:?}"
    );
    repository.commit(guarded(2)).await.unwrap();
}

async fn deleting_a_tenant_deletes_what_is_its_own(fixture: &Fixture) {
    let repository = fixture.open().await;
    let (a, b) = (tenant("a"), tenant("b"));
    let (a_key, a_route, b_route, shared) = (
        key(&a, 1),
        route(Some(&a), "/a"),
        route(Some(&b), "/b"),
        route(None, "/"),
    );
    let mut changes = vec![
        Change::PutTenant(a.clone()),
        Change::PutTenant(b),
        Change::PutKey(a_key.clone()),
    ];
    changes.extend([&a_route, &b_route, &shared].map(|route| Change::PutRoute(route.clone())));
    let before = put(&repository, changes).await.unwrap();
    put(&repository, vec![Change::DeleteTenant(a.id)])
        .await
        .unwrap();
    let delta = repository.load(before).await.unwrap().delta;
    for gone in [
        Change::DeleteTenant(a.id),
        Change::DeleteKey(a_key.id),
        Change::DeleteRoute(a_route.id),
    ] {
        assert!(delta.changes.contains(&gone), "{gone:?}");
    }
    let state = state(&repository).await;
    assert!(state.keys.is_empty());
    assert_eq!(state.routes.len(), 2);
    let orphan = put(
        &repository,
        vec![Change::PutRoute(route(Some(&a), "/late"))],
    )
    .await;
    assert!(
        matches!(orphan, Err(CommitError::NotFound(Entity::Tenant, id)) if id == a.id),
        "{orphan:?}"
    );
    let orphan = put(&repository, vec![Change::PutKey(key(&a, 9))]).await;
    assert!(
        matches!(orphan, Err(CommitError::NotFound(Entity::Tenant, id)) if id == a.id),
        "{orphan:?}"
    );
}

async fn names_and_live_keys_are_unique(fixture: &Fixture) {
    let repository = fixture.open().await;
    let (a, b) = (tenant("a"), tenant("b"));
    let mut first = key(&a, 1);
    let changes = vec![
        Change::PutTenant(a.clone()),
        Change::PutTenant(b.clone()),
        Change::PutKey(first.clone()),
    ];
    put(&repository, changes).await.unwrap();
    let mut named_alike = tenant("x");
    named_alike.name = "a".to_owned();
    let taken = put(
        &repository,
        vec![
            Change::PutTenant(tenant("y")),
            Change::PutTenant(named_alike),
        ],
    )
    .await;
    assert!(
        matches!(&taken, Err(CommitError::NameTaken(name)) if name == "a"),
        "{taken:?}"
    );
    let taken = put(&repository, vec![Change::PutKey(key(&b, 1))]).await;
    assert!(matches!(taken, Err(CommitError::KeyTaken)), "{taken:?}");
    (first.revoked_at, first.version) = (Some(now()), 2);
    put(
        &repository,
        vec![Change::PutKey(first), Change::PutKey(key(&b, 1))],
    )
    .await
    .expect("a revoked key frees its hash");
}

async fn a_refused_commit_changes_nothing(fixture: &Fixture) {
    let repository = fixture.open().await;
    let a = tenant("a");
    let revision = put(&repository, vec![Change::PutTenant(a.clone())])
        .await
        .unwrap();
    let changes = vec![
        Change::PutRoute(route(Some(&a), "/x")),
        Change::DeleteTenant(a.id),
        Change::PutTenant(a.clone()),
        Change::DeleteKey(a.id),
    ];
    let refused = repository
        .commit(Commit {
            changes,
            expect: Vec::new(),
            audit: vec![audit(&a, "delete")],
        })
        .await;
    assert!(
        matches!(refused, Err(CommitError::NotFound(Entity::Key, _))),
        "{refused:?}"
    );
    assert_eq!(state(&repository).await.revision, revision);
    assert!(
        repository
            .audit(&AuditQuery {
                limit: 10,
                ..AuditQuery::default()
            })
            .await
            .unwrap()
            .is_empty()
    );
}

async fn an_object_may_be_made_again(fixture: &Fixture) {
    let repository = fixture.open().await;
    let a = tenant("a");
    let first = put(&repository, vec![Change::PutTenant(a.clone())])
        .await
        .unwrap();
    put(&repository, vec![Change::DeleteTenant(a.id)])
        .await
        .unwrap();
    put(&repository, vec![Change::PutTenant(a.clone())])
        .await
        .unwrap();
    let changes = repository.load(first).await.unwrap().delta.changes;
    assert_eq!(
        changes,
        [Change::DeleteTenant(a.id), Change::PutTenant(a)],
        "the deletion comes first"
    );
}

async fn forgotten_deletions_ask_for_everything(fixture: &Fixture) {
    let repository = fixture.open().await;
    let (a, b) = (tenant("a"), tenant("b"));
    let first = put(
        &repository,
        vec![Change::PutTenant(a.clone()), Change::PutTenant(b.clone())],
    )
    .await
    .unwrap();
    repository
        .database()
        .execute("UPDATE gateway_revision SET revision = 30000", &[])
        .await
        .unwrap();
    put(&repository, vec![Change::DeleteTenant(a.id)])
        .await
        .unwrap();
    let loaded = repository.load(first).await.unwrap();
    assert!(loaded.is_complete);
    assert_eq!(
        loaded.delta,
        Delta {
            revision: 30_001,
            changes: vec![Change::PutTenant(b)]
        }
    );
    assert!(!repository.load(25_000).await.unwrap().is_complete);
}

async fn an_older_database_asks_for_everything(fixture: &Fixture) {
    let repository = fixture.open().await;
    let a = tenant("a");
    let revision = put(&repository, vec![Change::PutTenant(a.clone())])
        .await
        .unwrap();
    let loaded = repository.load(revision + 5).await.unwrap();
    assert!(loaded.is_complete);
    assert_eq!(
        loaded.delta,
        Delta {
            revision,
            changes: vec![Change::PutTenant(a)]
        }
    );
}

async fn concurrent_commits_lose_nothing(fixture: &Fixture) {
    const EACH: usize = 40;
    let reader = fixture.open().await;
    let writers = [fixture.open().await, fixture.open().await]
        .into_iter()
        .enumerate()
        .map(|(node, repository)| {
            tokio::spawn(async move {
                let mut revisions = Vec::new();
                for count in 0..EACH {
                    let change = Change::PutTenant(tenant(&format!("{node}-{count}")));
                    revisions.push(put(&repository, vec![change]).await.unwrap());
                }
                revisions
            })
        });
    let writers: Vec<_> = writers.collect();
    // A node that follows meanwhile must end up with every one of them: none may appear below a revision that it has seen.
    let mut followed = State::default();
    while followed.tenants.len() < 2 * EACH {
        let before = followed.revision;
        followed.apply(reader.load(followed.revision).await.unwrap().delta);
        let is_over = writers.iter().all(tokio::task::JoinHandle::is_finished);
        assert!(
            !is_over || followed.revision > before || followed.tenants.len() == 2 * EACH,
            "a commit was missed"
        );
    }
    let mut revisions = Vec::new();
    for writer in writers {
        revisions.extend(writer.await.unwrap());
    }
    revisions.sort_unstable();
    assert_eq!(
        revisions,
        (1..=2 * EACH as i64).collect::<Vec<_>>(),
        "each revision once"
    );
}

async fn the_first_setting_wins(fixture: &Fixture) {
    let (one, two) = (fixture.open().await, fixture.open().await);
    assert_eq!(one.setting("pepper").await.unwrap(), None);
    let (a, b) = tokio::join!(
        one.setting_or_insert("pepper", "1"),
        two.setting_or_insert("pepper", "2")
    );
    assert_eq!(a.unwrap(), b.unwrap());
    let kept = one.setting("pepper").await.unwrap().unwrap();
    assert_eq!(two.setting_or_insert("pepper", "3").await.unwrap(), kept);
}

async fn the_audit_log_is_paged_and_filtered(fixture: &Fixture) {
    let repository = fixture.open().await;
    let (a, b) = (tenant("a"), tenant("b"));
    let entries: Vec<_> = (0..5)
        .map(|n| audit(if n == 2 { &b } else { &a }, &format!("{n}")))
        .collect();
    repository
        .commit(Commit {
            audit: entries.clone(),
            ..Commit::default()
        })
        .await
        .unwrap();
    let page = |query: AuditQuery| {
        let repository = repository.clone();
        async move { repository.audit(&query).await.unwrap() }
    };
    let newest = page(AuditQuery {
        limit: 2,
        ..AuditQuery::default()
    })
    .await;
    assert_eq!(newest, [entries[4].clone(), entries[3].clone()]);
    let older = page(AuditQuery {
        limit: 9,
        before: Some(newest[1].id),
        ..AuditQuery::default()
    })
    .await;
    assert_eq!(
        older,
        [entries[2].clone(), entries[1].clone(), entries[0].clone()]
    );
    let of_b = page(AuditQuery {
        limit: 9,
        tenant_id: Some(b.id),
        ..AuditQuery::default()
    })
    .await;
    assert_eq!(of_b, [entries[2].clone()]);
    let of_routes = page(AuditQuery {
        limit: 9,
        entity: Some(Entity::Route),
        ..AuditQuery::default()
    })
    .await;
    assert!(of_routes.is_empty());
    assert_eq!(
        page(AuditQuery {
            limit: 9,
            entity_id: Some(a.id),
            ..AuditQuery::default()
        })
        .await
        .len(),
        4
    );
}

async fn damaged_rows_are_reported_and_left_out(fixture: &Fixture) {
    let repository = fixture.open().await;
    let (a, b, c) = (tenant("a"), tenant("b"), tenant("c"));
    let (good, bad, worse) = (
        route(Some(&a), "/a"),
        route(Some(&a), "/b"),
        route(Some(&a), "/c"),
    );
    let bad_key = key(&a, 1);
    let mut changes: Vec<_> = [&a, &b, &c]
        .map(|tenant| Change::PutTenant(tenant.clone()))
        .into();
    changes.extend([&good, &bad, &worse].map(|route| Change::PutRoute(route.clone())));
    changes.push(Change::PutKey(bad_key.clone()));
    put(&repository, changes).await.unwrap();
    for (sql, id) in [
        (
            "UPDATE gateway_tenants SET managed_by = 'me' WHERE id = $1",
            b.id,
        ),
        (
            "UPDATE gateway_tenants SET rate_limit = '{\"requestsPerSecond\": -1}' WHERE id = $1",
            c.id,
        ),
        (
            "UPDATE gateway_routes SET definition = '{\"path\": 7}' WHERE id = $1",
            bad.id,
        ),
        (
            "UPDATE gateway_routes SET definition = '[]' WHERE id = $1",
            worse.id,
        ),
        (
            "UPDATE gateway_keys SET hash = 'plain', created_at = 'infinity' WHERE id = $1",
            bad_key.id,
        ),
    ] {
        assert_eq!(
            repository
                .database()
                .execute(sql, &values![id])
                .await
                .unwrap(),
            1
        );
    }
    let loaded = repository.load(EMPTY).await.unwrap();
    assert_eq!(
        loaded.delta.changes,
        [Change::PutTenant(a), Change::PutRoute(good)]
    );
    let reported: Vec<_> = loaded
        .problems
        .iter()
        .map(|problem| problem.id.clone())
        .collect();
    for id in [b.id, c.id, bad.id, worse.id, bad_key.id] {
        assert!(
            reported.contains(&id.to_string()),
            "{id} is not among {:?}",
            loaded.problems
        );
    }
    let message = loaded
        .problems
        .iter()
        .find(|problem| problem.id == b.id.to_string())
        .unwrap()
        .to_string();
    assert!(
        message
            .contains("gateway_tenants: column `managed_by`: expected `api` or `file`, found `me`"),
        "{message}"
    );
}

async fn another_node_is_told_within_a_second(fixture: &Fixture) {
    let (here, there) = (fixture.open().await, fixture.open().await);
    let mut changes = here.changes();
    changes.changed().await;
    let revision = put(&there, vec![Change::PutTenant(tenant("a"))])
        .await
        .unwrap();
    let arrives = async {
        while here.load(EMPTY).await.unwrap().delta.revision < revision {
            changes.changed().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(1), arrives)
        .await
        .expect("within a second");
}

async fn ten_thousand_routes_are_no_burden(fixture: &Fixture) {
    let repository = fixture.open().await;
    let a = tenant("a");
    let mut changes = vec![Change::PutTenant(a.clone())];
    changes.extend((0..10_000).map(|n| Change::PutRoute(route(Some(&a), &format!("/r/{n}")))));
    let started = Instant::now();
    let revision = put(&repository, changes).await.unwrap();
    let committed = started.elapsed();
    let started = Instant::now();
    assert_eq!(
        repository.load(EMPTY).await.unwrap().delta.changes.len(),
        10_001
    );
    let loaded = started.elapsed();
    let started = Instant::now();
    put(
        &repository,
        vec![Change::PutRoute(route(Some(&a), "/one-more"))],
    )
    .await
    .unwrap();
    let one = started.elapsed();
    let started = Instant::now();
    assert_eq!(
        repository.load(revision).await.unwrap().delta.changes.len(),
        1
    );
    let caught_up = started.elapsed();
    println!(
        "10 000 routes: committed in {committed:?}, loaded in {loaded:?}; one more in {one:?}, caught up in {caught_up:?}"
    );
    assert!(
        loaded < Duration::from_secs(5)
            && one < Duration::from_secs(1)
            && caught_up < Duration::from_secs(1)
    );
}

async fn migrations_are_known(fixture: &Fixture) {
    let repository = fixture.open().await;
    assert_eq!(repository.pending_migrations().await.unwrap(), 0);
    assert!(
        repository
            .migration_status()
            .await
            .unwrap()
            .iter()
            .all(|step| step.is_applied)
    );
    assert!(repository.migrate().await.unwrap().is_empty());
}
