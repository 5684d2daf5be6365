//! `/admin/tenants` and `/admin/audit`.

use serde_json::json;

use super::{Api, TENANT_KEY};
use crate::admin::Configuration;

#[tokio::test]
async fn a_tenant_is_made_with_a_key_that_is_shown_once() {
    let api = Api::new();
    let answer = api
        .post("/admin/tenants", json!({"name": "acme"}))
        .await
        .expect(201);
    let (tenant, key) = (
        answer.data(),
        answer.json()["apiKey"].as_str().unwrap().to_owned(),
    );
    assert_eq!(tenant["name"], "acme");
    assert_eq!(
        (&tenant["tier"], &tenant["isActive"]),
        (&json!("free"), &json!(true))
    );
    assert_eq!(
        (
            &tenant["rateLimit"],
            &tenant["version"],
            &tenant["managedBy"]
        ),
        (&json!(null), &json!(1), &json!("api"))
    );
    assert_eq!(answer.header("etag"), "\"1\"");
    let location = answer.header("location").to_owned();
    assert_eq!(
        location,
        format!("/admin/tenants/{}", tenant["id"].as_str().unwrap())
    );
    assert_eq!(api.get(&location).await.expect(200).data(), tenant);

    let keys = api.get(&format!("{location}/keys")).await.expect(200);
    assert_eq!(keys.data()[0]["name"], "default");
    assert!(key.ends_with(keys.data()[0]["hint"].as_str().unwrap()));
    let stored = api
        .memory
        .state()
        .keys
        .values()
        .next()
        .unwrap()
        .hash
        .clone();
    assert_eq!(stored, api.memory.keys().hash(&key));
}

#[tokio::test]
async fn a_client_may_choose_the_key_and_the_older_name_of_the_limit() {
    let api = Api::new();
    let body = json!({
        "name": "acme", "apiKey": TENANT_KEY, "tier": "pro", "isActive": false,
        "defaultRateLimit": {"requestsPerSecond": 10, "burstSize": 20},
    });
    let answer = api.post("/admin/tenants", body).await.expect(201);
    assert_eq!(answer.json()["apiKey"], TENANT_KEY);
    assert_eq!(
        answer.data()["rateLimit"],
        json!({"requestsPerSecond": 10, "burstSize": 20})
    );
    let location = answer.header("location").to_owned();
    let answer = api
        .patch(
            &location,
            json!({"defaultRateLimit": {"requestsPerSecond": 5}}),
        )
        .await
        .expect(200);
    assert_eq!(
        answer.data()["rateLimit"],
        json!({"requestsPerSecond": 5, "burstSize": 20})
    );
}

#[tokio::test]
async fn names_and_keys_are_taken_once() {
    let api = Api::new();
    api.post(
        "/admin/tenants",
        json!({"name": "acme", "apiKey": TENANT_KEY}),
    )
    .await
    .expect(201);
    let answer = api
        .post("/admin/tenants", json!({"name": "acme"}))
        .await
        .expect(409);
    assert_eq!(
        (answer.code().as_str(), answer.errors().len()),
        ("name_taken", 1)
    );
    let answer = api
        .post(
            "/admin/tenants",
            json!({"name": "other", "apiKey": TENANT_KEY}),
        )
        .await
        .expect(409);
    assert_eq!(answer.code(), "api_key_taken");
    assert!(!answer.text.contains(TENANT_KEY));
    let other = api.tenant("other").await;
    let answer = api
        .patch(&format!("/admin/tenants/{other}"), json!({"name": "acme"}))
        .await
        .expect(409);
    assert_eq!(answer.code(), "name_taken");
}

#[tokio::test]
async fn all_mistakes_come_at_once() {
    let api = Api::new();
    let body = json!({"nam": "x", "tier": "prro", "apiKey": "short", "isActive": "yes", "rateLimit": {"limit": 5}, "id": "1"});
    let answer = api.post("/admin/tenants", body).await.expect(400);
    assert_eq!(answer.code(), "validation_failed");
    assert_eq!(
        answer.errors(),
        [
            "id: is set by the gateway; leave it out",
            "apiKey: expected 16 to 256 characters, found 5",
            "name: is required",
            "tier: there is no tier `prro`; did you mean `pro`?",
            "rateLimit.windowMs: is required beside `limit`",
            "isActive: expected true or false, found \"yes\"",
            "nam: unknown key `nam`; did you mean `name`?",
        ]
    );
    assert!(api.memory.audit_log().is_empty());
}

