//! Tokens that expire.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bastide_client::Client;
use bastide_config::Secret;
use bastide_rpc::Server;

use crate::orders::{Empty, Id, Order, app, token};
use crate::script::{answering, problem};

#[tokio::test]
async fn s14_a_token_is_asked_for_once_and_again_when_it_has_expired() {
    let app = app();
    let (issuer, time) = (Arc::new(app.issuer), app.time);
    let mut server = Server::new(app.entry);
    let address = server.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let asked = Arc::new(AtomicU32::new(0));
    let client = Client::new(&format!("http://{address}")).unwrap();
    let client = client.token_source({
        let asked = asked.clone();
        move || {
            asked.fetch_add(1, Ordering::Relaxed);
            let token = token(&issuer);
            async move { Ok::<_, String>(token) }
        }
    });
    let call = async || {
        client
            .call::<_, Order>("orders/find", &Id { id: 1 })
            .await
            .unwrap()
    };
    for expected in 1..=3 {
        tokio::join!(call(), call(), call());
        call().await;
        assert_eq!(asked.load(Ordering::Relaxed), expected);
        time.advance(Duration::from_hours(1));
    }
    let mut batch = client.batch();
    let first = batch.add::<_, Order>("orders/find", &Id { id: 1 }).unwrap();
    let second = batch
        .add::<_, serde_json::Value>("orders/search", &Empty {})
        .unwrap();
    let mut answers = batch.send().await.unwrap();
    assert_eq!(answers.take(first).unwrap().id, 1);
    assert_eq!(answers.take(second).unwrap()["total"], 1);
    assert_eq!(asked.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn s14_a_new_token_that_has_expired_too_is_the_end() {
    let expired = || problem(401, "token_expired", "");
    let (address, requests) = answering(vec![expired(), expired()]).await;
    let client = Client::new(&address).unwrap();
    let count = AtomicU32::new(0);
    let client = client.token_source(move || {
        let number = count.fetch_add(1, Ordering::Relaxed);
        async move { Ok::<_, String>(Secret::new(format!("t{number}"))) }
    });
    let refused = client.call::<_, ()>("orders/who", &()).await.unwrap_err();
    assert_eq!(refused.code(), "token_expired");
    let requests = requests.await.unwrap();
    assert!(
        requests[0].contains("authorization: Bearer t0\r\n"),
        "{}",
        requests[0]
    );
    assert!(
        requests[1].contains("authorization: Bearer t1\r\n"),
        "{}",
        requests[1]
    );
}

#[tokio::test]
async fn s14_a_fixed_token_is_not_sent_twice_and_no_token_is_no_call() {
    let (address, requests) = answering(vec![problem(401, "token_expired", "")]).await;
    let client = Client::new(&address).unwrap();
    let fixed = client.clone().bearer(Secret::new("fixed"));
    let refused = fixed.call::<_, ()>("orders/who", &()).await.unwrap_err();
    assert_eq!(refused.code(), "token_expired");
    assert_eq!(requests.await.unwrap().len(), 1);
    let without = client.token_source(|| async { Err::<Secret, _>("signed out") });
    let none = without.call::<_, ()>("orders/who", &()).await.unwrap_err();
    assert_eq!(
        none.to_string(),
        "there is no token to call with: signed out"
    );
}
