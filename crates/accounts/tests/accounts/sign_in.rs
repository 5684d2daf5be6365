//! Registering and signing in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bastide_accounts::{AccountError, NewUser, Options, Registration, SecretText};
use bastide_auth::{Passwords, TenantId};
use bastide_context::Call;
use bastide_db::DbError;
use bastide_limit::{Policy, Rate};
use bastide_rpc::LimitRule;
use serde_json::json;

use crate::on_both;
use crate::support::{Fixture, PASSWORD, login_of, program};

on_both!(
    a1_who_knows_the_password_is_let_in_everywhere,
    a1_unknown_wrong_and_disabled_are_one_answer_after_one_check,
    a1_wrong_passwords_are_limited_for_each_account,
    an_address_has_one_account_in_a_tenant,
    strangers_register_where_it_is_open_for_them,
    an_outdated_hash_is_made_anew,
    a_password_that_changes_while_it_is_checked_lets_nobody_in,
);

async fn a1_who_knows_the_password_is_let_in_everywhere(fixture: &Fixture) {
    let world = fixture.world().await;
    let ada = world.user("acme", "ada@example.org", &["editor"]).await;
    let tokens = world
        .try_login("acme", " ADA@example.org ", PASSWORD)
        .await
        .good();
    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens["expires_in"], 15 * 60);
    assert_eq!(tokens["refresh_expires_in"], 7 * 86_400);
    let access = tokens["access_token"].as_str().unwrap();
    assert_eq!(world.media(access).await.good(), ada.id.to_string());
    let me = world.auth("whoami", Some(access), json!({})).await.good();
    assert_eq!(me["email"], "ada@example.org");
    assert_eq!(me["roles"], json!(["editor"]));
    assert_eq!(me["tenant"], "acme");
    // The access token ends first.
    world.pass(Duration::from_secs(15 * 60 + 31));
    let refusal = world.media(access).await;
    assert_eq!(refusal.refusal(), (401, "token_expired"));
}

async fn a1_unknown_wrong_and_disabled_are_one_answer_after_one_check(fixture: &Fixture) {
    let world = fixture.world().await;
    world.user("acme", "ada@example.org", &[]).await;
    let eve = world.user("acme", "eve@example.org", &[]).await;
    world
        .accounts
        .set_disabled(&program("acme"), eve.id, true)
        .await
        .unwrap();
    let mut answers = Vec::new();
    for (tenant, email, password) in [
        ("acme", "ada@example.org", "not the password"),
        ("acme", "nobody@example.org", PASSWORD),
        ("umbrella", "ada@example.org", PASSWORD),
        ("acme", "eve@example.org", PASSWORD),
        ("acme", "ada@example.org", ""),
    ] {
        let before = world.passwords.checks();
        let mut reply = world.try_login(tenant, email, password).await;
        assert_eq!(world.passwords.checks() - before, 1, "{tenant} {email}");
        assert_eq!(reply.refusal(), (401, "credentials_invalid"));
        reply.json["requestId"].take();
        answers.push(reply.json);
    }
    assert!(answers.iter().all(|one| *one == answers[0]), "{answers:?}");
    // Whoever is disabled no more is let in again.
    world
        .accounts
        .set_disabled(&program("acme"), eve.id, false)
        .await
        .unwrap();
    world.login("acme", "eve@example.org").await;
}

