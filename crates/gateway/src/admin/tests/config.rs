//! `/admin/config`, and what the declarative file manages.

use std::io::Write as _;

use serde_json::{Value, json};

use super::{Api, TENANT_KEY, routes};
use crate::admin::Configuration;
use crate::declare::apply_file;

/// Tenants, keys and routes of every kind.
async fn populated() -> Api {
    let api = Api::new();
    let acme = api.tenant("acme").await;
    let body = json!({"name": "beta", "apiKey": TENANT_KEY, "tier": "pro", "rateLimit": {"requestsPerSecond": 3, "burstSize": 4}});
    let beta = api.post("/admin/tenants", body).await.expect(201).data()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut route = routes::example();
    route["tenantId"] = json!(acme);
    route["transform"] = json!({
        "request": {"headers": {"remove": ["cookie"], "set": {"host": "b"}, "add": {"x-a": "1"}},
                    "pathRewrite": {"pattern": "^/api/(.*)$", "replacement": "/$1"}},
        "response": {"headers": {"set": {"x-b": "2"}}},
    });
    api.post("/admin/routes", route).await.expect(201);
    api.route(&beta, "/b").await;
    let platform = json!({"method": "*", "path": "/status", "auth": "none", "upstreams": [{"url": "http://s:1"}]});
    api.post("/admin/routes", platform).await.expect(201);
    let keys = format!("/admin/tenants/{beta}/keys");
    let key = api
        .post(
            &keys,
            json!({"name": "old", "expiresAt": "2999-01-01T00:00:00Z"}),
        )
        .await
        .expect(201);
    api.post(&format!("{}/rotate", key.header("location")), json!({}))
        .await
        .expect(201);
    let gone = api
        .post(&keys, json!({"name": "gone"}))
        .await
        .expect(201)
        .header("location")
        .to_owned();
    api.delete(&gone).await.expect(204);
    api
}

fn no_changes() -> Value {
    json!({"create": [], "update": [], "delete": []})
}

#[tokio::test]
async fn what_is_exported_applies_as_nothing() {
    let api = populated().await;
    let exported = api.get("/admin/config").await.expect(200);
    let (before, audit) = (api.memory.state().revision, api.memory.audit_log().len());
    for body in [exported.json(), exported.data()] {
        assert_eq!(
            api.json("PUT", "/admin/config", body)
                .await
                .expect(200)
                .data(),
            no_changes()
        );
    }
    assert_eq!(
        (api.memory.state().revision, api.memory.audit_log().len()),
        (before, audit)
    );
    assert!(!exported.text.contains(TENANT_KEY));
    assert_eq!(exported.header("etag"), format!("\"{before}\""));
}

#[tokio::test]
async fn an_export_restores_an_empty_gateway() {
    let api = populated().await;
    let exported = api.get("/admin/config").await.data();
    let restored = Api::new();
    let diff = restored
        .json("PUT", "/admin/config", exported.clone())
        .await
        .expect(200)
        .data();
    assert_eq!(diff["create"].as_array().unwrap().len(), 2 + 4 + 3);
    assert_eq!(restored.get("/admin/config").await.data(), exported);
}

