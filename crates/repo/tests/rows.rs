//! Rows are written and read the same way on both databases.

#![allow(clippy::unwrap_used, reason = "a failed test")]

mod support;

use bastide_repo::{Filter, RepoError, Timestamp, Uuid};

use support::{Fixture, Post, Repos, Team, TeamPatch, User, UserPatch, team, tenant, user};

on_both!(
    a_row_comes_back_as_it_went,
    a_patch_changes_what_it_has,
    what_is_not_there_is_not_found,
    conflicts_name_the_field,
    references_stay_within_the_tenant,
    many_rows_go_in_together_or_not_at_all,
    an_upsert_adds_or_changes,
    what_databases_cannot_keep_is_refused_on_both,
    shared_rows_need_no_tenant,
);

async fn a_row_comes_back_as_it_went(fixture: &Fixture) {
    let (repos, cx) = (Repos::new(fixture).await, tenant("a"));
    let before = Timestamp::now();
    let inserted = repos.users.insert(&cx, user("ada@x")).await.unwrap();
    assert_eq!((inserted.version, inserted.deleted_at), (1, None));
    assert!(inserted.created_at.as_microsecond() >= before.as_microsecond());
    let found = repos.users.find(&cx, inserted.id).await.unwrap().unwrap();
    assert_eq!(found, inserted);
    let changed = User {
        name: "Ada".into(),
        age: Some(36),
        ..found
    };
    let updated = repos.users.update(&cx, changed).await.unwrap();
    assert_eq!((updated.version, updated.age), (2, Some(36)));
    assert!(updated.updated_at > inserted.updated_at);
    assert_eq!(updated.created_at, inserted.created_at);
    assert_eq!(
        repos.users.find(&cx, updated.id).await.unwrap(),
        Some(updated)
    );
    assert_eq!(repos.users.count(&cx, Filter::all()).await.unwrap(), 1);
    assert!(repos.users.exists(&cx, User::AGE.eq(36)).await.unwrap());
    assert!(!repos.users.exists(&cx, User::AGE.eq(37)).await.unwrap());
}

