//! Refresh tokens: each works once, and a second use ends what came of it.

use std::time::Duration;

use bastide_accounts::Options;
use bastide_config::Secret;
use bastide_context::Call;
use serde_json::json;

use crate::on_both;
use crate::support::{Client, Fixture, client_of, program};

on_both!(
    a4_a_refresh_ends_the_tokens_before_it_on_the_next_call_of_another_process,
    a1_a_second_use_ends_the_family_and_its_session,
    a1_of_two_refreshes_at_once_one_wins,
    a1_within_the_grace_a_lost_answer_is_given_again,
    a1_within_the_grace_refreshes_at_once_leave_one_active_token,
    a1_a_session_lives_as_long_as_it_is_refreshed,
    a_refresh_reads_the_user_anew,
    what_is_no_refresh_token_is_refused,
);

const HOUR: Duration = Duration::from_hours(1);

async fn a4_a_refresh_ends_the_tokens_before_it_on_the_next_call_of_another_process(
    fixture: &Fixture,
) {
    let world = fixture.world().await;
    let first = world.ada().await;
    world.media(&first.access).await.good();
    let second = Client::of(&world.refresh(&first.refresh).await.good());
    assert_eq!(second.session, first.session);
    let superseded = (401, "token_superseded");
    assert_eq!(world.media(&first.access).await.refusal(), superseded);
    let own = world.auth("whoami", Some(&first.access), json!({})).await;
    assert_eq!(own.refusal(), superseded);
    world.media(&second.access).await.good();
    let third = Client::of(&world.refresh(&second.refresh).await.good());
    assert_eq!(world.media(&second.access).await.refusal(), superseded);
    world.media(&third.access).await.good();
}

async fn a1_a_second_use_ends_the_family_and_its_session(fixture: &Fixture) {
    let world = fixture.world().await;
    let stolen = world.ada().await;
    let other = world.login("acme", "ada@example.org").await;
    let second = Client::of(&world.refresh(&stolen.refresh).await.good());
    let third = Client::of(&world.refresh(&second.refresh).await.good());
    world.media(&third.access).await.good();

    let reused = world.refresh(&stolen.refresh).await;
    assert_eq!(reused.refusal(), (401, "refresh_reused"));
    let revoked = (401, "session_revoked");
    assert_eq!(world.media(&third.access).await.refusal(), revoked);
    for refresh in [&third.refresh, &second.refresh, &stolen.refresh] {
        assert_eq!(world.refresh(refresh).await.refusal(), revoked);
    }
    // It is over for good, also when the registry has forgotten it.
    world.lose(&third.session).await;
    let own = world.auth("whoami", Some(&third.access), json!({})).await;
    assert_eq!(own.refusal(), (401, "session_unknown"));
    // Another session of the user is none of its family.
    world.media(&other.access).await.good();
    world.refresh(&other.refresh).await.good();
}

async fn a1_of_two_refreshes_at_once_one_wins(fixture: &Fixture) {
    let world = fixture.world().await;
    world.user("acme", "ada@example.org", &[]).await;
    let twin = world.twin(fixture);
    for _ in 0..8 {
        let client = world.login("acme", "ada@example.org").await;
        let refresh = |accounts: &bastide_accounts::Accounts| {
            let (accounts, token) = (accounts.clone(), Secret::new(client.refresh.as_str()));
            tokio::spawn(async move { accounts.refresh(&Call::new(), &token).await })
        };
        let tries = [refresh(&world.accounts), refresh(&twin)];
        let mut codes = Vec::new();
        for one in tries {
            let result = one.await.unwrap();
            codes.push(result.map_or_else(|error| error.code(), |_| "won"));
        }
        codes.sort_unstable();
        // Who comes second has used it again, which ends what the first got.
        assert_eq!(codes, ["refresh_reused", "won"]);
        let refusal = world.media(&client.access).await;
        assert_eq!(refusal.refusal(), (401, "session_revoked"));
    }
}