#[tokio::test]
async fn every_member_can_be_patched() {
    let api = Api::new();
    let path = format!("/admin/tenants/{}", api.tenant("acme").await);
    let limit = json!({"requestsPerSecond": 100, "burstSize": 150, "onStoreLoss": "fail-open", "exact": true});
    let body =
        json!({"name": "acme 2", "tier": "enterprise", "isActive": false, "rateLimit": limit});
    let answer = api.patch(&path, body.clone()).await.expect(200);
    assert_eq!(answer.header("etag"), "\"2\"");
    for (name, value) in body.as_object().unwrap() {
        assert_eq!(&answer.data()[name], value);
    }
    // The other form of a limit replaces the form; a part of the same form is merged; null clears.
    let answer = api
        .patch(&path, json!({"rateLimit": {"limit": 60, "windowMs": 1000}}))
        .await
        .expect(200);
    let expected =
        json!({"limit": 60, "windowMs": 1000, "onStoreLoss": "fail-open", "exact": true});
    assert_eq!(answer.data()["rateLimit"], expected);
    let answer = api
        .patch(&path, json!({"rateLimit": {"limit": 61, "exact": null}}))
        .await
        .expect(200);
    assert_eq!(
        answer.data()["rateLimit"],
        json!({"limit": 61, "windowMs": 1000, "onStoreLoss": "fail-open"})
    );
    let answer = api
        .patch(&path, json!({"rateLimit": null, "tier": null}))
        .await
        .expect(200);
    assert_eq!(
        (&answer.data()["rateLimit"], &answer.data()["tier"]),
        (&json!(null), &json!("free"))
    );
    assert_eq!(
        api.patch(&path, json!({"name": null}))
            .await
            .expect(400)
            .errors(),
        ["name: is required"]
    );
    api.patch(&path, json!([1])).await.expect(400);
}

#[tokio::test]
async fn what_was_read_can_be_edited_and_sent_back() {
    let api = Api::new();
    let path = format!("/admin/tenants/{}", api.tenant("acme").await);
    let mut tenant = api.get(&path).await.data();
    tenant["name"] = json!("renamed");
    api.patch(&path, tenant.clone()).await.expect(200);
    let answer = api.patch(&path, tenant).await.expect(400);
    let errors = answer.errors();
    assert!(
        errors
            .iter()
            .any(|error| error == "version: is read-only and is 2 now; leave it out"),
        "{errors:?}"
    );
    let answer = api
        .patch(&path, json!({"id": uuid::Uuid::nil()}))
        .await
        .expect(400);
    assert!(answer.errors()[0].starts_with("id: is read-only and is \""));
}

#[tokio::test]
async fn a_change_that_changes_nothing_makes_no_version() {
    let api = Api::new();
    let path = format!("/admin/tenants/{}", api.tenant("acme").await);
    let before = api.memory.audit_log().len();
    let answer = api.patch(&path, json!({"name": "acme"})).await.expect(200);
    assert_eq!(
        (answer.header("etag"), api.memory.audit_log().len()),
        ("\"1\"", before)
    );
}

#[tokio::test]
async fn entity_tags_guard_changes_and_save_reads() {
    let api = Api::new();
    let path = format!("/admin/tenants/{}", api.tenant("acme").await);
    let patch = async |tag: &str, name: &str| {
        api.call(
            "PATCH",
            &path,
            &[("if-match", tag)],
            json!({"name": name}).to_string(),
        )
        .await
    };
    assert_eq!(
        patch("\"1\"", "b").await.expect(200).header("etag"),
        "\"2\""
    );
    let answer = patch("\"1\"", "c").await.expect(412);
    assert_eq!(
        (answer.code().as_str(), answer.header("etag")),
        ("precondition_failed", "\"2\"")
    );
    patch("W/\"2\"", "c").await.expect(412);
    patch("\"7\", \"2\"", "c").await.expect(200);
    patch("*", "d").await.expect(200);
    api.call("DELETE", &path, &[("if-match", "\"1\"")], "")
        .await
        .expect(412);
    let known = async |tag: &str| api.call("GET", &path, &[("if-none-match", tag)], "").await;
    let answer = known("W/\"4\"").await.expect(304);
    assert_eq!((answer.text.as_str(), answer.header("etag")), ("", "\"4\""));
    known("\"3\"").await.expect(200);
    api.call("DELETE", &path, &[("if-match", "\"4\"")], "")
        .await
        .expect(204);
    api.delete(&path).await.expect(404);
}