#[tokio::test]
async fn a_dry_run_tells_and_changes_nothing() {
    let api = populated().await;
    let mut document = api.get("/admin/config").await.data();
    document["tenants"][0]["tier"] = json!("pro");
    document["tenants"][0]["routes"] = json!([]);
    document["tenants"][1]["keys"][0]["hash"] = json!(format!("hmac-sha256:{}", "ab".repeat(32)));
    document["tenants"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "new", "keys": [{"key": "a brand-new key!".replace(' ', "-")}]}));
    document["tiers"]["free"] = json!({"requestsPerSecond": 1});
    let before = api.memory.state();
    let answer = api
        .json("PUT", "/admin/config?dryRun=true", document.clone())
        .await
        .expect(200);
    let diff = answer.data();
    assert_eq!(api.memory.state().revision, before.revision);
    let names = |kind: &str| -> Vec<String> {
        let entries = diff[kind].as_array().unwrap().iter();
        entries
            .map(|e| {
                format!(
                    "{} {}",
                    e["entity"].as_str().unwrap(),
                    e["name"].as_str().unwrap()
                )
            })
            .collect()
    };
    assert_eq!(names("create"), ["tenant new", "key default"]);
    assert_eq!(
        names("update"),
        ["tenant acme", "key default", "tiers tiers"]
    );
    assert_eq!(names("delete"), ["route GET /api/users"]);
    assert_eq!(
        diff["update"][0]["changes"],
        json!([{"field": "tier", "from": "free", "to": "pro"}])
    );
    assert!(!answer.text.contains("abab"), "no hashes in a diff");
    assert_eq!(diff["update"][1]["tenant"], "beta");

    let applied = api
        .json("PUT", "/admin/config?dryRun=false", document.clone())
        .await
        .expect(200)
        .data();
    assert_eq!(applied["delete"], diff["delete"]);
    assert_eq!(
        api.json("PUT", "/admin/config", document)
            .await
            .expect(200)
            .data(),
        no_changes()
    );
}

#[tokio::test]
async fn one_wrong_route_and_nothing_is_applied() {
    let api = populated().await;
    let before = api.memory.state().revision;
    let text = r#"{
  "tenants": [
    {"name": "one", "routes": [{"method": "GET", "path": "/a", "upstreams": [{"url": "http://a"}]}]},
    {"name": "two", "routes": [{"method": "GTE", "path": "a", "upstreams": []}]}
  ]
}"#;
    let answer = api
        .call("PUT", "/admin/config", &[], text)
        .await
        .expect(400);
    let errors = answer.json()["errors"].clone();
    assert_eq!(errors[0]["field"], "tenants[1].routes[0].method");
    assert_eq!(
        (&errors[0]["line"], &errors[0]["column"]),
        (&json!(4), &json!(43))
    );
    assert_eq!(errors.as_array().unwrap().len(), 3);
    assert_eq!(api.memory.state().revision, before);
}

#[tokio::test]
async fn lists_that_are_left_out_stay_and_given_ones_are_complete() {
    let api = populated().await;
    let put = async |body: Value| {
        api.json("PUT", "/admin/config", body)
            .await
            .expect(200)
            .data()
    };
    let mut tiers = serde_json::to_value(&*api.memory.state().tiers).unwrap();
    tiers["gold"] = json!({"requestsPerSecond": 9});
    let diff = put(json!({"tiers": tiers})).await;
    assert_eq!(
        (diff["update"].as_array().unwrap().len(), &diff["delete"]),
        (1, &json!([]))
    );
    let diff = put(json!({"tenants": [{"name": "beta", "tier": "gold"}]})).await;
    let deleted: Vec<&str> = diff["delete"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["name"].as_str().unwrap())
        .collect();
    assert_eq!(deleted, ["default", "GET /api/users", "acme"]);
    assert_eq!(api.memory.state().keys.len(), 4, "those of beta");
    let answer = api
        .json(
            "PUT",
            "/admin/config",
            json!({"tiers": {"free": {"requestsPerSecond": 9}}}),
        )
        .await
        .expect(400);
    assert_eq!(
        answer.errors(),
        ["tiers: the tier `gold` is missing; the tenant `beta` has it"]
    );
}

