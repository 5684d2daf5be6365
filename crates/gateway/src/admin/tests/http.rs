//! What holds for every endpoint.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::http::Request;
use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use serde_json::json;

use super::{ADMIN_KEY, Api};
use crate::admin::Configuration as _;
use crate::admin::call::{MAX_BODY, MAX_DOCUMENT};
use crate::model::{Change, Entity, Tenant};
use crate::repository::CommitError;

#[tokio::test]
async fn nothing_answers_without_the_admin_key() {
    let api = Api::new();
    let request = |key: Option<&str>, path: &str| {
        let request = Request::builder().method("POST").uri(path);
        let request = key
            .into_iter()
            .fold(request, |request, key| request.header("x-admin-key", key));
        request.body(Bytes::from_static(b"{")).unwrap()
    };
    for path in ["/admin/tenants", "/admin/config", "/admin/nothing"] {
        let answer = api.send(request(None, path)).await.expect(401);
        assert_eq!(answer.code(), "admin_key_missing");
    }
    let answer = api
        .send(request(Some("wrong"), "/admin/tenants"))
        .await
        .expect(401);
    assert_eq!(answer.code(), "admin_key_invalid");
    for _ in 0..20 {
        api.send(request(Some("wrong"), "/admin/tenants")).await;
    }
    let answer = api
        .send(request(Some("wrong"), "/admin/tenants"))
        .await
        .expect(429);
    assert_eq!(answer.code(), "too_many_attempts");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);
    api.get("/admin/tenants").await.expect(200);
}

#[tokio::test]
async fn every_answer_names_the_request_and_is_not_stored() {
    let api = Api::new();
    let answer = api
        .call("GET", "/admin/tenants", &[("x-request-id", "abc-1")], "")
        .await;
    assert_eq!(answer.header("x-request-id"), "abc-1");
    assert_eq!(answer.header("cache-control"), "no-store");
    let answer = api
        .call("GET", "/admin/nothing", &[("x-request-id", "abc 2")], "")
        .await
        .expect(404);
    assert_eq!(
        answer.header("x-request-id").len(),
        36,
        "an odd id is replaced"
    );
    assert_eq!(answer.json()["requestId"], answer.header("x-request-id"));
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.json()["status"], 404);
    assert_eq!(answer.json()["title"], "Not Found");
}

#[tokio::test]
async fn methods_and_paths_that_do_not_exist() {
    let api = Api::new();
    let id = api.tenant("acme").await;
    let answer = api.call("PUT", "/admin/tenants", &[], "").await.expect(405);
    assert_eq!(answer.header("allow"), "GET, POST, HEAD, OPTIONS");
    assert_eq!(answer.code(), "method_not_allowed");
    let answer = api
        .call("OPTIONS", &format!("/admin/routes/{id}"), &[], "")
        .await
        .expect(204);
    assert_eq!(
        answer.header("allow"),
        "GET, PATCH, PUT, DELETE, HEAD, OPTIONS"
    );
    for path in [
        "/admin",
        "/admin/",
        "/admin/tenants/",
        "/admin/tenants/12",
        "/admin/tenants/../routes",
        "/admin//routes",
    ] {
        assert_eq!(
            api.get(path).await.expect(404).code(),
            "not_found",
            "{path}"
        );
    }
    let get = api.get(&format!("/admin/tenants/{id}")).await.expect(200);
    let head = api
        .call("HEAD", &format!("/admin/tenants/{id}"), &[], "")
        .await
        .expect(200);
    assert_eq!(head.text, "");
    assert_eq!(head.header("content-length"), get.text.len().to_string());
    assert_eq!(head.header("etag"), get.header("etag"));
}