async fn a_patch_changes_what_it_has(fixture: &Fixture) {
    let (repos, cx) = (Repos::new(fixture).await, tenant("a"));
    let ada = User {
        age: Some(36),
        ..user("ada@x")
    };
    let ada = repos.users.insert(&cx, ada).await.unwrap();
    let patch: UserPatch = serde_json::from_str(r#"{"age": null}"#).unwrap();
    let patched = repos.users.patch(&cx, ada.id, patch).await.unwrap();
    assert_eq!((patched.age, patched.name.as_str()), (None, "ada"));
    let same = repos
        .users
        .patch(&cx, ada.id, UserPatch::default())
        .await
        .unwrap();
    assert_eq!(same, patched, "nothing was written");
    for wrong in [
        r#"{"id": "x"}"#,
        r#"{"version": 7}"#,
        r#"{"name": null}"#,
        r#"{"tenant_id": "b"}"#,
    ] {
        assert!(serde_json::from_str::<UserPatch>(wrong).is_err(), "{wrong}");
    }
    let at = |version| {
        let patch = UserPatch {
            name: Some("Ada".into()),
            ..UserPatch::default()
        };
        repos.users.patch_version(&cx, ada.id, version, patch)
    };
    assert_eq!(at(1).await.unwrap_err().code(), "stale_version");
    assert_eq!(at(2).await.unwrap().version, 3);
}

async fn what_is_not_there_is_not_found(fixture: &Fixture) {
    let (repos, cx) = (Repos::new(fixture).await, tenant("a"));
    let nobody = Uuid::now_v7();
    let patch = TeamPatch {
        name: Some("x".into()),
    };
    let ghost = Team {
        id: nobody,
        name: "x".into(),
    };
    assert_eq!(repos.teams.find(&cx, nobody).await.unwrap(), None);
    for error in [
        repos.teams.delete(&cx, nobody).await.unwrap_err(),
        repos.teams.patch(&cx, nobody, patch).await.unwrap_err(),
        repos
            .teams
            .patch(&cx, nobody, TeamPatch::default())
            .await
            .unwrap_err(),
        repos.teams.update(&cx, ghost).await.unwrap_err(),
        repos.users.update(&cx, user("x")).await.unwrap_err(),
        repos.users.restore(&cx, nobody).await.unwrap_err(),
    ] {
        assert_eq!(error.code(), "not_found", "{error}");
    }
}

async fn conflicts_name_the_field(fixture: &Fixture) {
    let (repos, cx) = (Repos::new(fixture).await, tenant("a"));
    let ada = repos.users.insert(&cx, user("ada@x")).await.unwrap();
    let field = |error| match error {
        RepoError::Conflict { table, field } => (table, field),
        other => panic!("{other:?}"),
    };
    let same_email = repos.users.insert(&cx, user("ada@x")).await.unwrap_err();
    assert_eq!(field(same_email), ("users", "email".to_owned()));
    let same_id = User {
        id: ada.id,
        ..user("bob@x")
    };
    let same_id = repos.users.insert(&cx, same_id).await.unwrap_err();
    assert_eq!(field(same_id), ("users", "id".to_owned()));
    let moved = TeamPatch {
        name: Some("one".into()),
    };
    repos.teams.insert(&cx, team("one")).await.unwrap();
    let two = repos.teams.insert(&cx, team("two")).await.unwrap();
    let taken = repos.teams.patch(&cx, two.id, moved).await.unwrap_err();
    assert_eq!(field(taken), ("teams", "name".to_owned()));
}

async fn references_stay_within_the_tenant(fixture: &Fixture) {
    let (repos, a, b) = (Repos::new(fixture).await, tenant("a"), tenant("b"));
    let team = repos.teams.insert(&a, team("one")).await.unwrap();
    let member = |email| User {
        team_id: Some(team.id),
        ..user(email)
    };
    repos.users.insert(&a, member("ada@x")).await.unwrap();
    let foreign = repos.users.insert(&b, member("eve@x")).await.unwrap_err();
    assert_eq!(foreign.code(), "reference", "{foreign}");
    let in_use = repos.teams.delete(&a, team.id).await.unwrap_err();
    assert_eq!(in_use.code(), "reference", "{in_use}");
}

async fn many_rows_go_in_together_or_not_at_all(fixture: &Fixture) {
    let (repos, cx) = (Repos::new(fixture).await, tenant("a"));
    let emails: Vec<String> = (0..300).map(|n| format!("u{n}@x")).collect();
    let users = emails.iter().map(|email| user(email));
    repos.users.insert_many(&cx, users).await.unwrap();
    assert_eq!(repos.users.count(&cx, Filter::all()).await.unwrap(), 300);
    let failing = ["new@x", "u7@x", "newer@x"].map(user);
    let error = repos.users.insert_many(&cx, failing).await.unwrap_err();
    assert_eq!(error.code(), "conflict", "{error}");
    assert_eq!(repos.users.count(&cx, Filter::all()).await.unwrap(), 300);
    repos.users.insert_many(&cx, []).await.unwrap();
}

async fn an_upsert_adds_or_changes(fixture: &Fixture) {
    let (repos, cx) = (Repos::new(fixture).await, tenant("a"));
    let first = repos
        .users
        .upsert(&cx, user("ada@x"), User::EMAIL)
        .await
        .unwrap();
    let again = User {
        name: "Ada".into(),
        ..user("ada@x")
    };
    let second = repos
        .users
        .upsert(&cx, again.clone(), User::EMAIL)
        .await
        .unwrap();
    assert_eq!(second.id, first.id, "it keeps its id");
    assert_eq!((second.name.as_str(), second.version), ("Ada", 2));
    assert_eq!(second.created_at, first.created_at);
    let no_key = repos
        .users
        .upsert(&cx, again.clone(), User::NAME)
        .await
        .unwrap_err();
    assert_eq!(no_key.code(), "invalid", "{no_key}");
    // What is deleted is not in the way by its unique field, and is not brought back by its id.
    repos.users.delete(&cx, first.id).await.unwrap();
    let third = repos.users.upsert(&cx, again, User::EMAIL).await.unwrap();
    assert_ne!(third.id, first.id);
    let by_id = User {
        id: first.id,
        ..user("new@x")
    };
    let deleted = repos.users.upsert(&cx, by_id, User::ID).await.unwrap_err();
    assert_eq!(deleted.code(), "conflict", "{deleted}");
}

async fn what_databases_cannot_keep_is_refused_on_both(fixture: &Fixture) {
    let (repos, cx) = (Repos::new(fixture).await, tenant("a"));
    let error = repos.teams.insert(&cx, team("a\0b")).await.unwrap_err();
    assert_eq!(error.code(), "invalid", "{error}");
    let ids = (0..40_000).map(|_| Uuid::now_v7());
    let error = repos.teams.count(&cx, Team::ID.in_(ids)).await.unwrap_err();
    assert_eq!(error.code(), "invalid", "{error}");
    let post = Post {
        id: Uuid::now_v7(),
        author_id: Uuid::now_v7(),
        title: "x".into(),
    };
    let error = repos.posts.insert(&cx, post).await.unwrap_err();
    assert_eq!(error.code(), "reference", "{error}");
}

async fn shared_rows_need_no_tenant(fixture: &Fixture) {
    use bastide_context::{Call, Cx, Public};
    let db = fixture.db().await;
    let countries = db.repo::<support::Country>();
    let anybody: Cx<Public> = Cx::enter(Call::new(), None).unwrap();
    let country = support::Country {
        id: "uz".into(),
        name: "Uzbekistan".into(),
    };
    countries.insert(&anybody, country.clone()).await.unwrap();
    let found = countries.find(&tenant("b"), "uz".to_owned()).await.unwrap();
    assert_eq!(found, Some(country));
}
