//! When a call is sent again, and when it is not.

use std::time::Duration;

use bastide_client::{CallError, Client};
use bastide_resilience::backoff::Backoff;
use bastide_rpc::Server;

use crate::orders::{Empty, app};
use crate::script::{answer, answering, problem};

fn client(address: &str) -> Client {
    Client::new(address).unwrap().backoff(Backoff {
        base: Duration::from_millis(2),
        max: Duration::from_millis(20),
    })
}

#[tokio::test]
async fn s14_a_server_that_is_gone_is_unreachable_and_found_again_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders.sock");
    let client = client(&format!("unix:{}", path.display()));
    let call = async || client.call::<_, ()>("orders/rare", &Empty {}).await;
    let absent = call().await.unwrap_err();
    assert!(
        matches!(absent, CallError::Unreachable { .. }),
        "{absent:?}"
    );
    let text = absent.to_string();
    assert!(
        text.contains("orders.sock cannot be reached: No such file"),
        "{text}"
    );
    for _ in 0..3 {
        let mut server = Server::new(app().entry);
        server.listen_unix(&path).unwrap();
        // The connection of the server before is kept, and dead.
        call().await.unwrap();
        server.drain(Duration::from_secs(5)).await;
        assert_eq!(call().await.unwrap_err().code(), "unreachable");
    }
}

#[tokio::test]
async fn s14_a_call_that_found_no_server_is_sent_once_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders.sock");
    let client = client(&format!("unix:{}", path.display()))
        .retries(1_000)
        .timeout(Duration::from_secs(20));
    let waiting = tokio::spawn(async move { client.call::<_, ()>("orders/rare", &Empty {}).await });
    tokio::task::yield_now().await;
    let mut server = Server::new(app().entry);
    server.listen_unix(&path).unwrap();
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn s14_what_is_busy_is_asked_again_where_twice_is_as_good_as_once() {
    let busy = |status| problem(status, "busy", "retry-after: 0\r\n");
    let answers = vec![busy(503), busy(429), answer(200, "", "7")];
    let (address, requests) = answering(answers).await;
    let client = client(&address);
    let seven = client
        .request("orders/count")
        .idempotent()
        .send::<_, u32>(&Empty {})
        .await;
    assert_eq!(seven.unwrap(), 7);
    assert_eq!(requests.await.unwrap().len(), 3);
}

#[tokio::test]
async fn s14_retries_are_bounded_and_the_last_failure_is_told() {
    let busy = || problem(503, "busy", "retry-after: 0\r\n");
    let (address, requests) = answering(vec![busy(), busy()]).await;
    let client = client(&address).retries(1);
    let failed = client
        .request("orders/count")
        .idempotent()
        .send::<_, u32>(&Empty {})
        .await;
    assert_eq!(failed.unwrap_err().code(), "busy");
    assert_eq!(requests.await.unwrap().len(), 2);
}

/// A second attempt would find nobody: the script has one answer, and after it the port is closed.
#[tokio::test]
async fn s14_nothing_is_sent_again_that_may_have_been_carried_out_or_must_wait_too_long() {
    let once = async |answer: String, is_idempotent: bool| {
        let (address, requests) = answering(vec![answer]).await;
        let client = client(&address);
        let mut request = client.request("orders/count");
        if is_idempotent {
            request = request.idempotent();
        }
        let failed = request.send::<_, u32>(&Empty {}).await.unwrap_err();
        assert_eq!(requests.await.unwrap().len(), 1);
        failed.code().to_owned()
    };
    let busy = |fields: &str| problem(503, "busy", fields);
    assert_eq!(once(busy("retry-after: 0\r\n"), false).await, "busy");
    assert_eq!(once(busy(""), true).await, "busy");
    assert_eq!(once(busy("retry-after: 5\r\n"), true).await, "busy");
    assert_eq!(
        once(problem(500, "internal", "retry-after: 0\r\n"), true).await,
        "internal"
    );
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n1".to_owned();
    assert_eq!(once(cut, false).await, "broken_off");
    assert_eq!(once(String::new(), false).await, "broken_off");
}

#[tokio::test]
async fn s14_an_answer_that_was_cut_is_asked_for_again_where_twice_is_as_good_as_once() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n1".to_owned();
    let (address, requests) = answering(vec![cut, answer(200, "", "7")]).await;
    let client = client(&address);
    let seven = client
        .request("orders/count")
        .idempotent()
        .send::<_, u32>(&Empty {})
        .await;
    assert_eq!(seven.unwrap(), 7);
    assert_eq!(requests.await.unwrap().len(), 2);
}
