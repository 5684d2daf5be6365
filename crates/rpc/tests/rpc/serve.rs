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
    // Also one that never begins, and one that could still become HTTP/2.
    for begun in ["GET /users-health HTTP/1.1\r\nhost:", "", "PRI * HT"] {
        let stream = TcpStream::connect(address).await.unwrap();
        let ended = exchange(stream, begun);
        let answer = tokio::time::timeout(Duration::from_secs(5), ended)
            .await
            .unwrap();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 408 "),
            "{answer}"
        );
    }
}

/// Sends a request on a connection that is kept, and reads its answer's head.
async fn ask(stream: &mut TcpStream) -> String {
    let request = "GET /users-health HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nnull") {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "too early");
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn s18_who_leaves_keeps_a_connection_for_one_more_request() {
    let socket = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = socket.local_addr().unwrap();
    let mut server = Server::new(app().entry);
    server.listen_on(socket.try_clone().unwrap()).unwrap();
    let mut kept = TcpStream::connect(address).await.unwrap();
    assert!(!ask(&mut kept).await.contains("connection: close"));
    let leaving = tokio::spawn(async move {
        server.leave().await;
        server
    });
    // The socket is still there, and whoever holds it may accept.
    let mut next = Server::new(app().entry);
    let mut answer = String::new();
    while !answer.contains("connection: close") {
        assert!(!leaving.is_finished(), "the connection is held");
        if !answer.is_empty() {
            tokio::task::yield_now().await;
        }
        answer = ask(&mut kept).await;
    }
    assert_eq!(kept.read(&mut [0]).await.unwrap(), 0, "it is closed then");
    let server = tokio::time::timeout(Duration::from_secs(5), leaving);
    let server = server.await.unwrap().unwrap();
    next.listen_on(socket).unwrap();
    let other = exchange(TcpStream::connect(address).await.unwrap(), HEALTH).await;
    assert!(other.starts_with("HTTP/1.1 200 OK\r\n"), "{other}");
    assert_eq!(server.drain(Duration::from_secs(5)).await, Drain::Complete);
}

#[tokio::test]
async fn s14_http2_is_spoken_unless_it_is_switched_off() {
    const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for (http2, is_spoken) in [(true, true), (false, false)] {
        let options = HttpOptions {
            http2,
            ..HttpOptions::default()
        };
        let mut server = Server::new(app_with(options).entry);
        let address = server.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(PREFACE.as_bytes()).await.unwrap();
        let mut first = [0; 4];
        let read = stream.read(&mut first).await.unwrap_or_default();
        // A frame of settings, which has a type of 4.
        let spoken = read == 4 && stream.read_u8().await.is_ok() && !first.starts_with(b"HTTP");
        assert_eq!(spoken, is_spoken, "{first:?}");
    }
}
