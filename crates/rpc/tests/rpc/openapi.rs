//! The description and what is served are held against each other.

use bastide_context::{Cx, Public};
use bastide_rpc::{Method, Problem, Registry, Service, openapi};
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

/// How many references there are; each leads to something in the document.
fn followed(document: &Value) -> usize {
    let mut found = Vec::new();
    references(document, &mut found);
    for reference in &found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    found.len()
}

#[test]
fn s14_every_reference_leads_somewhere() {
    assert!(followed(&document()) > 20);
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Colour {
    Red,
    Green,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Pick {
    one: Option<Colour>,
    #[serde(default)]
    others: Vec<Colour>,
}

#[test]
fn s14_members_in_a_query_have_schemas_that_refer_to_the_documents() {
    let pick = Method::named("pick")
        .get("/colours")
        .public("colours are free")
        .handler(|_: Cx<Public>, pick: Pick| async move {
            let all = pick.one.iter().chain(&pick.others);
            Ok::<_, Problem>(all.filter(|one| matches!(one, Colour::Red)).count())
        });
    let service = Service::new("colours", "1.0.0").unwrap().method(pick);
    let document = openapi(&Registry::new([service]).unwrap(), "Colours", "1.0.0");
    followed(&document);
    let parameters = &document["paths"]["/colours"]["get"]["parameters"];
    let colour = json!({"$ref": "#/components/schemas/Colour"});
    assert_eq!(parameters[0]["schema"]["anyOf"][0], colour);
    assert_eq!(parameters[1]["schema"]["items"], colour);
}

#[test]
fn s14_what_may_be_sent_twice_is_said_of_the_method_and_its_path() {
    let document = document();
    let paths = &document["paths"];
    for (path, verb, expected) in [
        ("/rpc/users@1.2.0/find", "post", json!(true)),
        ("/users/{id}", "get", json!(true)),
        ("/users/{id}", "delete", json!(true)),
        ("/rpc/users@1.2.0/slow", "post", Value::Null),
        ("/users/slow", "post", Value::Null),
    ] {
        assert_eq!(paths[path][verb]["x-idempotent"], expected, "{path}");
    }
}

/// Whether the operation names this code under this status, to readers and in its schema.
fn declares(operation: &Value, status: u16, code: &str) -> bool {
    let response = &operation["responses"][status.to_string()];
    let schema = &response["content"]["application/problem+json"]["schema"]["allOf"];
    let codes = &schema[1]["properties"]["code"]["enum"];
    let told = response["description"].as_str().unwrap_or_default();
    schema[0]["$ref"] == "#/components/schemas/Problem"
        && codes
            .as_array()
            .is_some_and(|codes| codes.iter().any(|one| one == code))
        && told.contains(&format!("`{code}`"))
}

#[tokio::test]
async fn s14_every_answer_is_one_that_is_advertised() {
    let app = app();
    let (document, ada) = (document(), app.ada().await);
    let bob = app.token("bob", |claims| claims.tenant("acme")).await;
    let (token, of_bob) = (Some(ada.as_str()), Some(bob.as_str()));
    let text = |text: &'static str| Bytes::from_static(text.as_bytes());
    let find = ("/rpc/users@1.2.0/find", "post");
    let by_path = ("/users/{id}", "get");
    let mut plain = request("POST", find.0, token, text("{}"));
    plain.headers_mut().remove("content-type");
    let mut hasty = request("POST", find.0, token, text(r#"{"id":1}"#));
    hasty.headers_mut().insert("x-request-timeout-ms", 0.into());
    let mut requests = vec![
        (
            find,
            request("POST", find.0, None, text("{}")),
            "token_missing",
        ),
        (
            find,
            request("POST", find.0, Some("x"), text("{}")),
            "token_invalid",
        ),
        (
            find,
            request("POST", find.0, token, text("{")),
            "malformed_body",
        ),
        (
            find,
            request("POST", find.0, token, text(r#"{"id":"x"}"#)),
            "validation_failed",
        ),
        (
            find,
            request("POST", find.0, token, text(r#"{"id":404}"#)),
            "user_not_found",
        ),
        (find, plain, "unsupported_media_type"),
        (find, hasty, "deadline_passed"),
        (
            by_path,
            request("GET", "/users/%ff", of_bob, Bytes::new()),
            "malformed_path",
        ),
        (
            by_path,
            request("GET", "/users/x", of_bob, Bytes::new()),
            "validation_failed",
        ),
        (
            ("/users/{id}", "delete"),
            request("DELETE", "/users/1", token, Bytes::new()),
            "role_required",
        ),
        (
            ("/rpc", "post"),
            request("POST", "/rpc", None, text("[]")),
            "batch_size",
        ),
        (
            ("/rpc", "post"),
            request("POST", "/rpc", None, text("{}")),
            "validation_failed",
        ),
    ];
    for _ in 0..5 {
        let over = request("POST", find.0, token, text(r#"{"id":1}"#));
        requests.push((find, over, ""));
    }
    let mut seen = 0;
    for ((path, verb), request, expected) in requests {
        let reply = app.send(request).await;
        let (status, code) = reply.verdict();
        if expected.is_empty() && status == 200 {
            continue;
        }
        assert_eq!(
            code,
            if expected.is_empty() {
                "rate_limited"
            } else {
                expected
            }
        );
        let operation = &document["paths"][path][verb];
        assert!(
            declares(operation, status, &code),
            "{verb} {path}: {status} {code}"
        );
        seen += 1;
    }
    assert!(seen > 12);
}

#[tokio::test]
async fn s14_no_path_takes_a_verb_that_is_not_advertised() {
    let app = app();
    let document = document();
    for (path, item) in document["paths"].as_object().unwrap() {
        for verb in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            if item[verb.to_ascii_lowercase()].is_object() {
                continue;
            }
            let path = path.replace("{id}", "7");
            let reply = app.send(request(verb, &path, None, Bytes::new())).await;
            // `/users/slow` is a user of that name to who asks for one.
            let is_member = path == "/users/slow" && ["GET", "DELETE"].contains(&verb);
            assert_eq!(
                reply.verdict().0,
                if is_member { 401 } else { 405 },
                "{verb} {path}"
            );
        }
    }
}
