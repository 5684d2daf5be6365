//! Tenants apart, and who the database is told is asking.

use bastide_db::values;
use serde_json::json;

use crate::on_both;
use crate::support::{Fixture, PASSWORD};

on_both!(another_tenant_neither_sees_nor_ends_sessions);

async fn another_tenant_neither_sees_nor_ends_sessions(fixture: &Fixture) {
    let world = fixture.world().await;
    let ada = world.ada().await;
    let victim = world.user("acme", "bob@example.org", &[]).await;
    world.user("umbrella", "root@example.org", &["admin"]).await;
    let root = world.login("umbrella", "root@example.org").await;
    let call = |method: &'static str, input| world.auth(method, Some(&root.access), input);
    let listed = call("sessions", json!({})).await.good();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["id"], root.session);
    let none = (404, "not_found");
    let revoke = call("revoke", json!({ "session": ada.session })).await;
    assert_eq!(revoke.refusal(), none);
    let disable = json!({"user": victim.id, "isDisabled": true});
    assert_eq!(call("set_disabled", disable).await.refusal(), none);
    call("logout_all", json!({})).await.good();
    world.media(&ada.access).await.good();
    world.login("acme", "bob@example.org").await;
    // An account of one tenant opens none of another.
    let elsewhere = world
        .try_login("umbrella", "ada@example.org", PASSWORD)
        .await;
    assert_eq!(elsewhere.refusal(), (401, "credentials_invalid"));
    // What an administrator makes is of their own tenant, wherever they wish it.
    let root = world.login("umbrella", "root@example.org").await;
    let input = json!({"email": "eve@example.org", "password": PASSWORD, "tenant": "acme"});
    let reply = world.auth("create_user", Some(&root.access), input).await;
    assert_eq!(reply.refusal(), (400, "validation_failed"));
    let input = json!({"email": "eve@example.org", "password": PASSWORD});
    let eve = world
        .auth("create_user", Some(&root.access), input)
        .await
        .good();
    assert_eq!(eve["tenant"], "umbrella");
}

/// Every statement of the auth app on a table of tenants is under a policy that writes down who asks.
#[tokio::test]
async fn a5_the_database_knows_who_asks_in_each_call() {
    let fixture = Fixture::postgres();
    let world = fixture.world().await;
    let superuser = fixture.superuser();
    let mut setup = vec![
        "CREATE TABLE seen (tenant text, actor text, is_system text)".to_owned(),
        "CREATE FUNCTION see() RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER VOLATILE AS $$ BEGIN \
         INSERT INTO seen VALUES (current_setting('app.tenant_id', true), current_setting('app.user_id', true), \
         current_setting('app.is_system', true)); RETURN true; END $$"
            .to_owned(),
    ];
    for table in ["auth_users", "auth_sessions", "auth_refresh_tokens"] {
        setup.push(format!(
            "CREATE FUNCTION see_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM see(); RETURN NULL; END $$"
        ));
        setup.push(format!(
            "CREATE TRIGGER see_{table} AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION see_{table}()"
        ));
    }
    for statement in setup {
        superuser.execute(&statement, &[]).await.expect(&statement);
    }
    let seen = async || {
        let sql = "WITH gone AS (DELETE FROM seen RETURNING *) \
                   SELECT DISTINCT tenant || ' ' || actor || ' ' || is_system AS who FROM gone";
        let rows = superuser.query(sql, &[]).await.unwrap();
        let who = rows
            .iter()
            .map(|row| row.get::<&str>("who").unwrap().to_owned());
        who.collect::<Vec<_>>()
    };
    world.user("acme", "root@example.org", &["admin"]).await;
    assert_eq!(seen().await, ["acme system:test false"]);
    let root = world.login("acme", "root@example.org").await;
    assert_eq!(seen().await, ["acme system:auth-login false"]);
    let root = crate::support::Client::of(&world.refresh(&root.refresh).await.good());
    assert_eq!(seen().await, ["acme system:auth-refresh false"]);
    let me = world
        .auth("whoami", Some(&root.access), json!({}))
        .await
        .good();
    let me = me["id"].as_str().unwrap().to_owned();
    let by_me = [format!("acme {me} false")];
    // What only reads leaves no trace in a trigger: from here on, rows are there for who is named alone.
    for table in ["auth_users", "auth_sessions"] {
        let policy = format!(
            "CREATE POLICY named ON {table} AS RESTRICTIVE USING (current_setting('app.user_id', true) = '{me}' AND \
             current_setting('app.tenant_id', true) = 'acme')"
        );
        superuser.execute(&policy, &[]).await.unwrap();
    }
    let call = |method: &'static str, input| world.auth(method, Some(&root.access), input);
    call("whoami", json!({})).await.good();
    let listed = call("sessions", json!({})).await.good();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert!(seen().await.is_empty());
    let input = json!({"email": "bob@example.org", "password": PASSWORD});
    let bob = call("create_user", input).await.good()["id"].clone();
    assert_eq!(seen().await, by_me);
    let input = json!({"user": bob, "isDisabled": true});
    call("set_disabled", input).await.good();
    assert_eq!(seen().await, by_me);
    let input = json!({"current": PASSWORD, "new": "another password"});
    call("change_password", input).await.good();
    assert_eq!(seen().await, by_me);
    call("revoke", json!({ "session": root.session }))
        .await
        .good();
    assert_eq!(seen().await, by_me);
    let rows = superuser.query(
        "SELECT 1 AS one FROM auth_sessions WHERE revoked_at IS NOT NULL",
        &values![],
    );
    assert_eq!(rows.await.unwrap().len(), 1);
}