async fn a1_wrong_passwords_are_limited_for_each_account(fixture: &Fixture) {
    let wrong_passwords = Policy::new(Rate::Window {
        limit: 3,
        window_ms: 3_600_000,
    });
    let world = fixture
        .world_with(Options {
            wrong_passwords: wrong_passwords.unwrap(),
            ..Options::default()
        })
        .await;
    world.user("acme", "ada@example.org", &[]).await;
    world.user("acme", "bob@example.org", &[]).await;
    // Right ones do not count.
    for _ in 0..5 {
        world.login("acme", "ada@example.org").await;
    }
    for email in ["ada@example.org", "nobody@example.org"] {
        for _ in 0..3 {
            let reply = world.try_login("acme", email, "wrong").await;
            assert_eq!(reply.refusal(), (401, "credentials_invalid"));
        }
        let checks = world.passwords.checks();
        // Also in another spelling, and whether there is such an account or not.
        let shouted = email.to_uppercase();
        for (email, password) in [(email, PASSWORD), (&shouted, "wrong")] {
            let reply = world.try_login("acme", email, password).await;
            assert_eq!(reply.refusal(), (429, "too_many_attempts"));
        }
        assert_eq!(world.passwords.checks(), checks, "nothing is looked at");
    }
    world.login("acme", "bob@example.org").await;
}

#[tokio::test]
async fn a1_sign_ins_are_limited_for_each_address() {
    let fixture = Fixture::sqlite();
    let world = fixture
        .world_with(Options {
            sign_ins: LimitRule::parse("3/h").unwrap(),
            refreshes: LimitRule::parse("1/h").unwrap(),
            ..Options::default()
        })
        .await;
    // Nor does a token of one's own make somebody else of one.
    let ada = world.ada().await;
    for number in 1..5 {
        let email = format!("n{number}@example.org");
        let input = json!({"tenant": "acme", "email": email, "password": "wrong"});
        let token = (number % 2 == 0).then_some(ada.access.as_str());
        let reply = world.auth("login", token, input).await;
        let expected = if number < 3 {
            (401, "credentials_invalid")
        } else {
            (429, "rate_limited")
        };
        assert_eq!(reply.refusal(), expected);
    }
    for expected in [(401, "refresh_invalid"), (429, "rate_limited")] {
        assert_eq!(world.refresh("none").await.refusal(), expected);
    }
}

async fn an_address_has_one_account_in_a_tenant(fixture: &Fixture) {
    let world = fixture.world().await;
    world.user("acme", "ada@example.org", &[]).await;
    world.user("umbrella", "ada@example.org", &[]).await;
    let new = |email: &str, password: &str| NewUser {
        email: email.to_owned(),
        password: SecretText::from(password),
        roles: Vec::new(),
    };
    let made = |new| async {
        let made = world.accounts.create_user(&program("acme"), new).await;
        made.unwrap_err().code()
    };
    assert_eq!(made(new("Ada@Example.org", PASSWORD)).await, "email_taken");
    assert_eq!(made(new("ada", PASSWORD)).await, "validation_failed");
    assert_eq!(made(new("bob@x", "short")).await, "validation_failed");
    let long = "x".repeat(Passwords::MAX_LEN + 1);
    assert_eq!(made(new("bob@x", &long)).await, "validation_failed");
    let role = NewUser {
        roles: vec!["two words".to_owned()],
        ..new("bob@x", PASSWORD)
    };
    assert_eq!(made(role).await, "validation_failed");
}

async fn strangers_register_where_it_is_open_for_them(fixture: &Fixture) {
    let tenant = |name| TenantId::parse(name).unwrap();
    let world = fixture
        .world_with(Options {
            registration: Registration::Open(vec![tenant("acme")]),
            ..Options::default()
        })
        .await;
    let register = |tenant: &str| {
        let input = json!({"tenant": tenant, "email": "ada@example.org", "password": PASSWORD});
        world.auth("register", None, input)
    };
    let account = register("acme").await.good();
    assert_eq!(account["roles"], json!([]));
    assert_eq!(register("acme").await.refusal(), (409, "email_taken"));
    let closed = (403, "registration_closed");
    assert_eq!(register("umbrella").await.refusal(), closed);
    world.login("acme", "ada@example.org").await;
    // Nobody gives themselves a role.
    let input = json!({"tenant": "acme", "email": "eve@example.org", "password": PASSWORD, "roles": ["admin"]});
    let reply = world.auth("register", None, input).await;
    assert_eq!(reply.refusal(), (400, "validation_failed"));
}

