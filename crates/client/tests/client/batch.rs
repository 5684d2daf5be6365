//! Several calls in one request.

use bastide_client::Client;
use serde_json::Value;

use crate::orders::{Id, Order, order, served};
use crate::script::{answer, answering};

#[tokio::test]
async fn s14_each_call_of_a_batch_has_its_own_answer() {
    let (_server, client, _) = served().await;
    let mut batch = client.batch();
    let found = batch
        .add::<_, Order>("orders@1/find", &Id { id: 3 })
        .unwrap();
    let missing = batch
        .add::<_, Order>("orders@1/find", &Id { id: 404 })
        .unwrap();
    let unknown = batch.add::<_, Value>("orders@1/lose", &()).unwrap();
    let put = batch.add::<_, Order>("orders@1/put", &order(5)).unwrap();
    let mut answers = batch.send().await.unwrap();
    assert_eq!(answers.take(put).unwrap(), order(5));
    assert_eq!(answers.take(found).unwrap(), order(3));
    let missing = answers.take(missing).unwrap_err();
    assert_eq!(missing.problem().unwrap().status, 404);
    assert_eq!(missing.code(), "order_not_found");
    assert_eq!(
        answers.take(unknown).unwrap_err().code(),
        "method_not_found"
    );
}

#[tokio::test]
async fn s14_a_batch_of_nothing_asks_nobody_and_one_too_large_is_refused_whole() {
    let nobody = Client::new("http://127.0.0.1:1").unwrap();
    nobody.batch().send().await.unwrap();
    let (_server, client, _) = served().await;
    let mut batch = client.batch();
    for id in 0..51 {
        batch.add::<_, Order>("orders/find", &Id { id }).unwrap();
    }
    assert_eq!(batch.send().await.unwrap_err().code(), "batch_size");
}

#[tokio::test]
async fn s14_answers_that_do_not_belong_to_the_calls_are_malformed() {
    let answers = vec![
        answer(200, "", "[]"),
        answer(200, "", r#"[{"status":200}]"#),
    ];
    let (address, _requests) = answering(answers).await;
    let client = Client::new(&address).unwrap();
    let mut batch = client.batch();
    batch.add::<_, Order>("orders/find", &Id { id: 1 }).unwrap();
    assert_eq!(batch.send().await.unwrap_err().code(), "malformed_answer");
    let mut batch = client.batch();
    let slot = batch.add::<_, Order>("orders/find", &Id { id: 1 }).unwrap();
    let mut answers = batch.send().await.unwrap();
    assert_eq!(answers.take(slot).unwrap_err().code(), "malformed_answer");
}