#[tokio::test]
async fn the_configuration_comes_in_three_formats() {
    let api = Api::new();
    let toml = "[[tenants]]\nname = \"a\"\nkeys = [{ key = \"0123456789abcdef\" }]\n";
    let yaml = "tenants:\n- name: a\n  keys:\n  - key: 0123456789abcdefg\n";
    let put = async |content_type: &str, body: &'static str| {
        api.call(
            "PUT",
            "/admin/config",
            &[("content-type", content_type)],
            body,
        )
        .await
    };
    assert_eq!(
        put("application/toml", toml).await.expect(200).data()["create"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        put("application/yaml", yaml).await.expect(200).data()["update"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    put("text/csv", "a,b").await.expect(415);
    let answer = put("application/toml", "[[tenants]\n").await.expect(400);
    assert!(
        answer.json()["detail"].as_str().unwrap().contains("line 1"),
        "{}",
        answer.text
    );
    let answer = put(
        "application/toml",
        "[[tenants]]\nname = \"a\"\nkeys = [{ key = \"${env:HOME}\" }]\n",
    )
    .await
    .expect(400);
    assert!(answer.errors()[0].starts_with("tenants[0].keys[0].key: `${env:...}` works in a file"));
    let answer = api
        .call("PUT", "/admin/config", &[("if-match", "\"0\"")], "{}")
        .await
        .expect(412);
    assert_eq!(answer.code(), "precondition_failed");
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

const FILE: &str = r#"
[[tenants]]
name = "filed"
keys = [{ name = "k", key = "0123456789abcdef" }]
[[tenants.routes]]
method = "GET"
path = "/a"
upstreams = [{ url = "http://a" }]
[[routes]]
method = "GET"
path = "/p"
upstreams = [{ url = "http://p" }]
"#;

#[tokio::test]
async fn the_files_objects_are_the_files() {
    let api = populated().await;
    let diff = apply_file(&*api.memory, file(FILE).path()).await.unwrap();
    assert_eq!(
        (diff.create.len(), diff.update.len(), diff.delete.len()),
        (4, 0, 0)
    );
    assert!(
        apply_file(&*api.memory, file(FILE).path())
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(api.memory.audit_log().last().unwrap().actor, "file");

    let tenant = api.get("/admin/tenants?name=filed").await.data()[0].clone();
    let path = format!("/admin/tenants/{}", tenant["id"].as_str().unwrap());
    assert_eq!(tenant["managedBy"], "file");
    assert_eq!(
        api.patch(&path, json!({"isActive": false}))
            .await
            .expect(409)
            .code(),
        "managed_by_file"
    );
    assert_eq!(
        api.delete(&path).await.expect(409).code(),
        "managed_by_file"
    );
    let key = api.get(&format!("{path}/keys")).await.data()[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    api.delete(&format!("{path}/keys/{key}")).await.expect(409);
    // A key of the API's own for the file's tenant.
    api.post(&format!("{path}/keys"), json!({"name": "own"}))
        .await
        .expect(201);
    assert!(
        apply_file(&*api.memory, file(FILE).path())
            .await
            .unwrap()
            .is_empty()
    );

    // Exported and sent back with the file's objects in it: nothing. With one of them changed: refused.
    let mut document = api.get("/admin/config").await.data();
    assert_eq!(
        api.json("PUT", "/admin/config", document.clone())
            .await
            .expect(200)
            .data(),
        no_changes()
    );
    let filed = document["tenants"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .find(|t| t["name"] == "filed")
        .unwrap();
    filed["tier"] = json!("pro");
    let answer = api.json("PUT", "/admin/config", document).await.expect(400);
    assert!(
        answer.errors()[0].contains("stands in the declarative file"),
        "{:?}",
        answer.errors()
    );
    // Left out of a complete list it stays.
    api.json("PUT", "/admin/config", json!({"tenants": [], "routes": []}))
        .await
        .expect(200);
    let state = api.memory.state();
    assert_eq!(
        (state.tenants.len(), state.keys.len(), state.routes.len()),
        (1, 2, 2)
    );
}

#[tokio::test]
async fn an_edited_file_changes_in_place_and_a_shorter_one_deletes_its_own_alone() {
    let api = populated().await;
    apply_file(&*api.memory, file(FILE).path()).await.unwrap();
    let edited = FILE
        .replace("http://a", "http://b")
        .replace("0123456789abcdef", "0123456789abcdeF");
    let diff = apply_file(&*api.memory, file(&edited).path())
        .await
        .unwrap();
    assert_eq!(
        (diff.create.len(), diff.update.len(), diff.delete.len()),
        (0, 2, 0),
        "{diff:?}"
    );
    let fields: Vec<&str> = diff.update[0]
        .changes
        .iter()
        .map(|change| change.field.as_str())
        .collect();
    assert_eq!(fields, ["hint", "hash"]);
    let wrong = FILE.replace("\"GET\"\npath = \"/p\"", "\"get\"\npath = \"/p\"");
    let file_of_wrong = file(&wrong);
    let lines = apply_file(&*api.memory, file_of_wrong.path())
        .await
        .unwrap_err();
    assert_eq!(lines.len(), 1);
    assert!(
        lines[0].starts_with(&format!(
            "{}:10:10: routes[0].method: ",
            file_of_wrong.path().display()
        )),
        "{lines:?}"
    );
    let before = api.memory.state().tenants.len();
    let diff = apply_file(&*api.memory, file("tenants = []").path())
        .await
        .unwrap();
    assert_eq!(
        (diff.create.len(), diff.update.len(), diff.delete.len()),
        (0, 0, 4)
    );
    assert_eq!(api.memory.state().tenants.len(), before - 1);
}

#[tokio::test]
async fn a_file_takes_over_what_it_names() {
    let api = populated().await;
    let adopt = "[[tenants]]\nname = \"acme\"\n";
    let diff = apply_file(&*api.memory, file(adopt).path()).await.unwrap();
    assert_eq!(
        (diff.create.len(), diff.update.len(), diff.delete.len()),
        (0, 1, 0)
    );
    assert_eq!(diff.update[0].changes[0].field, "managedBy");
    let text = format!("[[tenants]]\nname = \"x\"\nkeys = [{{ key = \"{TENANT_KEY}\" }}]\n");
    let lines = apply_file(&*api.memory, file(&text).path())
        .await
        .unwrap_err();
    assert!(lines[0].contains("this key is in use already"), "{lines:?}");
    assert!(!lines[0].contains(TENANT_KEY));
}

/// The one thread of the control plane has more to do: what is planned must not stop it.
#[tokio::test]
async fn planning_leaves_the_thread_to_others() {
    let api = Api::new();
    let mut was_left = false;
    for round in 0..10 {
        let name = |n| format!("t{round}-{n}");
        let tenants: Vec<Value> = (0..50).map(|n| json!({"name": name(n)})).collect();
        let body = json!({"tenants": tenants});
        let mut plan = std::pin::pin!(api.json("PUT", "/admin/config", body));
        // Were it planned here, it would always be done at the first look; elsewhere it may be once.
        if let Some(done) = look_once(&mut plan).await {
            done.expect(200);
            continue;
        }
        was_left = true;
        api.get("/admin/tenants").await.expect(200);
        plan.await.expect(200);
    }
    assert!(was_left);
    assert_eq!(api.memory.state().tenants.len(), 50);
}

/// The same for showing it: with ten thousand routes it is megabytes.
#[tokio::test]
async fn showing_leaves_the_thread_to_others() {
    let api = Api::new();
    let tenants: Vec<Value> = (0..50).map(|n| json!({"name": format!("t{n}")})).collect();
    let body = json!({"tenants": tenants});
    api.json("PUT", "/admin/config", body).await.expect(200);
    let mut was_left = false;
    for _ in 0..10 {
        let mut shown = std::pin::pin!(api.get("/admin/config"));
        let shown = if let Some(done) = look_once(&mut shown).await {
            done
        } else {
            was_left = true;
            shown.await
        };
        let shown = shown.expect(200).data();
        assert_eq!(shown["tenants"].as_array().unwrap().len(), 50);
    }
    assert!(was_left);
}

/// Looks once.
async fn look_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(cx) {
            std::task::Poll::Ready(done) => Some(done),
            std::task::Poll::Pending => None,
        })
    })
    .await
}
