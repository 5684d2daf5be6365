//! A service that strangers are to learn nothing of: one key in a field of its own, paths that are no secret to its bearer alone,
//! wrong keys that are counted, and codes that are older than this crate's.

use std::sync::Arc;
use std::time::Duration;

use bastide_auth::{AuthError, Policy, ServiceKey, ServiceKeys};
use bastide_config::Secret;
use bastide_context::{Cx, Known, Public};
use bastide_rpc::{
    Attempts, CredentialFields, Dispatcher, FieldError, HttpEntry, HttpOptions, Method, Position,
    Problem, RawRequest, RawResponse, Registry, Route, Service,
};
use bastide_telemetry::metrics;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};

use crate::support::Nothing;

const OPERATOR: Policy = Policy::any_role(&["operator"]);
const KEY: &str = "a key for tests";

fn service() -> Service {
    let known = |route: bastide_rpc::RouteOutline| route.policy_without_tenant(OPERATOR);
    let fields = known(Route::get("/things/{id}")).handler(
        |cx: Cx<Known>, request: RawRequest| async move {
            let names: Vec<_> = request
                .head
                .fields()
                .keys()
                .map(HeaderName::as_str)
                .collect();
            let name = request.head.request_name();
            RawResponse::json(&json!({"actor": cx.actor(), "fields": names, "name": name}))
        },
    );
    let wrong =
        known(Route::put("/things/{id}")).handler(|_: Cx<Known>, _: RawRequest| async move {
            let error = FieldError::new("a.b", "is wrong").at(Position { line: 3, column: 7 });
            let tag = HeaderValue::from_static("\"4\"");
            let problem = Problem::new(412, "precondition_failed", "another version")
                .with_errors(vec![error, FieldError::new("c", "too")])
                .field(header::ETAG, tag)
                .field(header::CONTENT_LENGTH, HeaderValue::from_static("1"));
            Err::<RawResponse, _>(problem)
        });
    let open = Route::get("/open").public("for tests").handler(
        |_: Cx<Public>, _: RawRequest| async move { Ok::<_, Problem>(RawResponse::empty()) },
    );
    let any = Route::any("/any").public("for tests").quiet().handler(
        |_: Cx<Public>, request: RawRequest| async move {
            RawResponse::json(&request.head.method().as_str())
        },
    );
    let posted = known(Route::post("/any")).handler(|_: Cx<Known>, _: RawRequest| async move {
        Ok::<_, Problem>(RawResponse::empty())
    });
    let service = Service::new("things", "1.0.0").unwrap();
    [fields, wrong, open, any, posted]
        .into_iter()
        .fold(service, Service::route)
}

fn entry_of(service: Service) -> HttpEntry {
    let key = ServiceKey::of_operator("admin", &Secret::new(KEY)).role("operator");
    let dispatcher = Dispatcher::new(
        Registry::new([service]).unwrap(),
        &metrics::Registry::new(),
        None,
    )
    .unwrap()
    .service_keys(ServiceKeys::new([key]).unwrap())
    .attempts(Attempts::new(3, Duration::from_secs(6)))
    .refusal(|error| match error {
        AuthError::Missing => Problem::new(401, "admin_key_missing", "send it"),
        _ => Problem::new(401, "admin_key_invalid", "it is wrong"),
    });
    let nosniff = HeaderValue::from_static("nosniff");
    let options = HttpOptions {
        credentials: CredentialFields::key_alone(HeaderName::from_static("x-admin-key")),
        closed: Some(OPERATOR),
        request_name: Some(|fields: &HeaderMap| {
            let given = fields.get("x-request-id").and_then(|id| id.to_str().ok());
            given.unwrap_or("made here").to_owned()
        }),
        fields: HeaderMap::from_iter([(header::X_CONTENT_TYPE_OPTIONS, nosniff)]),
        ..HttpOptions::default()
    };
    HttpEntry::new(Arc::new(dispatcher), options).described("Things", "1.0.0")
}

struct Answer {
    status: u16,
    fields: HeaderMap,
    json: Value,
}

impl Answer {
    fn verdict(&self) -> (u16, &str) {
        let code = self.json["code"].as_str().unwrap_or_default();
        (self.status, code)
    }
}

async fn send(entry: &HttpEntry, verb: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    send_from(entry, verb, path, fields, "192.0.2.1").await
}

async fn send_from(
    entry: &HttpEntry,
    verb: &str,
    path: &str,
    fields: &[(&str, &str)],
    peer: &str,
) -> Answer {
    let mut request = Request::builder().method(verb).uri(path);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::new())).unwrap();
    let peer = Some(peer.parse().unwrap());
    let (head, body) = entry.answer(request, peer).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        status: head.status.as_u16(),
        fields: head.headers,
        json: serde_json::from_slice(&body).unwrap_or_default(),
    }
}

const RIGHT: &[(&str, &str)] = &[("x-admin-key", KEY)];

