//! The listener, and what one request may cost.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use bastide_testkit::until;
use serde_json::json;

use crate::shop::{PATIENCE, Setup, Shop, token};

/// What comes until the program closes the connection, and after which time.
fn until_closed(shop: &Shop, request: &str) -> (String, Duration) {
    let mut stream = shop.connect();
    stream.write_all(request.as_bytes()).unwrap();
    let begun = Instant::now();
    let mut text = Vec::new();
    // A reset is an end too.
    let _ = stream.read_to_end(&mut text);
    (String::from_utf8_lossy(&text).into_owned(), begun.elapsed())
}

#[test]
fn http_request_timeout() {
    let shop = Setup::new("[http]\nrequest_timeout = \"200ms\"\n").start();
    let answer = shop.send("POST", "/dawdle", None, &json!({"millis": 5_000}));
    assert_eq!(answer.status, 504, "{answer:?}");
}

#[test]
fn http_header_timeout() {
    let shop = Setup::new("[http]\nheader_timeout = \"300ms\"\n").start();
    let (_, took) = until_closed(&shop, "GET /sign HTTP/1.1\r\nhost: x\r\n");
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn http_keep_alive_timeout() {
    let shop = Setup::new("[http]\nkeep_alive_timeout = \"300ms\"\n").start();
    let (text, took) = until_closed(&shop, "GET /sign HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn http_body_timeout() {
    let shop = Setup::new("[http]\nbody_timeout = \"300ms\"\n").start();
    let head = "POST /files HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\n{";
    let (text, took) = until_closed(&shop, head);
    assert!(took < Duration::from_secs(10), "{took:?} {text}");
}

#[test]
fn http_max_body() {
    let shop = Setup::new("[http]\nmax_body = \"1kB\"\n").start();
    let say = |length: usize| {
        let body = json!({"request": "x".repeat(length), "password": ""});
        shop.send("POST", "/say", None, &body).status
    };
    assert_eq!((say(100), say(2_000)), (200, 413));
}

#[test]
fn http_max_batch() {
    let shop = Setup::new("[http]\nmax_batch = 2\n").start();
    let batch = |calls: usize| {
        let call =
            |id: usize| json!({"id": id.to_string(), "method": "shop@1.0.0/sign", "input": {}});
        let body = serde_json::Value::from((0..calls).map(call).collect::<Vec<_>>());
        shop.post("/rpc", &[], &body.to_string()).status
    };
    assert_eq!(batch(2), 200);
    assert!(batch(3) >= 400);
}

#[test]
fn http_slow_request() {
    let shop = Setup::new("[http]\nslow_request = \"50ms\"\n").start();
    shop.send("POST", "/dawdle", None, &json!({"millis": 100}));
    assert!(
        until(PATIENCE, || shop.log().contains("slow request")),
        "{}",
        shop.log()
    );
    let off = Setup::new("[http]\nslow_request = \"0s\"\n").start();
    off.send("POST", "/dawdle", None, &json!({"millis": 1_100}));
    assert!(until(PATIENCE, || off.log().contains("/dawdle")));
    assert!(!off.log().contains("slow request"), "{}", off.log());
}

#[test]
fn http_openapi() {
    let on = Setup::new("").start();
    assert_eq!(
        on.get("/openapi.json", &[]).json()["info"]["version"],
        "1.2.3"
    );
    let off = Setup::new("[http]\nopenapi = false\n").start();
    assert_eq!(off.get("/openapi.json", &[]).status, 404);
}

#[test]
fn http_cors() {
    let origin = "https://app.example.com";
    let text =
        format!("[http.cors]\norigins = [{origin:?}]\ncredentials = true\nmax_age = \"2m\"\n");
    let shop = Setup::new(&text).start();
    let answer = shop.get("/sign", &[("origin", origin)]);
    assert_eq!(answer.field("access-control-allow-origin"), Some(origin));
    assert_eq!(
        answer.field("access-control-allow-credentials"),
        Some("true")
    );
    let other = shop.get("/sign", &[("origin", "https://evil.example")]);
    assert_eq!(other.field("access-control-allow-origin"), None);
    let question = format!(
        "OPTIONS /sign HTTP/1.1\r\nhost: x\r\nconnection: close\r\norigin: {origin}\r\naccess-control-request-method: GET\r\n\r\n"
    );
    let (text, _) = until_closed(&shop, &question);
    assert!(text.contains("access-control-max-age: 120"), "{text}");

    let any = Setup::new("[http.cors]\norigins = [\"*\"]\n").start();
    let answer = any.get("/sign", &[("origin", origin)]);
    assert_eq!(answer.field("access-control-allow-origin"), Some("*"));
    let none = Setup::new("").start();
    assert_eq!(
        none.get("/sign", &[("origin", origin)])
            .field("access-control-allow-origin"),
        None
    );
    let lines = Setup::new("[http.cors]\norigins = [\"*\"]\ncredentials = true\n").refusal();
    assert!(
        lines[0].starts_with("config/default.toml:3:15: http.cors.credentials: "),
        "{lines:?}"
    );
}

/// The first bytes that come back when a WebSocket is asked for.
fn open(shop: &Shop, path: &str, origin: &str) -> (std::net::TcpStream, String) {
    let mut stream = shop.connect();
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\norigin: {origin}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
        head.push(byte[0]);
    }
    (stream, String::from_utf8(head).unwrap())
}

#[test]
fn http_websocket_path_origins_and_enabled() {
    let text = "[http.websocket]\npath = \"/live\"\n[http.cors]\norigins = [\"https://app.example.com\"]\n";
    let shop = Setup::new(text).start();
    let status =
        |shop: &Shop, path: &str, origin: &str| open(shop, path, origin).1[9..12].to_owned();
    assert_eq!(status(&shop, "/live", "https://app.example.com"), "101");
    assert_eq!(status(&shop, "/live", "https://evil.example"), "403");
    assert_eq!(status(&shop, "/ws", "https://app.example.com"), "404");
    let off = Setup::new("[http.websocket]\nenabled = false\n").start();
    assert_eq!(status(&off, "/ws", "http://x"), "404");
}

#[test]
fn http_websocket_ping_interval_and_timeout() {
    let text = "[http.websocket]\nping_interval = \"200ms\"\nping_timeout = \"700ms\"\n";
    let shop = Setup::new(text).start();
    let (mut stream, head) = open(&shop, "/ws", "http://x");
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    let begun = Instant::now();
    let mut frame = [0; 2];
    stream.read_exact(&mut frame).unwrap();
    assert_eq!(frame[0] & 0x0f, 9, "a ping");
    // It is not answered, so the connection is given up.
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn http_websocket_cannot_be_where_a_method_is() {
    let lines = Setup::new("[http.websocket]\npath = \"/sign\"\n").refusal();
    assert!(
        lines[0].starts_with("http.websocket.path: `shop@1.0.0/sign` is at /sign"),
        "{lines:?}"
    );
    let lines = Setup::new("[http.websocket]\npath = \"/healthz\"\n").refusal();
    assert!(
        lines[0].starts_with("config/default.toml:2:8: http.websocket.path: "),
        "{lines:?}"
    );
}

#[test]
fn http_listen_port_and_socket() {
    let setup = Setup::new("[http]\nsocket = \"shop.sock\"\n");
    let shop = setup.start();
    let path = setup.path().join("shop.sock");
    let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
    let request = "GET /sign HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.ends_with("\"welcome 0\""), "{text}");
    // The port is that of the variable `PORT`.
    assert_eq!(shop.get_as(&token(), "/me").status, 200);
}

#[test]
fn http_write_timeout() {
    let shop = Setup::new("[http]\nwrite_timeout = \"500ms\"\n").start();
    let mut stream = shop.connect();
    // More than what waits in the kernel's buffers.
    let request = "POST /flood HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n{}";
    stream.write_all(request.as_bytes()).unwrap();
    let open = || shop.metric("goods_floods");
    assert!(until(PATIENCE, || open() >= 1.0));
    // Nothing of it is taken, so it is given up.
    assert!(until(PATIENCE, || open() < 1.0));
}

#[test]
fn http_batch_concurrency() {
    let time = |concurrency: usize| {
        let text = format!("[http]\nbatch_concurrency = {concurrency}\n");
        let shop = Setup::new(&text).start();
        let call = |id: usize| json!({"id": id.to_string(), "method": "shop@1.0.0/dawdle", "input": {"millis": 300}});
        let body = serde_json::Value::from((0..4).map(call).collect::<Vec<_>>());
        let begun = Instant::now();
        assert_eq!(shop.post("/rpc", &[], &body.to_string()).status, 200);
        begun.elapsed()
    };
    assert!(time(1) >= Duration::from_millis(1_200));
    assert!(time(4) < Duration::from_millis(1_100));
}
