//! Sessions: listed, ended one by one or all, and removed.

use std::time::Duration;

use bastide_context::Call;
use bastide_store::{Call as RedisCall, Reply, Script};
use serde_json::{Value, json};

use crate::on_both;
use crate::support::{Client, Fixture, PASSWORD, World};

on_both!(
    a2_an_ended_session_is_refused_on_the_next_call_of_another_process,
    sessions_are_listed_newest_first,
    another_password_ends_the_other_sessions,
    administrators_end_sessions_of_their_tenant,
    what_is_over_is_removed_in_batches,
);

async fn ids(world: &World, client: &Client) -> Vec<Value> {
    let listed = world
        .auth("sessions", Some(&client.access), json!({}))
        .await;
    let listed = listed.good();
    listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["id"].clone())
        .collect()
}

async fn a2_an_ended_session_is_refused_on_the_next_call_of_another_process(fixture: &Fixture) {
    let world = fixture.world().await;
    let revoked = (401, "session_revoked");
    let mut clients = vec![world.ada().await];
    for _ in 0..3 {
        clients.push(world.login("acme", "ada@example.org").await);
    }
    for client in &clients {
        world.media(&client.access).await.good();
    }
    let [one, two, three, four] = &clients[..] else {
        unreachable!("four were made")
    };
    world
        .auth("logout", Some(&one.access), json!({}))
        .await
        .good();
    assert_eq!(world.media(&one.access).await.refusal(), revoked);
    assert_eq!(world.refresh(&one.refresh).await.refusal(), revoked);

    let input = json!({ "session": three.session });
    for _ in 0..2 {
        world
            .auth("revoke", Some(&two.access), input.clone())
            .await
            .good();
    }
    assert_eq!(world.media(&three.access).await.refusal(), revoked);
    world.media(&two.access).await.good();

    world
        .auth("logout_all", Some(&two.access), json!({}))
        .await
        .good();
    for client in [two, four] {
        assert_eq!(world.media(&client.access).await.refusal(), revoked);
        assert_eq!(world.refresh(&client.refresh).await.refusal(), revoked);
    }
    // Ended for good: the database knows what the registry forgets.
    world.lose(&four.session).await;
    let own = world.auth("whoami", Some(&four.access), json!({})).await;
    assert_eq!(own.refusal(), (401, "session_unknown"));
}

/// The registry is told first. Where the tables are not changed then, nothing there says that the session is over.
#[tokio::test]
async fn a2_a_session_whose_end_was_not_written_down_does_not_come_back() {
    let fixture = Fixture::postgres();
    let world = fixture.world().await;
    let client = world.ada().await;
    let Fixture::Postgres(database) = &fixture else {
        unreachable!("it was made so");
    };
    let name = database.name();
    let refuse = format!("REVOKE UPDATE ON auth_sessions FROM {name}_app");
    database.sql(&refuse).unwrap();
    let reply = world.auth("logout", Some(&client.access), json!({})).await;
    assert_eq!(reply.refusal(), (500, "internal"));
    let revoked = (401, "session_revoked");
    assert_eq!(world.media(&client.access).await.refusal(), revoked);

    let left = Script::new("return redis.call('PTTL', KEYS[1])");
    let call = RedisCall::new().key(format!("sessions:{}", client.session));
    let redis = world.store.as_redis().unwrap();
    let Reply::Int(left) = redis.run(&left, &call).await.unwrap() else {
        panic!("a number");
    };
    let could_live = world.options.refresh_lifetime.as_millis();
    let left = u128::try_from(left).unwrap();
    assert!(left > could_live - 60_000, "{left} of {could_live}");

    // The tables would say that it is under way, and are not asked.
    let allow = format!("GRANT UPDATE ON auth_sessions TO {name}_app");
    database.sql(&allow).unwrap();
    assert_eq!(world.media(&client.access).await.refusal(), revoked);
    assert_eq!(world.refresh(&client.refresh).await.refusal(), revoked);
}

async fn sessions_are_listed_newest_first(fixture: &Fixture) {
    let world = fixture.world().await;
    let first = world.ada().await;
    world.pass(Duration::from_secs(60));
    let input = json!({"tenant": "acme", "email": "ada@example.org", "password": PASSWORD, "label": "Firefox on Linux"});
    let second = Client::of(&world.auth("login", None, input.clone()).await.good());
    world.pass(Duration::from_secs(60));
    let third = world.login("acme", "ada@example.org").await;
    world.user("acme", "bob@example.org", &[]).await;
    world.login("acme", "bob@example.org").await;
    world
        .auth("logout", Some(&third.access), json!({}))
        .await
        .good();
    let second = Client::of(&world.refresh(&second.refresh).await.good());

    let listed = world
        .auth("sessions", Some(&second.access), json!({}))
        .await
        .good();
    let shown = |member: &str| -> Vec<Value> {
        listed
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one[member].clone())
            .collect()
    };
    assert_eq!(shown("id"), [json!(second.session), json!(first.session)]);
    assert_eq!(shown("isCurrent"), [json!(true), json!(false)]);
    assert_eq!(shown("label"), [json!("Firefox on Linux"), Value::Null]);
    assert_eq!(
        shown("beganAt"),
        ["2027-01-15T08:01:00Z", "2027-01-15T08:00:00Z"]
    );
    assert_eq!(
        shown("lastUsedAt"),
        ["2027-01-15T08:02:00Z", "2027-01-15T08:00:00Z"]
    );
    assert_eq!(
        shown("expiresAt"),
        ["2027-01-22T08:02:00Z", "2027-01-22T08:00:00Z"]
    );

    for label in ["x".repeat(201), "two\nlines".to_owned()] {
        let mut input = input.clone();
        input["label"] = json!(label);
        let reply = world.auth("login", None, input).await;
        assert_eq!(reply.json["errors"][0]["field"], "label");
    }
}