#[tokio::test]
async fn bodies_that_cannot_be_read() {
    let api = Api::new();
    let send = async |content_type: &str, body: &str| {
        api.call(
            "POST",
            "/admin/tenants",
            &[("content-type", content_type)],
            body.to_owned(),
        )
        .await
    };
    let answer = send("application/json", "{\"name\": \"a\",\n  nope}")
        .await
        .expect(400);
    assert_eq!(answer.code(), "malformed_body");
    assert!(
        answer.json()["detail"]
            .as_str()
            .unwrap()
            .contains("line 2 column 3"),
        "{}",
        answer.text
    );
    assert_eq!(
        send("application/json", "").await.expect(400).code(),
        "malformed_body"
    );
    assert_eq!(
        send("application/json", "{\"name\":\"a\",\"name\":\"b\"}")
            .await
            .expect(400)
            .code(),
        "malformed_body"
    );
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/toml",
    ] {
        assert_eq!(
            send(content_type, "name=a").await.expect(415).code(),
            "unsupported_media_type"
        );
    }
    send(
        "application/vnd.api+json; charset=utf-8",
        "{\"name\": \"a\"}",
    )
    .await
    .expect(201);
    api.call("POST", "/admin/tenants", &[], "{\"name\": \"b\"}")
        .await
        .expect(201);
    let answer = send("application/json", &" ".repeat(MAX_BODY + 1))
        .await
        .expect(413);
    assert_eq!(answer.code(), "body_too_large");
    assert_eq!(
        api.call("PUT", "/admin/config", &[], vec![b' '; MAX_DOCUMENT + 1])
            .await
            .expect(413)
            .code(),
        "body_too_large"
    );
    assert_eq!(
        api.call("POST", "/admin/tenants", &[], vec![b'"', 0xff])
            .await
            .expect(400)
            .code(),
        "malformed_body"
    );
    for body in ["[]", "12", "null", "\"x\""] {
        assert_eq!(
            send("application/json", body).await.expect(400).code(),
            "validation_failed",
            "{body}"
        );
    }
}

#[tokio::test]
async fn strangers_cannot_make_it_read_bodies() {
    let api = Api::new();
    // Of a body without end it is counted how much is taken before there is one piece too much.
    let limit = async |method: &str, path: &str, key: &str| {
        const PIECE: Bytes = Bytes::from_static(&[b' '; 1 << 14]);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("x-admin-key", key);
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        let endless = stream::repeat_with(move || {
            count.fetch_add(PIECE.len(), Ordering::Relaxed);
            Ok::<_, Infallible>(Frame::data(PIECE))
        });
        let request = request.body(StreamBody::new(endless)).unwrap();
        api.entry.answer(request, None).await;
        let taken = taken.load(Ordering::Relaxed);
        assert_ne!(taken, PIECE.len(), "nothing is taken in vain");
        taken.saturating_sub(PIECE.len())
    };
    assert_eq!(limit("PUT", "/admin/config", ADMIN_KEY).await, MAX_DOCUMENT);
    assert_eq!(limit("POST", "/admin/tenants", ADMIN_KEY).await, MAX_BODY);
    assert_eq!(limit("POST", "/admin/nothing", ADMIN_KEY).await, 0);
    assert_eq!(limit("PUT", "/admin/config", "wrong").await, 0);
}

#[tokio::test]
async fn a_change_that_has_begun_is_made_though_its_client_leaves() {
    let api = Api::new();
    tokio::select! {
        biased;
        _ = api.post("/admin/tenants", json!({"name": "acme"})) => panic!("it takes a moment"),
        // It is looked at once, and dropped.
        () = std::future::ready(()) => {}
    }
    let made = async {
        while api.get("/admin/tenants").await.data() == json!([]) {
            tokio::task::yield_now().await;
        }
    };
    let made = tokio::time::timeout(Duration::from_secs(5), made);
    made.await.expect("it is made");
    assert_eq!(api.actions(), ["tenant create", "key create"]);
}

