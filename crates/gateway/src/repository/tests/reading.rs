//! What a node learns, and what it costs.

use std::time::{Duration, Instant};

use bastide_db::values;

use super::*;

on_both!(
    what_is_committed_is_loaded,
    a_node_catches_up_by_revisions,
    an_object_may_be_made_again,
    forgotten_deletions_ask_for_everything,
    an_older_database_asks_for_everything,
    the_audit_log_is_paged_and_filtered,
    damaged_rows_are_reported_and_left_out,
    another_node_is_told_within_a_second,
    ten_thousand_routes_are_no_burden,
);

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
