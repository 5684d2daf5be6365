//! Single calls.

use std::time::Duration;

use bastide_auth::TenantId;
use bastide_client::{CallError, Client, FieldError};
use bastide_config::Secret;
use bastide_context::Call;
use bastide_rpc::Server;
use serde_json::{Value, json};

use crate::orders::{Empty, Id, Order, SERVICE_KEY, app, order, served, token};
use crate::script::{answer, answering};

#[tokio::test]
async fn s14_methods_are_called_over_tcp_and_unix_sockets() {
    let app = app();
    let token = token(&app.issuer);
    let mut server = Server::new(app.entry);
    let address = server.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders.sock");
    server.listen_unix(&path).unwrap();
    for address in [
        format!("http://{address}/"),
        format!("unix:{}", path.display()),
    ] {
        let client = Client::new(&address).unwrap();
        let client = client.bearer(Secret::new(token.expose()));
        let found: Order = client
            .call("orders@1.2.0/find", &Id { id: 7 })
            .await
            .unwrap();
        assert_eq!(found, order(7), "{address}");
    }
}

#[tokio::test]
async fn s14_a_problem_is_told_with_all_that_the_service_says() {
    let (_server, client, _) = served().await;
    let call = Call::new();
    let client = client.continuing(&call);
    let problem = async |method: &str, input: Value| {
        let error = client.call::<_, Value>(method, &input).await.unwrap_err();
        error.problem().cloned().unwrap()
    };
    let missing = problem("orders@1/find", json!({"id": 404})).await;
    assert_eq!((missing.status, &*missing.code), (404, "order_not_found"));
    assert_eq!(missing.detail, "there is no such order");
    assert_eq!(missing.request_id, Some(call.request_id().to_string()));
    let wrong = problem("orders@1/find", json!({"id": "x"})).await;
    assert_eq!(wrong.code, "validation_failed");
    let error = FieldError {
        field: "id".to_owned(),
        message: "invalid type: string \"x\", expected u64".to_owned(),
    };
    assert_eq!(wrong.errors, [error]);
}

#[tokio::test]
async fn s14_who_is_over_a_limit_is_told_when_to_come_back() {
    let (_server, client, _) = served().await;
    let call = async || client.call::<_, ()>("orders/rare", &Empty {}).await;
    call().await.unwrap();
    let over = call().await.unwrap_err();
    let over = over.problem().unwrap();
    assert_eq!((over.status, &*over.code), (429, "rate_limited"));
    let wait = over.retry_after.unwrap();
    assert!(
        wait > Duration::from_secs(30) && wait <= Duration::from_secs(61),
        "{wait:?}"
    );
}

#[tokio::test]
async fn s14_id_trace_and_deadline_of_a_call_go_on_with_it() {
    let (_server, client, _) = served().await;
    let ids = async |client: &Client| -> (String, String, u64) {
        client.call("orders/call-ids", &Empty {}).await.unwrap()
    };
    let call = Call::within(Duration::from_secs(5));
    let (id, trace, left) = ids(&client.continuing(&call)).await;
    assert_eq!(id, call.request_id().to_string());
    assert_eq!(trace, call.trace().trace().to_string());
    assert!((1..=5_000).contains(&left), "{left}");
    // Its own timeout, where that is the shorter one; the service's, where nobody asks for less.
    let (_, _, left) = ids(&client
        .clone()
        .timeout(Duration::from_secs(3))
        .continuing(&call))
    .await;
    assert!((1..=3_000).contains(&left), "{left}");
    let (_, _, left) = ids(&client.timeout(Duration::MAX)).await;
    assert!((5_000..=10_000).contains(&left), "{left}");
}

#[tokio::test]
async fn s14_a_call_ends_with_its_time_whether_the_service_says_so_or_nothing() {
    let (_server, client, _) = served().await;
    let call = Call::within(Duration::from_millis(50));
    let slow = client.continuing(&call);
    let late = slow.call::<_, ()>("orders/slow", &Empty {}).await;
    assert!(matches!(late, Err(CallError::TimedOut)), "{late:?}");
    let again = slow.call::<_, ()>("orders/slow", &Empty {}).await;
    assert_eq!(
        again.unwrap_err().code(),
        "timed_out",
        "nothing is left to ask with"
    );

    let silent = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let silent = Client::new(&format!("http://{}", silent.local_addr().unwrap())).unwrap();
    let silent = silent.timeout(Duration::from_millis(50));
    let late = silent.call::<_, ()>("orders/slow", &Empty {}).await;
    assert!(matches!(late, Err(CallError::TimedOut)), "{late:?}");
}

#[tokio::test]
async fn s14_a_service_calls_with_its_key_for_a_tenant() {
    let (_server, client, _) = served().await;
    let acme = TenantId::parse("acme").unwrap();
    let with = |tenant| client.clone().service_key(Secret::new(SERVICE_KEY), tenant);
    let found = with(Some(acme))
        .call::<_, Order>("orders/find", &Id { id: 1 })
        .await;
    assert_eq!(found.unwrap().id, 1);
    let refused = with(None)
        .call::<_, Order>("orders/find", &Id { id: 1 })
        .await;
    assert_eq!(refused.unwrap_err().code(), "tenant_required");
    let who = with(None)
        .call::<_, Option<String>>("orders/who", &())
        .await;
    assert!(who.unwrap().unwrap().contains("billing"));
}

#[tokio::test]
async fn s14_what_is_not_an_answer_is_malformed() {
    let cases = [
        (answer(200, "", "{\"id\":\"x\"}"), 200, "id: invalid type"),
        (answer(200, "", "{\"id\":1} x"), 200, "trailing characters"),
        (answer(502, "", "<html>"), 502, "no problem document"),
        (answer(200, "", &"x".repeat(100)), 200, "more than 99 bytes"),
    ];
    let (address, _requests) = answering(cases.iter().map(|case| case.0.clone()).collect()).await;
    let client = Client::new(&address).unwrap().max_answer(99);
    for (_, expected, said) in cases {
        match client.call::<_, Id>("orders/find", &Id { id: 1 }).await {
            Err(CallError::Malformed { status, reason }) => {
                assert_eq!(status, expected);
                assert!(reason.contains(said), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn s14_what_cannot_be_sent_is_told_before_anybody_is_asked() {
    let client = Client::new("http://127.0.0.1:1").unwrap();
    let unsendable = async |client: &Client, method: &str, input: &Value| {
        let error = client.call::<_, Value>(method, input).await.unwrap_err();
        assert_eq!(error.code(), "unsendable", "{error}");
        error.to_string()
    };
    let name = unsendable(&client, "orders find", &json!({})).await;
    assert!(name.contains("\"/rpc/orders find\""), "{name}");
    let with_token = client.clone().bearer(Secret::new("secret\ntoken"));
    let token = unsendable(&with_token, "orders/find", &json!({})).await;
    assert!(
        token.contains("the token has characters") && !token.contains("secret"),
        "{token}"
    );
    let without_form = std::collections::HashMap::from([((1, 2), 3)]);
    let no_json = client.call::<_, ()>("orders/find", &without_form);
    assert_eq!(no_json.await.unwrap_err().code(), "unsendable");
}

#[tokio::test]
async fn s14_the_description_of_a_running_service_is_had_from_it() {
    let (_server, client, _) = served().await;
    let document = client.description().await.unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["paths"]["/rpc/orders@1.2.0/find"].is_object());
}