async fn a1_within_the_grace_a_lost_answer_is_given_again(fixture: &Fixture) {
    let world = fixture
        .world_with(Options {
            reuse_grace: Duration::from_secs(10),
            ..Options::default()
        })
        .await;
    let first = world.ada().await;
    let lost = Client::of(&world.refresh(&first.refresh).await.good());
    world.pass(Duration::from_secs(9));
    let again = Client::of(&world.refresh(&first.refresh).await.good());
    world.media(&again.access).await.good();
    // There is one active token, the last one.
    let superseded = (401, "token_superseded");
    assert_eq!(world.media(&lost.access).await.refusal(), superseded);
    // The grace is counted from the first use, not from the last.
    world.pass(Duration::from_secs(1));
    let late = world.refresh(&first.refresh).await;
    assert_eq!(late.refusal(), (401, "refresh_reused"));
    let revoked = (401, "session_revoked");
    assert_eq!(world.media(&again.access).await.refusal(), revoked);
}

async fn a1_within_the_grace_refreshes_at_once_leave_one_active_token(fixture: &Fixture) {
    let world = fixture
        .world_with(Options {
            reuse_grace: Duration::from_secs(10),
            ..Options::default()
        })
        .await;
    let first = world.ada().await;
    let twin = world.twin(fixture);
    let tries: Vec<_> = (0..6)
        .map(|number| {
            let accounts = if number % 2 == 0 {
                &world.accounts
            } else {
                &twin
            };
            let (accounts, token) = (accounts.clone(), Secret::new(first.refresh.as_str()));
            tokio::spawn(async move { accounts.refresh(&Call::new(), &token).await })
        })
        .collect();
    let mut active = Vec::new();
    for one in tries {
        let client = client_of(&one.await.unwrap().unwrap());
        if world.media(&client.access).await.status == 200 {
            active.push(client);
        }
    }
    // Asked while others were under way, one may have been active that is not any more.
    let mut left = Vec::new();
    for client in active {
        if world.media(&client.access).await.status == 200 {
            left.push(client);
        }
    }
    assert_eq!(left.len(), 1, "registry and database agree on one");
    world.pass(Duration::from_secs(60));
    world.refresh(&left[0].refresh).await.good();
}

async fn a1_a_session_lives_as_long_as_it_is_refreshed(fixture: &Fixture) {
    let world = fixture.world().await;
    let mut client = world.ada().await;
    for _ in 0..3 {
        world.pass(HOUR * 100);
        client = Client::of(&world.refresh(&client.refresh).await.good());
        world.media(&client.access).await.good();
    }
    world.pass(HOUR * 24 * 7);
    let late = world.refresh(&client.refresh).await;
    assert_eq!(late.refusal(), (401, "refresh_expired"));
}

async fn a_refresh_reads_the_user_anew(fixture: &Fixture) {
    let world = fixture.world().await;
    let client = world.ada().await;
    let roles = "UPDATE auth_users SET roles = '[\"editor\",\"admin\"]'";
    fixture.superuser().execute(roles, &[]).await.unwrap();
    let client = Client::of(&world.refresh(&client.refresh).await.good());
    // What the role opens is open now.
    let input = json!({"email": "bob@example.org", "password": "a password to begin with"});
    let made = world.auth("create_user", Some(&client.access), input).await;
    let bob = made.good()["id"].clone();
    let input = json!({"user": bob, "isDisabled": true});
    world
        .auth("set_disabled", Some(&client.access), input)
        .await
        .good();
    // A disabled user's session is over.
    let me = world.auth("whoami", Some(&client.access), json!({})).await;
    let me = me.good()["id"].as_str().unwrap().parse().unwrap();
    let ended = world
        .accounts
        .set_disabled(&program("acme"), me, true)
        .await;
    assert!(ended.unwrap().is_disabled);
    let revoked = (401, "session_revoked");
    assert_eq!(world.media(&client.access).await.refusal(), revoked);
    assert_eq!(world.refresh(&client.refresh).await.refusal(), revoked);
}

async fn what_is_no_refresh_token_is_refused(fixture: &Fixture) {
    let world = fixture.world().await;
    let client = world.ada().await;
    let mut parts: Vec<&str> = client.refresh.split('~').collect();
    let other_secret = [parts[0], parts[1], &"A".repeat(43)].join("~");
    parts[0] = "umbrella";
    let other_tenant = parts.join("~");
    let longer = format!("{}A", client.refresh);
    for bad in [
        "",
        "x",
        &client.access,
        &other_secret,
        &other_tenant,
        &longer,
    ] {
        let reply = world.refresh(bad).await;
        assert_eq!(reply.refusal(), (401, "refresh_invalid"), "{bad}");
    }
    // None of it was taken for a second use.
    world.media(&client.access).await.good();
    world.refresh(&client.refresh).await.good();
}