#[tokio::test]
async fn strangers_do_not_register_unless_it_is_said() {
    let fixture = Fixture::sqlite();
    let world = fixture.world().await;
    let input = json!({"tenant": "acme", "email": "ada@example.org", "password": PASSWORD});
    let reply = world.auth("register", None, input).await;
    assert_eq!(reply.refusal(), (404, "method_not_found"));
    let new = bastide_accounts::Register {
        tenant: TenantId::parse("acme").unwrap(),
        email: "ada@example.org".to_owned(),
        password: PASSWORD.into(),
    };
    let error = world.accounts.register(&Call::new(), new).await;
    assert!(matches!(error, Err(AccountError::RegistrationClosed)));
}

async fn an_outdated_hash_is_made_anew(fixture: &Fixture) {
    let world = fixture.world().await;
    world.user("acme", "ada@example.org", &[]).await;
    let stored = async || {
        let sql = "SELECT password_hash FROM auth_users";
        let rows = fixture.superuser().query(sql, &[]).await.unwrap();
        rows[0].get::<&str>("password_hash").unwrap().to_owned()
    };
    let before = stored().await;
    world.login("acme", "ada@example.org").await;
    assert_eq!(stored().await, before, "its parameters are the ones wanted");
    // The next version of the program wants a dearer hash.
    let next = fixture.accounts(world.options.clone(), Arc::new(Passwords::new()));
    let login = async || next.login(&Call::new(), login_of("ada@example.org")).await;
    login().await.unwrap();
    let renewed = stored().await;
    assert!(renewed.starts_with("$argon2id$v=19$m=19456,"), "{renewed}");
    login().await.unwrap();
    assert_eq!(stored().await, renewed);
}

async fn a_password_that_changes_while_it_is_checked_lets_nobody_in(fixture: &Fixture) {
    let world = fixture.world().await;
    let session = world.ada().await;
    let change = json!({"current": PASSWORD, "new": "another password"});
    // Sign-ins with the old password race with its change: those that come after it get nothing, those before are ended.
    let twin = world.twin(fixture);
    let sign_ins: Vec<_> = (0..6)
        .map(|_| {
            let twin = twin.clone();
            tokio::spawn(async move { twin.login(&Call::new(), login_of("ada@example.org")).await })
        })
        .collect();
    let changed = world
        .auth("change_password", Some(&session.access), change)
        .await;
    changed.good();
    for one in sign_ins {
        match one.await.unwrap() {
            Err(error) => assert_eq!(error.code(), "credentials_invalid"),
            Ok(tokens) => {
                let refusal = world.media(tokens.access_token.expose()).await;
                assert_eq!(refusal.refusal(), (401, "session_revoked"));
            }
        }
    }
    world.media(&session.access).await.good();
}

/// The same with the moments held fast: the row is changed behind the look-up, and told of when the sign-in waits for it.
#[tokio::test]
async fn a_sign_in_reads_the_user_again_when_it_holds_the_row() {
    let fixture = Fixture::postgres();
    let world = fixture.world().await;
    let superuser = fixture.superuser();
    for (email, change) in [
        ("ada@example.org", "is_disabled = true"),
        ("bob@example.org", "password_hash = 'another'"),
    ] {
        world.user("acme", email, &[]).await;
        let accounts = world.accounts.clone();
        let done: Result<_, DbError> = superuser
            .transaction(async |tx| {
                let sql = format!("UPDATE auth_users SET {change} WHERE email = '{email}'");
                tx.execute(&sql, &[]).await?;
                let sign_in = tokio::spawn(async move {
                    accounts.login(&Call::new(), login_of(email)).await
                });
                let waiting = "SELECT 1 AS one FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
                let until = Instant::now() + Duration::from_secs(20);
                while superuser.query(waiting, &[]).await?.is_empty() {
                    assert!(Instant::now() < until, "nobody waits for the row");
                }
                Ok(sign_in)
            })
            .await;
        let error = done.unwrap().await.unwrap().unwrap_err();
        assert_eq!(error.code(), "credentials_invalid");
    }
}
