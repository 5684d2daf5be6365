//! The registry in the shared store, cold or away, and who fills it.

use std::time::{Duration, Instant};

use bastide_accounts::RemoteSessions;
use bastide_auth::Sessions;
use bastide_store::{RedisOptions, RedisUrl, Store};
use bastide_testkit::{Redis, TestFolder};
use serde_json::{Value, json};

use crate::on_both;
use crate::support::{Client, Fixture, SERVICE_KEY, media, secret, serve, verifier};

on_both!(
    a3_a_cold_registry_is_warmed_by_the_auth_app,
    a3_other_apps_ask_the_auth_app,
    a3_a_session_that_was_lost_is_refreshed,
    a3_only_services_may_ask,
);

async fn a3_a_cold_registry_is_warmed_by_the_auth_app(fixture: &Fixture) {
    let world = fixture.world().await;
    let old = world.ada().await;
    let client = Client::of(&world.refresh(&old.refresh).await.good());
    world.lose(&client.session).await;
    // An app that cannot ask knows nothing until somebody calls the auth app.
    let unknown = (401, "session_unknown");
    assert_eq!(world.media(&client.access).await.refusal(), unknown);
    world
        .auth("whoami", Some(&client.access), json!({}))
        .await
        .good();
    world.media(&client.access).await.good();
    // The binding has come back with it.
    let superseded = (401, "token_superseded");
    assert_eq!(world.media(&old.access).await.refusal(), superseded);
}

async fn a3_other_apps_ask_the_auth_app(fixture: &Fixture) {
    let mut world = fixture.world().await;
    let client = world.ada().await;
    let folder = TestFolder::new().unwrap();
    let socket = folder.path().join("auth.sock");
    world.auth.server.listen_unix(&socket).unwrap();
    let (key, url) = (
        secret(SERVICE_KEY),
        format!("http://{}", world.auth.address),
    );
    for lookup in [
        RemoteSessions::http(&url, &key).unwrap(),
        RemoteSessions::unix(&socket, &key).unwrap(),
    ] {
        let registry = Sessions::new(&fixture.store()).clock(world.clock.clone());
        world.media = serve(media(), verifier(registry.lookup(lookup), &world.clock)).await;
        world.lose(&client.session).await;
        world.media(&client.access).await.good();
    }
    // What is over stays over.
    world
        .auth("logout", Some(&client.access), json!({}))
        .await
        .good();
    world.lose(&client.session).await;
    let unknown = (401, "session_unknown");
    assert_eq!(world.media(&client.access).await.refusal(), unknown);
    // Who cannot find out lets nobody in.
    let client = world.login("acme", "ada@example.org").await;
    let other_key = secret("sk_ffffffffffffffffffffffffffffffff");
    for lookup in [
        RemoteSessions::http(&url, &other_key).unwrap(),
        RemoteSessions::unix(folder.path().join("none.sock"), &key).unwrap(),
    ] {
        let registry = Sessions::new(&fixture.store()).clock(world.clock.clone());
        world.media = serve(media(), verifier(registry.lookup(lookup), &world.clock)).await;
        world.media(&client.access).await.good();
        world.lose(&client.session).await;
        let refusal = world.media(&client.access).await;
        assert_eq!(refusal.refusal(), (503, "auth_unavailable"));
        world
            .auth("whoami", Some(&client.access), json!({}))
            .await
            .good();
    }
}

async fn a3_a_session_that_was_lost_is_refreshed(fixture: &Fixture) {
    let world = fixture.world().await;
    let client = world.ada().await;
    world.lose(&client.session).await;
    let client = Client::of(&world.refresh(&client.refresh).await.good());
    world.media(&client.access).await.good();
}

/// What the registry does not take has not happened: the refresh token still works when the store is back, empty.
#[tokio::test]
async fn a2_nothing_is_handed_out_that_the_registry_does_not_know() {
    let mut redis = Redis::start().unwrap();
    let options = RedisOptions {
        response_timeout: Duration::from_millis(300),
        ..RedisOptions::default()
    };
    let store = Store::redis(&RedisUrl::parse(&redis.url()).unwrap(), options).unwrap();
    let fixture = Fixture::Sqlite(TestFolder::new().unwrap(), Box::new(store));
    let world = fixture.world().await;
    let client = world.ada().await;
    redis.kill();
    let away = (503, "accounts_unavailable");
    let login = world
        .try_login("acme", "ada@example.org", crate::support::PASSWORD)
        .await;
    assert_eq!(login.refusal(), away);
    assert_eq!(world.refresh(&client.refresh).await.refusal(), away);
    let sql = "SELECT count(*) AS n FROM auth_refresh_tokens";
    let rows = fixture.superuser().query(sql, &[]).await.unwrap();
    assert_eq!(rows[0].get::<i64>("n").unwrap(), 1);
    redis.restart().unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    let client = loop {
        let reply = world.refresh(&client.refresh).await;
        if reply.refusal() != away {
            break Client::of(&reply.good());
        }
        assert!(Instant::now() < until, "the store is back");
    };
    world.media(&client.access).await.good();
    let listed = world.auth("sessions", Some(&client.access), json!({}));
    assert_eq!(listed.await.good().as_array().unwrap().len(), 1);
}

async fn a3_only_services_may_ask(fixture: &Fixture) {
    let world = fixture.world().await;
    world.user("acme", "root@example.org", &["admin"]).await;
    let root = world.login("acme", "root@example.org").await;
    let input = json!({ "id": root.session });
    let refused = world
        .auth("session", Some(&root.access), input.clone())
        .await;
    assert_eq!(refused.refusal(), (403, "service_required"));
    let refused = world.auth("session", None, input.clone()).await;
    assert_eq!(refused.refusal(), (401, "token_missing"));
    let asked = async |id: &str| {
        let fields = [("x-service-key", SERVICE_KEY)];
        let path = "/rpc/auth@1.0.0/session";
        let reply = world
            .post(world.auth.address, path, &fields, &json!({ "id": id }))
            .await;
        reply.good()
    };
    let known = asked(&root.session).await;
    assert_eq!(known["tenant"], "acme");
    assert_eq!(known["expiresAt"], crate::support::NOW + 7 * 86_400);
    assert!(!root.refresh.contains(SERVICE_KEY) && !known.to_string().contains(&root.refresh));
    for nobody in [
        "x",
        "00000000-0000-4000-8000-000000000000",
        // A session has one name.
        &root.session.to_uppercase(),
        &root.session.replace('-', ""),
    ] {
        assert_eq!(asked(nobody).await, Value::Null, "{nobody}");
    }
    world.pass(Duration::from_hours(7 * 24));
    assert_eq!(asked(&root.session).await, Value::Null);
    // A service is no user.
    let fields = [("x-service-key", SERVICE_KEY)];
    let path = "/rpc/auth@1.0.0/whoami";
    let reply = world
        .post(world.auth.address, path, &fields, &json!({}))
        .await;
    assert_eq!(reply.refusal(), (403, "tenant_required"));
}
