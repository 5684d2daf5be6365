//! `/admin/tenants/{id}/keys`.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Api, TENANT_KEY};
use crate::admin::Configuration;
use crate::model::read::in_microseconds;

fn time(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_tenant_has_several_keys() {
    let api = Api::new();
    let tenant = api.tenant("acme").await;
    let keys = format!("/admin/tenants/{tenant}/keys");
    let body = json!({"name": "ci", "expiresAt": "2999-01-01T00:00:00Z", "rateLimit": {"requestsPerSecond": 5}});
    let answer = api.post(&keys, body).await.expect(201);
    let path = answer.header("location").to_owned();
    assert_eq!(answer.data()["expiresAt"], "2999-01-01T00:00:00Z");
    assert!(answer.json()["apiKey"].as_str().unwrap().starts_with("gk_"));
    assert!(!answer.text.contains("hash"));
    let chosen = api
        .post(&keys, json!({"apiKey": TENANT_KEY}))
        .await
        .expect(201);
    assert_eq!(
        (&chosen.json()["apiKey"], &chosen.data()["hint"]),
        (&json!(TENANT_KEY), &json!("hose"))
    );
    api.call("POST", &keys, &[], "").await.expect(201);
    assert_eq!(api.get(&keys).await.data().as_array().unwrap().len(), 4);
    assert_eq!(
        api.get(&format!("{keys}?name=ci"))
            .await
            .data()
            .as_array()
            .unwrap()
            .len(),
        1
    );

    let answer = api
        .patch(&path, json!({"name": "ci 2", "expiresAt": null}))
        .await
        .expect(200);
    assert_eq!(
        (&answer.data()["name"], &answer.data()["expiresAt"]),
        (&json!("ci 2"), &json!(null))
    );
    let read = api.get(&path).await.expect(200).data();
    api.patch(&path, read).await.expect(200);
    let answer = api
        .patch(
            &path,
            json!({"hash": "x", "revokedAt": "2020-01-01T00:00:00Z"}),
        )
        .await
        .expect(400);
    assert_eq!(
        answer.errors()[0],
        "revokedAt: is read-only and is null now; leave it out"
    );
    assert!(answer.errors()[1].starts_with("hash: unknown key `hash`"));

    let other = api.tenant("other").await;
    let id = path.rsplit('/').next().unwrap();
    api.get(&format!("/admin/tenants/{other}/keys/{id}"))
        .await
        .expect(404);
    let answer = api
        .post(&keys, json!({"expiresAt": "2001-01-01T00:00:00Z"}))
        .await
        .expect(400);
    assert_eq!(
        answer.errors(),
        ["expiresAt: lies in the past; give a time to come, or leave it out"]
    );
}

#[tokio::test]
async fn a_revoked_key_stays_to_be_seen_and_does_not_come_back() {
    let api = Api::new();
    let keys = format!("/admin/tenants/{}/keys", api.tenant("acme").await);
    let path = api
        .post(&keys, json!({"apiKey": TENANT_KEY}))
        .await
        .expect(201)
        .header("location")
        .to_owned();
    api.delete(&path).await.expect(204);
    let revoked = api.get(&path).await.expect(200).data();
    assert!(revoked["revokedAt"].is_string());
    api.delete(&path).await.expect(204);
    assert_eq!(
        api.get(&path).await.data(),
        revoked,
        "the first revocation counts"
    );
    assert_eq!(
        api.patch(&path, json!({"name": "x"}))
            .await
            .expect(409)
            .code(),
        "key_revoked"
    );
    assert_eq!(
        api.post(&format!("{path}/rotate"), json!({}))
            .await
            .expect(409)
            .code(),
        "key_revoked"
    );
    let answer = api
        .post(&keys, json!({"apiKey": TENANT_KEY}))
        .await
        .expect(409);
    assert_eq!(
        answer.errors(),
        ["apiKey: this key was revoked; choose another"]
    );
    assert_eq!(api.actions().last().unwrap(), "key revoke");
}

#[tokio::test]
async fn rotation_overlaps() {
    let api = Api::new();
    let keys = format!("/admin/tenants/{}/keys", api.tenant("acme").await);
    let body = json!({"name": "ci", "rateLimit": {"limit": 5, "windowMs": 1000}});
    let path = api
        .post(&keys, body)
        .await
        .expect(201)
        .header("location")
        .to_owned();
    let answer = api
        .post(&format!("{path}/rotate"), json!({"graceMs": 60_000}))
        .await
        .expect(201);
    let (old, new) = (api.get(&path).await.data(), answer.data());
    assert_eq!(
        (&new["name"], &new["rateLimit"]),
        (&old["name"], &old["rateLimit"])
    );
    assert_ne!(new["id"], old["id"]);
    assert_eq!(new["expiresAt"], json!(null));
    assert_eq!(
        time(&old["expiresAt"]),
        time(&new["createdAt"]) + SignedDuration::from_secs(60)
    );
    assert_eq!(
        answer.header("location"),
        format!("{keys}/{}", new["id"].as_str().unwrap())
    );
    let hash = api
        .memory
        .keys()
        .hash(answer.json()["apiKey"].as_str().unwrap());
    assert!(
        api.memory
            .state()
            .keys
            .values()
            .any(|key| key.hash == hash && key.expires_at.is_none())
    );
    assert_eq!(old["replacedBy"], new["id"]);
    let actions = api.actions();
    assert_eq!(actions[actions.len() - 2..], ["key rotate", "key create"]);

    // Its expiry is the end of its grace period now, which a second successor would take for a lifetime.
    let refused = api
        .post(&format!("{path}/rotate"), json!({}))
        .await
        .expect(409);
    assert_eq!(refused.code(), "key_rotated");
    let detail = refused.json()["detail"].to_string();
    assert!(detail.contains(new["id"].as_str().unwrap()), "{detail}");

    // Without a body: a day. An expiry that comes sooner stays.
    let soon = in_microseconds(Timestamp::now() + SignedDuration::from_hours(2));
    let path = api
        .post(&keys, json!({"expiresAt": soon.to_string()}))
        .await
        .expect(201)
        .header("location")
        .to_owned();
    let successor = api
        .call("POST", &format!("{path}/rotate"), &[], "")
        .await
        .expect(201)
        .data();
    let old = api.get(&path).await.data();
    assert_eq!(time(&old["expiresAt"]), soon);
    let lifetime = time(&successor["expiresAt"]).duration_since(time(&successor["createdAt"]));
    assert_eq!(
        lifetime,
        soon.duration_since(time(&old["createdAt"])),
        "as long a life as before"
    );
    let answer = api
        .post(
            &format!("{path}/rotate"),
            json!({"graceMs": -1, "grace": 1}),
        )
        .await
        .expect(400);
    assert_eq!(answer.errors().len(), 2);
}