#[tokio::test]
async fn parameters_are_checked() {
    let api = Api::new();
    let wrong = [
        ("?limit=0", "limit: expected a whole number from 1 to 200"),
        ("?limit=201", "limit: expected a whole number from 1 to 200"),
        ("?limit=a", "limit: expected a whole number from 1 to 200"),
        (
            "?cursor=x",
            "cursor: expected the `nextCursor` of another page",
        ),
        (
            "?page=2",
            "page: there is no such parameter here; there are limit, cursor, name",
        ),
        ("?limit=1&limit=2", "limit: stands twice; give it once"),
    ];
    for (query, message) in wrong {
        let answer = api.get(&format!("/admin/tenants{query}")).await.expect(400);
        assert_eq!(
            (answer.code().as_str(), answer.errors()),
            ("invalid_parameter", vec![message.to_owned()])
        );
    }
    assert_eq!(
        api.get("/admin/audit?entity=dog")
            .await
            .expect(400)
            .errors(),
        ["entity: expected one of tenant, key, route, tiers"]
    );
}

#[tokio::test]
async fn a_database_that_is_away_is_503_and_changes_nothing() {
    let api = Api::new();
    api.memory
        .failures
        .lock()
        .unwrap()
        .push(CommitError::Unavailable(
            "connection to 10.0.0.5 refused".to_owned(),
        ));
    let answer = api
        .post("/admin/tenants", json!({"name": "acme"}))
        .await
        .expect(503);
    assert_eq!(
        (answer.code().as_str(), answer.header("retry-after")),
        ("database_unavailable", "5")
    );
    assert!(!answer.text.contains("10.0.0.5"), "{}", answer.text);
    assert_eq!(api.get("/admin/tenants").await.data(), json!([]));
}

/// Another node's next version of the tenant, with this tier.
fn rival(api: &Api, id: &str, ahead: i64, tier: &str) -> Change {
    let state = api.memory.state();
    let mut tenant = Tenant::clone(&state.tenants[&id.parse().unwrap()]);
    tenant.version += ahead;
    tier.clone_into(&mut tenant.tier);
    Change::PutTenant(tenant)
}

#[tokio::test]
async fn a_change_without_a_precondition_is_made_over_what_came_before_it() {
    let api = Api::new();
    let id = api.tenant("acme").await;
    let path = format!("/admin/tenants/{id}");
    let rivals = vec![
        rival(&api, &id, 2, "enterprise"),
        rival(&api, &id, 1, "pro"),
    ];
    *api.memory.rivals.lock().unwrap() = rivals;
    let answer = api.patch(&path, json!({"name": "b"})).await.expect(200);
    assert_eq!(answer.header("etag"), "\"4\"");
    let data = answer.data();
    assert_eq!(
        (&data["name"], &data["tier"]),
        (&json!("b"), &json!("enterprise"))
    );
    api.memory
        .rivals
        .lock()
        .unwrap()
        .push(rival(&api, &id, 1, "pro"));
    api.delete(&path).await.expect(204);
}

#[tokio::test]
async fn a_change_with_a_precondition_is_told_which_version_overtook_it() {
    let api = Api::new();
    let id = api.tenant("acme").await;
    let path = format!("/admin/tenants/{id}");
    api.memory
        .rivals
        .lock()
        .unwrap()
        .push(rival(&api, &id, 1, "pro"));
    let answer = api
        .call(
            "PATCH",
            &path,
            &[("if-match", "\"1\"")],
            "{\"name\": \"b\"}",
        )
        .await
        .expect(412);
    assert_eq!(
        (answer.code().as_str(), answer.header("etag")),
        ("precondition_failed", "\"2\"")
    );
}

/// A mismatch without news is a row that somebody edited by hand; trying again would find the same.
#[tokio::test]
async fn a_conflict_that_stays_is_told() {
    let api = Api::new();
    let id = api.tenant("acme").await;
    let mismatch = CommitError::VersionMismatch(Entity::Tenant, id.parse().unwrap());
    api.memory.failures.lock().unwrap().push(mismatch);
    let answer = api
        .patch(&format!("/admin/tenants/{id}"), json!({"name": "b"}))
        .await
        .expect(409);
    assert_eq!(answer.code(), "edit_conflict");
}
