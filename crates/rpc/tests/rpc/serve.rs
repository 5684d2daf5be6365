//! The same over real sockets.

use std::time::Duration;

use bastide_rpc::{Drain, HttpOptions, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::support::{app, app_with};

/// Sends this and reads until the other side closes.
async fn exchange(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

const HEALTH: &str = "GET /users-health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn s14_methods_are_served_over_tcp_and_unix_sockets() {
    let mut server = Server::new(app().entry);
    let address = server.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    server.listen_unix(&path).unwrap();
    let over_tcp = exchange(TcpStream::connect(address).await.unwrap(), HEALTH).await;
    let over_unix = exchange(UnixStream::connect(&path).await.unwrap(), HEALTH).await;
    for answer in [over_tcp, over_unix] {
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nnull"), "{answer}");
    }
    assert_eq!(server.drain(Duration::from_secs(5)).await, Drain::Complete);
    assert!(TcpStream::connect(address).await.is_err());
    // What a process left behind does not keep the next one from listening; a living one does.
    let mut next = Server::new(app().entry);
    next.listen_unix(&path).unwrap();
    let mut second = Server::new(app().entry);
    let error = second.listen_unix(&path).unwrap_err().to_string();
    assert!(error.starts_with("cannot listen on "), "{error}");
}

#[tokio::test]
async fn s18_requests_under_way_finish_when_the_server_drains() {
    let app = app();
    let (token, ran) = (app.ada().await, app.ran.clone());
    let mut server = Server::new(app.entry);
    let address = server.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let idle = TcpStream::connect(address).await.unwrap();
    let slow = format!(
        "POST /users/slow HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nx-request-timeout-ms: 300\r\n\
         content-length: 0\r\n\r\n"
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(slow.as_bytes()).await.unwrap();
    let answer = tokio::spawn(async move {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    });
    ran.begun().await;
    assert_eq!(server.drain(Duration::from_secs(5)).await, Drain::Complete);
    assert!(answer.await.unwrap().starts_with("HTTP/1.1 504 "));
    drop(idle);
}

#[tokio::test]
async fn s18_draining_has_a_hard_end() {
    let app = app();
    let (token, ran) = (app.ada().await, app.ran.clone());
    let mut server = Server::new(app.entry);
    let address = server.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let slow = format!(
        "POST /users/slow HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: 0\r\n\r\n"
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(slow.as_bytes()).await.unwrap();
    ran.begun().await;
    assert_eq!(
        server.drain(Duration::from_millis(200)).await,
        Drain::CutOff
    );
    // Nothing is left that could go on with it.
    let mut answer = String::new();
    let cut = tokio::time::timeout(Duration::from_secs(5), stream.read_to_string(&mut answer));
    let ended = cut.await.expect("the connection is closed");
    assert!(ended.is_err() || answer.is_empty(), "{answer}");
}

#[tokio::test]
async fn s15_a_head_that_does_not_arrive_ends_its_connection() {
    let options = HttpOptions {
        header_timeout: Duration::from_millis(200),
        ..HttpOptions::default()
    };
    let mut server = Server::new(app_with(options).entry);
    let address = server.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let ended = exchange(stream, "GET /users-health HTTP/1.1\r\nhost:");
    let answer = tokio::time::timeout(Duration::from_secs(5), ended)
        .await
        .unwrap();
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 408 "),
        "{answer}"
    );
}
