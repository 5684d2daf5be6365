//! Streams as server-sent events.

use std::time::Duration;

use bastide_auth::SessionId;
use bastide_rpc::{Body, Drain, HttpOptions, Server};
use bastide_telemetry::metrics::Exposition;
use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

use crate::connections::{ROOM, connect};
use crate::support::{App, app, app_with, post, request};

async fn open(app: &App, method: &str, token: &str, input: &Value) -> Response<Body> {
    let request = post(&format!("/rpc/{method}"), Some(token), input);
    app.entry.answer(request, None).await
}

async fn text(response: Response<Body>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.into()).unwrap()
}

/// The next event of this body.
async fn event(body: &mut Body) -> String {
    let frame = body.frame().await.unwrap().unwrap();
    String::from_utf8(frame.into_data().unwrap().into()).unwrap()
}

/// Reads until a problem ends the stream.
async fn problem(mut body: Body) -> Value {
    for _ in 0..100 {
        let event = event(&mut body).await;
        if let Some(document) = event.strip_prefix("event: problem\ndata: ") {
            assert!(body.frame().await.is_none(), "the response ends properly");
            return serde_json::from_str(document).unwrap();
        }
        assert!(event.starts_with("id: "), "{event}");
    }
    panic!("it goes on and on");
}

const TWO: &str =
    "id: 1\ndata: {\"id\":7,\"number\":0}\n\nid: 2\ndata: {\"id\":7,\"number\":1}\n\n";

#[tokio::test]
async fn s14_a_stream_is_sent_as_events() {
    let app = app();
    let token = app.ada().await;
    let expected = format!("{TWO}event: end\ndata: {{}}\n\n");
    let by_name = open(&app, "feeds/follow", &token, &json!({"id": 7})).await;
    let path = request(
        "GET",
        "/users/7/changes?verbose=true",
        Some(&token),
        Bytes::new(),
    );
    let by_path = app.entry.answer(path, None).await;
    for response in [by_name, by_path] {
        assert_eq!(response.status(), 200);
        let fields = response.headers();
        assert_eq!(fields["content-type"], "text/event-stream");
        assert_eq!(fields["cache-control"], "no-store");
        assert_eq!(fields["x-ratelimit-limit"], "5");
        assert_eq!(fields["x-request-id"].len(), 32);
        assert_eq!(text(response).await, expected);
    }
    let head = request("HEAD", "/users/7/changes", Some(&token), Bytes::new());
    let response = app.entry.answer(head, None).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(text(response).await, "");
}

#[tokio::test]
async fn s14_what_is_refused_before_a_stream_begins_is_an_ordinary_problem() {
    let app = app();
    let token = app.ada().await;
    let reply = app
        .rpc("feeds/follow", Some(&token), json!({"id": 404}))
        .await;
    assert_eq!(reply.verdict(), (404, "user_not_found".to_owned()));
    assert_eq!(reply.field("content-type"), "application/problem+json");
}

#[tokio::test]
async fn s14_a_problem_is_the_last_event_of_a_stream() {
    let app = app();
    let token = app.ada().await;
    for (id, status, code) in [(405, 404, "user_not_found"), (500, 500, "internal")] {
        let response = open(&app, "feeds/follow", &token, &json!({"id": id})).await;
        assert_eq!(response.status(), 200);
        let request_id = response.headers()["x-request-id"].clone();
        let problem = problem(response.into_body()).await;
        assert_eq!(
            (&problem["status"], &problem["code"]),
            (&json!(status), &json!(code))
        );
        assert_eq!(problem["requestId"], request_id.to_str().unwrap());
    }
}