async fn another_password_ends_the_other_sessions(fixture: &Fixture) {
    let world = fixture.world().await;
    let (one, two) = (
        world.ada().await,
        world.login("acme", "ada@example.org").await,
    );
    let change = |current: &str, new: &str| {
        let input = json!({"current": current, "new": new});
        world.auth("change_password", Some(&one.access), input)
    };
    let short = change(PASSWORD, "short").await;
    assert_eq!(short.json["errors"][0]["field"], "new");
    let wrong = change("not the password", "another password").await;
    assert_eq!(wrong.refusal(), (401, "credentials_invalid"));
    world.media(&two.access).await.good();

    change(PASSWORD, "another password").await.good();
    world.media(&one.access).await.good();
    let revoked = (401, "session_revoked");
    assert_eq!(world.media(&two.access).await.refusal(), revoked);
    assert_eq!(world.refresh(&two.refresh).await.refusal(), revoked);
    let old = world.try_login("acme", "ada@example.org", PASSWORD).await;
    assert_eq!(old.refusal(), (401, "credentials_invalid"));
    let new = world
        .try_login("acme", "ada@example.org", "another password")
        .await;
    new.good();
    world.refresh(&one.refresh).await.good();
}

async fn administrators_end_sessions_of_their_tenant(fixture: &Fixture) {
    let world = fixture.world().await;
    let ada = world.ada().await;
    for (email, roles) in [
        ("bob@example.org", &[][..]),
        ("root@example.org", &["admin"]),
    ] {
        world.user("acme", email, roles).await;
    }
    let bob = world.login("acme", "bob@example.org").await;
    let root = world.login("acme", "root@example.org").await;
    let input = json!({ "session": ada.session });
    let refused = world.auth("revoke", Some(&bob.access), input.clone()).await;
    assert_eq!(refused.refusal(), (404, "not_found"));
    world.media(&ada.access).await.good();
    world.auth("revoke", Some(&root.access), input).await.good();
    let revoked = (401, "session_revoked");
    assert_eq!(world.media(&ada.access).await.refusal(), revoked);
    assert_eq!(ids(&world, &root).await, [json!(root.session)]);
}

async fn what_is_over_is_removed_in_batches(fixture: &Fixture) {
    let world = fixture.world().await;
    world.user("umbrella", "ada@example.org", &[]).await;
    let mut kept = world.ada().await;
    let ended = world.login("acme", "ada@example.org").await;
    world
        .auth("logout", Some(&ended.access), json!({}))
        .await
        .good();
    for _ in 0..2 {
        world.login("umbrella", "ada@example.org").await;
    }
    for _ in 0..3 {
        kept = Client::of(&world.refresh(&kept.refresh).await.good());
    }
    let rows = async || {
        let mut counts = Vec::new();
        for table in [
            "auth_sessions",
            "auth_refresh_tokens",
            "auth_session_places",
        ] {
            let sql = format!("SELECT count(*) AS n FROM {table}");
            let rows = fixture.superuser().query(&sql, &[]).await.unwrap();
            counts.push(rows[0].get::<i64>("n").unwrap());
        }
        counts
    };
    assert_eq!(rows().await, [4, 7, 4]);
    let purge = async |batch| {
        let purged = world.accounts.purge(&Call::new(), batch).await.unwrap();
        (purged.sessions, purged.tokens, purged.is_done)
    };
    assert_eq!(purge(10).await, (0, 0, true), "nothing is over");
    world.pass(Duration::from_hours(7 * 24 - 1));
    kept = Client::of(&world.refresh(&kept.refresh).await.good());
    world.pass(Duration::from_hours(2));
    let mut sum = (0, 0);
    for is_last in [false, false, false, true] {
        let (sessions, tokens, is_done) = purge(1).await;
        sum = (sum.0 + sessions, sum.1 + tokens);
        assert_eq!(is_done, is_last);
    }
    // Three sessions with a token each; and of the one that goes on the tokens that have expired.
    assert_eq!(sum, (3, 7));
    assert_eq!(rows().await, [1, 1, 1]);
    assert_eq!(purge(10).await, (0, 0, true));
    world.refresh(&kept.refresh).await.good();
    assert!(world.accounts.purge(&Call::new(), 0).await.is_err());
}
