//! The description and what is served are held against each other.

use bastide_rpc::{Registry, openapi};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::feeds::{Feeds, feeds};
use crate::support::{Ran, app, request, users};

fn registry() -> Registry {
    let ran = Ran::default();
    Registry::new([users(&ran), feeds(&ran, &Feeds::default())]).unwrap()
}

fn document() -> Value {
    openapi(&registry(), "Example", "1.0.0")
}

/// Each path and method of the document, with members in the path filled in.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, item)| {
        let path = path.replace("{id}", "7");
        let verbs = item.as_object().unwrap().iter();
        verbs.map(move |(verb, operation)| (verb.to_uppercase(), path.clone(), operation.clone()))
    });
    operations.collect()
}

#[tokio::test]
async fn s14_every_advertised_path_is_served() {
    let app = app();
    let document = document();
    assert_eq!(operations(&document).len(), 20);
    for (verb, path, _) in operations(&document) {
        let request = request(&verb, &path, None, Bytes::new());
        let status = app.entry.answer(request, None).await.status().as_u16();
        assert!(status != 404 && status != 405, "{verb} {path}: {status}");
    }
}

#[tokio::test]
async fn s14_every_served_path_is_advertised() {
    let operations = operations(&document());
    let registry = registry();
    let has = |verb: &str, path: &str| operations.iter().any(|(v, p, _)| v == verb && p == path);
    for entry in registry.entries() {
        assert!(
            has("POST", &format!("/rpc/{}", entry.full_name())),
            "{}",
            entry.full_name()
        );
        if let Some(rest) = entry.method().rest() {
            assert!(
                has(rest.verb().as_str(), &rest.path().replace("{id}", "7")),
                "{rest:?}"
            );
        }
    }
    // And no other answers than what the description says.
    let app = app();
    for path in [
        "/rpc/users",
        "/users",
        "/",
        "/netron/invoke",
        "/openapi.json",
    ] {
        assert_eq!(app.get(path, None).await.verdict().0, 404, "{path}");
    }
}

#[tokio::test]
async fn s14_the_description_is_served_where_it_is_asked_for() {
    let app = app();
    let entry = app.entry.described("Example", "1.0.0");
    let response = entry
        .answer(request("GET", "/openapi.json", None, Bytes::new()), None)
        .await;
    assert_eq!(response.status(), 200);
    let response = entry
        .answer(request("POST", "/openapi.json", None, Bytes::new()), None)
        .await;
    assert_eq!(response.status(), 405);
}

#[test]
fn s14_an_operation_says_what_it_takes_gives_and_refuses() {
    let document = document();
    let find = &document["paths"]["/users/{id}"]["get"];
    assert_eq!(find["x-policy"], "any identity; for a tenant");
    assert_eq!(
        find["security"],
        json!([{"bearer": []}, {"serviceKey": []}])
    );
    assert_eq!(
        find["description"],
        "One user by id.\n\nPolicy: any identity; for a tenant."
    );
    let parameters: Vec<_> = find["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["name"].as_str().unwrap(),
                one["in"].as_str().unwrap(),
                one["required"].as_bool().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        parameters,
        [
            ("id", "path", true),
            ("tags", "query", false),
            ("verbose", "query", false)
        ]
    );
    assert_eq!(find["responses"]["404"]["description"], "`user_not_found`");
    assert!(find["responses"]["429"].is_object());
    let output = &find["responses"]["200"]["content"]["application/json"]["schema"];
    assert_eq!(output, &json!({"$ref": "#/components/schemas/Found"}));
    assert_eq!(document["components"]["schemas"]["Found"]["type"], "object");
    let health = &document["paths"]["/rpc/users@1.2.0/health"]["post"];
    assert_eq!(health["security"], json!([]));
    assert!(health["responses"]["401"].is_null() && health["responses"]["429"].is_object());
    let remove = &document["paths"]["/rpc/users@1.2.0/remove"]["post"];
    assert!(
        remove["responses"]["403"]["description"]
            .as_str()
            .unwrap()
            .contains("`role_required`")
    );
    assert!(remove["responses"]["429"].is_null());
    let follow = &document["paths"]["/users/{id}/changes"]["get"]["responses"];
    assert_eq!(
        follow["200"]["content"],
        json!({"text/event-stream": {"schema": {"$ref": "#/components/schemas/Change"}}})
    );
    assert_eq!(follow["404"]["description"], "`user_not_found`");
}

#[test]
fn s14_every_reference_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 20);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}