#[tokio::test]
async fn s14_a_batch_has_no_room_for_a_stream() {
    let app = app();
    let token = app.ada().await;
    let batch = json!([{"method": "feeds/follow", "input": {"id": 7}}, {"method": "users/health"}]);
    let reply = app.send(post("/rpc", Some(&token), &batch)).await;
    assert_eq!(reply.json[0]["status"], 400);
    assert_eq!(reply.json[0]["problem"]["code"], "stream_in_batch");
    assert_eq!(reply.json[1]["status"], 200);
    assert_eq!(app.ran.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn s14_a_stream_outlives_the_deadline_of_its_beginning() {
    let app = app();
    let token = app.ada().await;
    let begun = Instant::now();
    let mut body = open(&app, "feeds/ticks", &token, &json!({}))
        .await
        .into_body();
    for number in 0..60 {
        let expected = format!("id: {}\ndata: {number}\n\n", number + 1);
        assert_eq!(event(&mut body).await, expected);
    }
    assert_eq!(begun.elapsed().as_secs(), 59);
    // A caller may ask for less time until it begins.
    let mut request = post("/rpc/feeds/hesitate", Some(&token), &json!({}));
    let fields = request.headers_mut();
    fields.insert("x-request-timeout-ms", "3000".parse().unwrap());
    let begun = Instant::now();
    let reply = app.send(request).await;
    assert_eq!(reply.verdict(), (504, "deadline_passed".to_owned()));
    assert_eq!(begun.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn s15_a_silent_stream_is_kept_alive_by_comments() {
    let app = app();
    let token = app.ada().await;
    let mut body = open(&app, "feeds/silent", &token, &json!({}))
        .await
        .into_body();
    let begun = Instant::now();
    assert_eq!(event(&mut body).await, "id: 1\ndata: 0\n\n");
    for seconds in [15, 30] {
        assert_eq!(event(&mut body).await, ":\n\n");
        assert_eq!(begun.elapsed().as_secs(), seconds);
    }
}

#[tokio::test]
async fn s14_a_caller_that_leaves_cancels_its_stream() {
    let app = app();
    let (token, feeds) = (app.ada().await, app.feeds.clone());
    let mut body = open(&app, "feeds/silent", &token, &json!({}))
        .await
        .into_body();
    event(&mut body).await;
    drop(body);
    feeds.dropped().await;
    let request = format!(
        "POST /rpc/feeds/silent HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: 0\r\n\r\n"
    );
    let mut server = Server::new(app.entry);
    let address = server.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut begun = Vec::new();
    // An item is sent as it comes, though none follows for an hour.
    while !String::from_utf8_lossy(&begun).contains("id: 1\ndata: 0\n\n") {
        assert!(stream.read_buf(&mut begun).await.unwrap() > 0);
    }
    drop(stream);
    let gone = tokio::time::timeout(Duration::from_secs(10), feeds.dropped());
    gone.await.unwrap();
}

#[tokio::test]
async fn s14_a_stream_is_sent_over_http2() {
    let app = app();
    let (token, feeds) = (app.ada().await, app.feeds.clone());
    let mut server = Server::new(app.entry);
    let address = server.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut send, connection) = http2::handshake(TokioExecutor::new(), stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = |path: &str| {
        let uri = format!("http://x/rpc/{path}");
        post(&uri, Some(&token), &json!({"id": 7}))
    };
    let response = send.send_request(request("feeds/follow")).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, format!("{TWO}event: end\ndata: {{}}\n\n"));
    // Who leaves resets the exchange and keeps the connection.
    let silent = post("http://x/rpc/feeds/silent", Some(&token), &json!({}));
    let mut body = send.send_request(silent).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    feeds.dropped().await;
    assert_eq!(
        send.send_request(request("feeds/follow"))
            .await
            .unwrap()
            .status(),
        200
    );
}

#[tokio::test(start_paused = true)]
async fn a2_a_revoked_session_ends_its_streams_within_the_recheck() {
    // Also where strangers are let in: whose stream it is does not change.
    for (method, seconds) in [("feeds/ticks", 5), ("feeds/ticks", 2), ("feeds/watched", 5)] {
        let app = app_with(HttpOptions {
            stream_recheck: Duration::from_secs(seconds),
            ..HttpOptions::default()
        });
        let token = app.ada().await;
        let mut body = open(&app, method, &token, &json!({})).await.into_body();
        for _ in 0..20 {
            event(&mut body).await;
        }
        let session = SessionId::parse("s-ada").unwrap();
        app.sessions.revoke(&session).await.unwrap();
        let revoked = Instant::now();
        assert_eq!(problem(body).await["code"], "session_revoked");
        assert!(revoked.elapsed() <= Duration::from_secs(seconds));
        app.feeds.dropped().await;
    }
}

#[tokio::test(start_paused = true)]
async fn s9_a_token_that_ends_takes_its_streams_with_it() {
    let app = app();
    let token = app.ada().await;
    let mut body = open(&app, "feeds/ticks", &token, &json!({}))
        .await
        .into_body();
    for _ in 0..20 {
        event(&mut body).await;
    }
    app.time.advance(Duration::from_mins(16));
    let ended = Instant::now();
    assert_eq!(problem(body).await["code"], "token_expired");
    assert!(ended.elapsed() <= Duration::from_secs(5));
    // A stranger has nothing that could end.
    let request = post("/rpc/feeds/watched", None, &json!({}));
    let mut body = app.entry.answer(request, None).await.into_body();
    for _ in 0..20 {
        event(&mut body).await;
    }
}

#[tokio::test]
async fn s14_a_stream_is_made_no_faster_than_it_is_read() {
    let app = app();
    let (token, feeds) = (app.ada().await, app.feeds.clone());
    let mut connection = connect(app.entry);
    let request = format!(
        "POST /rpc/feeds/flood HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: 0\r\n\r\n"
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut read = 0;
    let mut buffer = vec![0; ROOM];
    for _ in 0..8 {
        // Until nothing more is made, though nothing is read.
        let mut made = feeds.made();
        loop {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            if feeds.made() == made && made > 0 {
                break;
            }
            made = feeds.made();
        }
        // What waits in hyper's buffer, 400 KiB at most, and on the way.
        let most = read / 1_000 + (512 << 10) / 1_000;
        assert!(made as usize <= most, "{made} items after {read} bytes");
        for _ in 0..8 {
            read += connection.read(&mut buffer).await.unwrap();
        }
    }
    assert!(read > 8 * ROOM, "what is read makes room: {read}");
}

#[tokio::test]
async fn s13_a_stream_is_open_until_it_ends_and_counted_then() {
    let app = app();
    let token = app.ada().await;
    let labels = |method: &str| format!(r#"service="feeds",version="1.0.0",method="{method}""#);
    let has = |line: &str| {
        let text = app.metrics.render(Exposition::Prometheus);
        assert!(text.contains(line), "{line} in\n{text}");
    };
    let mut body = open(&app, "feeds/ticks", &token, &json!({}))
        .await
        .into_body();
    event(&mut body).await;
    has(&format!("rpc_open_streams{{{}}} 1\n", labels("ticks")));
    has(&format!(
        "rpc_request_duration_seconds_count{{{}}} 0\n",
        labels("ticks")
    ));
    drop(body);
    has(&format!("rpc_open_streams{{{}}} 0\n", labels("ticks")));
    has(&format!(
        "rpc_requests_total{{{},status=\"200\"}} 1\n",
        labels("ticks")
    ));
    for id in [7, 404, 405] {
        let response = open(&app, "feeds/follow", &token, &json!({"id": id})).await;
        text(response).await;
    }
    has(&format!(
        "rpc_requests_total{{{},status=\"200\"}} 1\n",
        labels("follow")
    ));
    has(&format!(
        "rpc_requests_total{{{},status=\"404\"}} 2\n",
        labels("follow")
    ));
    has(&format!(
        "rpc_request_duration_seconds_count{{{}}} 3\n",
        labels("follow")
    ));
}

#[tokio::test]
async fn s18_draining_ends_streams() {
    let app = app();
    let token = app.ada().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let mut server = Server::new(app.entry);
    server.listen_unix(&path).unwrap();
    let request = format!(
        "POST /rpc/feeds/silent HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: 0\r\n\r\n"
    );
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains("id: 1\n") {
        assert!(stream.read_buf(&mut answer).await.unwrap() > 0);
    }
    let drained = tokio::spawn(server.drain(Duration::from_secs(10)));
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.contains("event: problem\ndata: {"), "{answer}");
    assert!(answer.contains(r#""code":"draining""#), "{answer}");
    // The last chunk: nothing was cut.
    assert!(answer.ends_with("\r\n0\r\n\r\n"), "{answer}");
    assert_eq!(drained.await.unwrap(), Drain::Complete);
}
