//! Streams of items.

use std::time::Duration;

use bastide_client::{CallError, Client, Items};
use bastide_context::Call;
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::orders::{Empty, served};
use crate::script::{answering, problem, request};

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\r\n";

/// All that comes of a stream which the service sends as this, and then closes.
async fn items(text: &str) -> Vec<Result<u32, CallError>> {
    let (address, _requests) = answering(vec![format!("{HEAD}{text}")]).await;
    let client = Client::new(&address).unwrap();
    let items = client.stream("orders/watch", &Empty {}).await.unwrap();
    items.collect().await
}

#[tokio::test]
async fn s14_items_come_in_order_until_the_end() {
    let text =
        "id: 1\ndata: 1\n\n: still here\n\nid: 2\ndata: 2\n\nevent: end\ndata: {}\n\ndata: 3\n\n";
    let items: Result<Vec<u32>, _> = items(text).await.into_iter().collect();
    assert_eq!(items.unwrap(), [1, 2]);
}

#[tokio::test]
async fn s14_a_stream_ends_with_the_first_error_and_says_which() {
    let failed = async |text: &str| {
        let mut items = items(text).await;
        let error = items.pop().unwrap().unwrap_err();
        (items.len(), error)
    };
    let document = r#"{"status":401,"code":"token_expired","detail":"d","requestId":"r"}"#;
    let (count, error) = failed(&format!("data: 1\n\nevent: problem\ndata: {document}\n\n")).await;
    let problem = error.problem().unwrap();
    assert_eq!(
        (count, problem.status, &*problem.code),
        (1, 401, "token_expired")
    );
    let (count, error) = failed("data: 1\n\ndata: 2\n").await;
    assert_eq!((count, error.code()), (1, "broken_off"));
    let (count, error) = failed("data: x\n\ndata: 2\n\n").await;
    assert_eq!((count, error.code()), (0, "malformed_answer"));
    let (count, error) = failed("event: news\ndata: 2\n\n").await;
    assert_eq!((count, error.code()), (0, "malformed_answer"));
}

#[tokio::test]
async fn s14_what_is_refused_before_the_first_item_is_an_error_of_the_call() {
    let (address, requests) = answering(vec![problem(403, "role_required", "")]).await;
    let client = Client::new(&address).unwrap();
    let refused = client.stream::<_, u32>("orders/watch", &Empty {}).await;
    assert_eq!(refused.unwrap_err().code(), "role_required");
    assert!(requests.await.unwrap()[0].contains("accept: text/event-stream\r\n"));
    let (_server, client, _) = served().await;
    let unary = client.stream::<_, u32>("orders/search", &Empty {}).await;
    assert_eq!(unary.unwrap_err().code(), "malformed_answer");
}

/// A stream under way with nothing in it yet, and the service's end of it.
async fn open(client: impl FnOnce(Client) -> Client) -> (Items<u32>, TcpStream) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let client =
        client(Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap());
    let service = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream).await;
        stream.write_all(HEAD.as_bytes()).await.unwrap();
        stream
    };
    let (items, stream) = tokio::join!(client.stream("orders/watch", &Empty {}), service);
    (items.unwrap(), stream)
}

#[tokio::test]
async fn s14_an_item_is_there_as_soon_as_it_is_sent_and_the_timeout_does_not_end_a_stream() {
    let (mut items, mut stream) = open(|client| client.timeout(Duration::from_millis(200))).await;
    let started = std::time::Instant::now();
    for number in 0.. {
        stream
            .write_all(format!("data: {number}\n\n").as_bytes())
            .await
            .unwrap();
        assert_eq!(items.next().await.unwrap().unwrap(), number);
        if started.elapsed() > Duration::from_millis(250) {
            break;
        }
    }
}

#[tokio::test]
async fn s14_who_drops_a_stream_leaves() {
    let (items, mut stream) = open(|client| client).await;
    drop(items);
    assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn s14_a_stream_for_a_call_ends_with_the_calls_deadline() {
    let call = Call::within(Duration::from_millis(300));
    let (mut items, _stream) = open(|client| client.continuing(&call)).await;
    let late = items.next().await.unwrap();
    assert!(matches!(late, Err(CallError::TimedOut)), "{late:?}");
    assert!(items.next().await.is_none());
}
