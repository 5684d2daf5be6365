//! What a commit does and refuses.

use super::*;

on_both!(
    versions_guard_against_lost_updates,
    deleting_a_tenant_deletes_what_is_its_own,
    names_and_live_keys_are_unique,
    a_refused_commit_changes_nothing,
    concurrent_commits_lose_nothing,
    the_first_setting_wins,
    migrations_are_known,
    keys_that_were_rotated_before_get_their_successor_from_the_audit_log,
);

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
        // Asked first: what is written before the look must be seen by it.
        let is_over = writers.iter().all(tokio::task::JoinHandle::is_finished);
        followed.apply(reader.load(followed.revision).await.unwrap().delta);
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

async fn keys_that_were_rotated_before_get_their_successor_from_the_audit_log(fixture: &Fixture) {
    let database = Database::open(&fixture.url()).unwrap();
    let before = Migrations {
        component: MIGRATIONS.component,
        steps: &MIGRATIONS.steps[..2],
    };
    before.migrate(&database).await.unwrap();
    let repository = Repository::new(database);
    let owner = tenant("a");
    let [mut old, first, second, other] = [1, 2, 3, 4].map(|byte| key(&owner, byte));
    let note = |action: &str, key: &ApiKey| Audit {
        entity: Entity::Key,
        entity_id: key.id,
        ..audit(&owner, action)
    };
    let made = Commit {
        changes: vec![
            Change::PutTenant(owner.clone()),
            Change::PutKey(old.clone()),
            Change::PutKey(other.clone()),
        ],
        audit: vec![
            audit(&owner, "create"),
            note("create", &old),
            note("create", &other),
        ],
        ..Commit::default()
    };
    repository.commit(made).await.unwrap();
    for successor in [&first, &second] {
        old.version += 1;
        let rotated = Commit {
            changes: vec![
                Change::PutKey(old.clone()),
                Change::PutKey(successor.clone()),
            ],
            audit: vec![note("rotate", &old), note("create", successor)],
            ..Commit::default()
        };
        repository.commit(rotated).await.unwrap();
    }
    repository.migrate().await.unwrap();
    let keys = state(&repository).await.keys;
    assert_eq!(keys[&old.id].replaced_by, Some(second.id));
    for key in [first, second, other] {
        assert_eq!(keys[&key.id].replaced_by, None);
    }
}

/// A change that was written and cannot be read back from the database is taken from its text.
#[test]
fn every_change_reads_back_from_its_text() {
    let tenant = tenant("a");
    let mut full = route(Some(&tenant), "/a");
    full.transform = Some(Box::default());
    full.resilience = Some(Box::default());
    let changes = vec![
        Change::DeleteTenant(tenant.id),
        Change::DeleteKey(tenant.id),
        Change::DeleteRoute(tenant.id),
        Change::PutTiers(RateLimit::default_tiers()),
        Change::PutKey(key(&tenant, 7)),
        Change::PutRoute(route(None, "/b")),
        Change::PutRoute(full),
        Change::PutTenant(tenant),
    ];
    let text = serde_json::to_vec(&changes).unwrap();
    assert_eq!(
        serde_json::from_slice::<Vec<Change>>(&text).unwrap(),
        changes
    );
}