#[tokio::test]
async fn s15_who_is_not_known_does_not_learn_which_paths_there_are() {
    let entry = entry_of(service());
    for (verb, path, known, code) in [
        ("GET", "/things/7", 200, ""),
        ("GET", "/nothing", 404, "not_found"),
        ("DELETE", "/things/7", 405, "method_not_allowed"),
        ("OPTIONS", "/things/7", 204, ""),
        ("POST", "/rpc", 404, "not_found"),
        ("POST", "/rpc/things/find", 404, "not_found"),
    ] {
        let stranger = send(&entry, verb, path, &[]).await;
        assert_eq!(stranger.verdict(), (401, "admin_key_missing"), "{path}");
        assert!(!stranger.fields.contains_key(header::ALLOW));
        let answer = send(&entry, verb, path, RIGHT).await;
        assert_eq!(answer.verdict(), (known, code), "{verb} {path}");
    }
    // A path with something for everybody is no secret.
    let open = send(&entry, "POST", "/open", &[]).await;
    assert_eq!(open.verdict(), (405, "method_not_allowed"));
    assert_eq!(open.fields[header::ALLOW], "GET, HEAD, OPTIONS");

    let method = Method::named("find")
        .policy_without_tenant(OPERATOR)
        .handler(|_: Cx<Known>, _: Nothing| async move { Ok::<_, Problem>(()) });
    let entry = entry_of(service().method(method));
    let none = send(&entry, "POST", "/rpc/things/none", &[]).await;
    assert_eq!(none.verdict(), (401, "admin_key_missing"));
    let none = send(&entry, "POST", "/rpc/things/none", RIGHT).await;
    assert_eq!(none.verdict(), (404, "method_not_found"));
}

#[tokio::test]
async fn s15_wrong_keys_are_counted_and_the_right_one_is_never_refused() {
    let entry = entry_of(service());
    let wrong: &[(&str, &str)] = &[("x-admin-key", "guess")];
    let twice: &[(&str, &str)] = &[("x-admin-key", KEY), ("x-admin-key", KEY)];
    for fields in [wrong, twice, wrong] {
        let answer = send(&entry, "GET", "/things/7", fields).await;
        assert_eq!(answer.verdict(), (401, "admin_key_invalid"));
        assert!(!answer.fields.contains_key(header::WWW_AUTHENTICATE));
    }
    for path in ["/things/7", "/nothing"] {
        let answer = send(&entry, "GET", path, wrong).await;
        assert_eq!(answer.verdict(), (429, "too_many_attempts"));
        let wait = answer.fields[header::RETRY_AFTER].to_str().unwrap();
        assert!((1..=6).contains(&wait.parse::<u32>().unwrap()), "{wait}");
    }
    let missing = send(&entry, "GET", "/things/7", &[]).await;
    assert_eq!(missing.verdict(), (401, "admin_key_missing"));
    let other = send_from(&entry, "GET", "/things/7", wrong, "192.0.2.2").await;
    assert_eq!(other.verdict(), (401, "admin_key_invalid"));
    assert_eq!(send(&entry, "GET", "/things/7", RIGHT).await.status, 200);
    // At a public entry a wrong key is no key.
    assert_eq!(send(&entry, "GET", "/open", wrong).await.status, 204);
}

#[tokio::test]
async fn s13_a_handler_sees_no_key_and_the_name_of_its_request() {
    let entry = entry_of(service());
    let fields = [
        ("x-admin-key", KEY),
        ("authorization", "Basic Zm9yOnNvbWVib2R5LWVsc2U="),
        ("x-request-id", "abc-1"),
        ("accept", "*/*"),
    ];
    let answer = send(&entry, "GET", "/things/7", &fields).await;
    assert_eq!(
        answer.json,
        json!({"actor": "admin", "fields": ["x-request-id", "accept"], "name": "abc-1"})
    );
    assert_eq!(answer.fields["x-request-id"], "abc-1");
    assert_eq!(answer.fields[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    let problem = send(&entry, "GET", "/nothing", RIGHT).await;
    assert_eq!(problem.json["requestId"], "made here");
    assert_eq!(problem.fields["x-request-id"], "made here");
    assert_eq!(problem.fields[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
}

#[tokio::test]
async fn s16_a_problem_has_fields_and_places_of_its_own() {
    let answer = send(&entry_of(service()), "PUT", "/things/7", RIGHT).await;
    assert_eq!(answer.verdict(), (412, "precondition_failed"));
    assert_eq!(answer.fields[header::ETAG], "\"4\"");
    assert_eq!(
        answer.fields.get(header::CONTENT_LENGTH),
        None,
        "the server's"
    );
    assert_eq!(
        answer.json["errors"],
        json!([
            {"field": "a.b", "message": "is wrong", "line": 3, "column": 7},
            {"field": "c", "message": "too"},
        ])
    );
}

#[tokio::test]
async fn s16_a_route_for_any_method_leaves_those_that_have_their_own() {
    let entry = entry_of(service());
    for verb in ["GET", "HEAD", "DELETE", "OPTIONS", "BREW"] {
        let answer = send(&entry, verb, "/any", &[]).await;
        let echo = if verb == "HEAD" {
            Value::Null
        } else {
            json!(verb)
        };
        assert_eq!((answer.status, answer.json), (200, echo), "{verb}");
    }
    let posted = send(&entry, "POST", "/any", &[]).await;
    assert_eq!(posted.verdict(), (401, "admin_key_missing"));
}

#[tokio::test]
async fn a12_a_description_names_the_field_of_the_key() {
    let entry = entry_of(service());
    let document = send(&entry, "GET", "/openapi.json", &[]).await.json;
    assert_eq!(
        document["components"]["securitySchemes"],
        json!({"serviceKey": {"type": "apiKey", "in": "header", "name": "x-admin-key"}})
    );
    let things = &document["paths"]["/things/{id}"]["get"];
    assert_eq!(things["security"], json!([{"serviceKey": []}]));
    let any = document["paths"]["/any"].as_object().unwrap();
    assert_eq!(any.keys().collect::<Vec<_>>(), ["post"]);
}