#[tokio::test]
async fn deleting_a_tenant_takes_its_keys_and_routes_along() {
    let api = Api::new();
    let id = api.tenant("acme").await;
    let other = api.tenant("other").await;
    let route = api.route(&id, "/a").await;
    api.route(&other, "/a").await;
    api.delete(&format!("/admin/tenants/{id}"))
        .await
        .expect(204);
    api.get(&format!("/admin/routes/{route}")).await.expect(404);
    api.get(&format!("/admin/tenants/{id}/routes"))
        .await
        .expect(404);
    let state = api.memory.state();
    assert_eq!(
        (state.tenants.len(), state.keys.len(), state.routes.len()),
        (1, 1, 1)
    );
    let actions = api.actions();
    assert_eq!(
        actions[actions.len() - 3..],
        ["key delete", "route delete", "tenant delete"]
    );
}

#[tokio::test]
async fn pages_neither_repeat_nor_skip_while_the_list_changes() {
    let api = Api::new();
    let mut ids = Vec::new();
    for n in 0..7 {
        ids.push(api.tenant(&format!("tenant {n}")).await);
    }
    let mut seen = Vec::new();
    let mut path = "/admin/tenants?limit=3".to_owned();
    loop {
        let answer = api.get(&path).await.expect(200);
        let page: Vec<String> = answer
            .data()
            .as_array()
            .unwrap()
            .iter()
            .map(|t| t["id"].as_str().unwrap().to_owned())
            .collect();
        if seen.is_empty() {
            // The last one seen and one to come are deleted between the pages, and one is made.
            api.delete(&format!("/admin/tenants/{}", ids[2]))
                .await
                .expect(204);
            api.delete(&format!("/admin/tenants/{}", ids[4]))
                .await
                .expect(204);
            ids.push(api.tenant("late").await);
        }
        seen.extend(page);
        match answer.json()["nextCursor"].as_str() {
            Some(cursor) => path = format!("/admin/tenants?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    ids.remove(4);
    assert_eq!(seen, ids);
    let answer = api.get("/admin/tenants?name=tenant%203").await.expect(200);
    assert_eq!(answer.data().as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_audit_log_tells_every_change_without_secrets() {
    let api = Api::new();
    let answer = api
        .call(
            "POST",
            "/admin/tenants",
            &[("x-request-id", "req-1")],
            json!({"name": "a", "apiKey": TENANT_KEY}).to_string(),
        )
        .await
        .expect(201);
    let id = answer.data()["id"].as_str().unwrap().to_owned();
    api.patch(&format!("/admin/tenants/{id}"), json!({"name": "b"}))
        .await
        .expect(200);
    let answer = api.get("/admin/audit").await.expect(200);
    let entries = answer.data();
    assert_eq!(entries[0]["action"], "update");
    assert_eq!(
        (&entries[0]["before"]["name"], &entries[0]["after"]["name"]),
        (&json!("a"), &json!("b"))
    );
    assert_eq!(
        (&entries[2]["action"], &entries[2]["requestId"]),
        (&json!("create"), &json!("req-1"))
    );
    assert_eq!(
        (&entries[2]["actor"], &entries[2]["before"]),
        (&json!("admin"), &json!(null))
    );
    assert!(
        !answer.text.contains("hmac") && !answer.text.contains(TENANT_KEY),
        "{}",
        answer.text
    );

    assert_eq!(
        api.get("/admin/audit?entity=key")
            .await
            .data()
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        api.get(&format!("/admin/audit?entityId={id}"))
            .await
            .data()
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        api.get(&format!("/admin/audit?tenantId={id}"))
            .await
            .data()
            .as_array()
            .unwrap()
            .len(),
        3
    );
    let first = api.get("/admin/audit?limit=2").await.json();
    let cursor = first["nextCursor"].as_str().unwrap();
    let rest = api
        .get(&format!("/admin/audit?limit=2&cursor={cursor}"))
        .await
        .json();
    assert_eq!(
        (rest["data"].as_array().unwrap().len(), &rest["nextCursor"]),
        (1, &json!(null))
    );
}
