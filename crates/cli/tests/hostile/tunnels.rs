//! `WebSocket`s through the gateway, by a real client and a real server; and what is no tunnel until both sides have agreed.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio_tungstenite::tungstenite::{
    self, Message, client::IntoClientRequest as _, handshake::client::Request as Handshake,
};

use crate::harness::wait::{eventually, pause};
use crate::harness::{Answer, Gateway, Request, TenantKey};
use crate::raw::{self, Server};
use crate::scene::{Scene, assert_own, gateway_before, one_worker};

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A WebSocket server that sends back what it gets.
fn echo() -> Server {
    Server::start(|stream, _| {
        let Ok(mut socket) = tungstenite::accept(stream) else {
            return Ok(());
        };
        while let Ok(message) = socket.read() {
            if (message.is_text() || message.is_binary()) && socket.send(message).is_err() {
                return Ok(());
            }
        }
        Ok(())
    })
}

fn handshake(gateway: &Gateway, key: &str) -> Handshake {
    let mut request = format!("ws://{}/chat?room=1", gateway.public)
        .into_client_request()
        .unwrap();
    request
        .headers_mut()
        .insert("X-API-Key", key.parse().unwrap());
    request
}

type Socket = tungstenite::WebSocket<TcpStream>;

#[track_caller]
fn connect(gateway: &Gateway, tenant: &TenantKey) -> Socket {
    let stream = TcpStream::connect(gateway.public).unwrap();
    stream.set_read_timeout(Some(raw::PATIENCE)).unwrap();
    let (socket, response) = tungstenite::client(handshake(gateway, &tenant.key), stream).unwrap();
    assert_eq!(response.status(), 101);
    assert!(response.headers().contains_key("x-request-id"));
    socket
}

#[test]
fn messages_of_every_size_come_back() {
    let server = echo();
    let (gateway, tenant) = gateway_before(one_worker(), &server.url());
    let mut socket = connect(&gateway, &tenant);
    for size in [0, 1, 125, 126, 65_535, 65_536, 1_000_000, 8_000_000] {
        let text = "x".repeat(size);
        socket.send(Message::text(&text)).unwrap();
        assert_eq!(socket.read().unwrap(), Message::text(&text), "{size}");
    }
    socket.send(Message::binary(vec![0, 255, 13, 10])).unwrap();
    assert_eq!(
        socket.read().unwrap(),
        Message::binary(vec![0, 255, 13, 10])
    );
    socket.close(None).unwrap();
    while socket.read().is_ok() {}
}

#[test]
fn many_sockets_at_once_keep_their_messages_apart() {
    let server = echo();
    let (gateway, tenant) = gateway_before(one_worker(), &server.url());
    let mut sockets: Vec<_> = (0..50).map(|_| connect(&gateway, &tenant)).collect();
    for round in 0..5 {
        for (number, socket) in sockets.iter_mut().enumerate() {
            socket
                .send(Message::text(format!("{round} {number}")))
                .unwrap();
        }
        for (number, socket) in sockets.iter_mut().enumerate() {
            assert_eq!(
                socket.read().unwrap(),
                Message::text(format!("{round} {number}"))
            );
        }
    }
}

#[test]
fn the_end_of_one_side_reaches_the_other() {
    let (ended, end) = channel::<()>();
    let ended = Mutex::new(ended);
    let server = Server::start(move |stream, _| {
        let Ok(mut socket) = tungstenite::accept(stream) else {
            return Ok(());
        };
        while let Ok(message) = socket.read() {
            if message == Message::text("leave") {
                return Ok(());
            }
        }
        ended.lock().unwrap().send(()).ok();
        Ok(())
    });
    let (gateway, tenant) = gateway_before(one_worker(), &server.url());
    drop(connect(&gateway, &tenant));
    end.recv_timeout(raw::PATIENCE)
        .expect("the upstream hears that the client has gone");
    let mut socket = connect(&gateway, &tenant);
    socket.send(Message::text("leave")).unwrap();
    assert!(
        socket.read().is_err(),
        "the client hears that the upstream has gone"
    );
}

#[test]
fn a_handshake_without_a_key_is_refused_and_never_seen() {
    let server = echo();
    let (gateway, _) = gateway_before(one_worker(), &server.url());
    let stream = TcpStream::connect(gateway.public).unwrap();
    let refused = tungstenite::client(handshake(&gateway, "wrong"), stream);
    let Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(response))) = refused
    else {
        panic!("a wrong key opened a socket");
    };
    assert_eq!(response.status(), 403);
}

#[test]
fn no_tunnel_opens_before_the_upstream_agrees() {
    // What the client sends before the answer must not reach the upstream: it could be anything.
    let seen = Arc::new(Mutex::new(Vec::new()));
    let server = Server::start({
        let seen = Arc::clone(&seen);
        move |mut stream, _| {
            raw::read_head(&mut stream)?;
            stream.set_read_timeout(Some(Duration::from_millis(500)))?;
            let mut early = [0; 1024];
            // Nothing, which is an error after the time limit.
            let count = stream.read(&mut early).unwrap_or_default();
            seen.lock().unwrap().extend_from_slice(&early[..count]);
            stream.write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                  Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
            )?;
            stream.set_read_timeout(Some(raw::PATIENCE))?;
            let mut late = [0; 5];
            stream.read_exact(&mut late)?;
            stream.write_all(&late)
        }
    });
    let (gateway, tenant) = gateway_before(one_worker(), &server.url());
    let mut client = gateway.connect();
    client.send(format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\n{UPGRADE}\r\nearly",
        tenant.key
    ));
    assert_eq!(client.read_head().status, 101);
    assert_eq!(
        String::from_utf8_lossy(&seen.lock().unwrap()),
        "",
        "it went up before the upstream agreed"
    );
    assert_eq!(client.read_some().unwrap(), b"early", "after that it does");
}

#[test]
fn an_upstream_that_refuses_gets_no_tunnel() {
    let scene = Scene::new(|request| match request.path() {
        "/chat" => Answer::status(426)
            .header("Upgrade", "websocket")
            .header("Connection", "Upgrade")
            .body("not here"),
        _ => Answer::text("fine"),
    });
    for status in [200, 400, 401, 403, 404, 426, 500] {
        scene.upstream.set(move |request| match request.path() {
            "/chat" => Answer::status(status).body("not here"),
            _ => Answer::text("fine"),
        });
        let mut client = scene.gateway.connect();
        client.send(format!(
            "GET /chat HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\n{UPGRADE}\r\n",
            scene.tenant.key
        ));
        let response = client.read(false);
        assert_eq!(
            (response.status, response.text().as_str()),
            (status, "not here")
        );
        // Still HTTP, on both sides.
        assert_eq!(
            client.call(&scene.request("GET", "/")).expect(200).text(),
            "fine"
        );
    }
    assert!(
        scene
            .upstream
            .requests()
            .iter()
            .all(|request| request.headers("upgrade").len()
                == usize::from(request.path() == "/chat"))
    );
}

#[test]
fn what_follows_a_refused_handshake_is_a_request_and_passes_all_stations() {
    let scene = Scene::new(|_| Answer::status(403));
    let mut client = scene.gateway.connect();
    let smuggled = "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n";
    client.send(format!(
        "GET /chat HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\n{UPGRADE}\r\n{smuggled}",
        scene.tenant.key
    ));
    assert_eq!(client.read(false).status, 403);
    assert_own("the second one has no key", &client.read(false), 401);
    assert_eq!(scene.upstream.count(), 1);
}

#[test]
fn a_switch_to_something_else_is_no_tunnel() {
    let scene = Scene::new(|_| {
        Answer::raw(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nPRI",
        )
    });
    let payload = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\n{UPGRADE}\r\n",
        scene.tenant.key
    );
    let (bytes, _) = raw::exchange(scene.gateway.public, payload.as_bytes(), raw::PATIENCE);
    assert_eq!(
        raw::statuses(&bytes),
        [502],
        "{:?}",
        String::from_utf8_lossy(&bytes)
    );
}

#[test]
fn an_upgrade_that_is_not_in_connection_is_none() {
    let scene = Scene::new(|_| Answer::text("fine"));
    let response = scene
        .gateway
        .call(&scene.request("GET", "/").header("Upgrade", "websocket"));
    // Either it is no upgrade, or it is refused; what matters is that nobody upstream takes it for one.
    assert!(matches!(response.status, 200 | 400), "{response:?}");
    assert!(
        scene
            .upstream
            .requests()
            .iter()
            .all(|request| request.headers("upgrade").is_empty())
    );
}

#[test]
fn a_tunnel_outlives_a_change_of_its_route() {
    let server = echo();
    let (gateway, tenant) = gateway_before(one_worker(), &server.url());
    let mut socket = connect(&gateway, &tenant);
    let routes = gateway
        .admin("GET", "/admin/routes", serde_json::Value::Null)
        .expect(200)
        .data();
    gateway.patch_route(
        routes[0]["id"].as_str().unwrap(),
        serde_json::json!({ "isActive": false }),
    );
    gateway
        .call(&Request::get("/").key(&tenant.key))
        .expect(404);
    pause(Duration::from_millis(50));
    socket.send(Message::text("still here")).unwrap();
    assert_eq!(socket.read().unwrap(), Message::text("still here"));
}

#[test]
fn a_tunnel_in_which_nothing_moves_is_closed_at_both_ends_and_counted() {
    const IDLE: Duration = Duration::from_millis(800);
    let (ended, end) = channel::<()>();
    let ended = Mutex::new(ended);
    let server = Server::start(move |stream, _| {
        let Ok(mut socket) = tungstenite::accept(stream) else {
            return Ok(());
        };
        while let Ok(message) = socket.read() {
            socket.send(message).ok();
        }
        ended.lock().unwrap().send(()).ok();
        Ok(())
    });
    let gateway = Gateway::start(one_worker());
    let tenant = gateway.tenant("acme");
    gateway.route(json!({
        "tenantId": tenant.id, "method": "*", "path": "/", "pathType": "prefix", "upstreams": [{ "url": server.url() }],
        "resilience": { "timeout": { "tunnelIdleMs": IDLE.as_millis() as u64, "idleMs": 100 } },
    }));
    let mut socket = connect(&gateway, &tenant);
    // What moves at all may go on for longer than that, and what holds for bodies is nothing to it.
    for _ in 0..8 {
        pause(IDLE / 4);
        socket.send(Message::text("still here")).unwrap();
        assert_eq!(socket.read().unwrap(), Message::text("still here"));
    }
    let silent = Instant::now();
    assert!(socket.read().is_err());
    assert!(silent.elapsed() >= IDLE / 2, "{:?}", silent.elapsed());
    end.recv_timeout(raw::PATIENCE)
        .expect("the upstream hears of it");
    let counted = "gateway_connections_closed_total{reason=\"tunnel_idle\"} 1\n";
    let metrics = gateway.metrics();
    assert!(metrics.contains(counted), "{metrics}");
}

/// A peer that lost its power says nothing, and its connection would stay for as long as it may be idle.
#[test]
fn kernels_look_for_dead_peers_on_both_sides() {
    let server = echo();
    let (gateway, tenant) = gateway_before(one_worker(), &server.url());
    let socket = connect(&gateway, &tenant);
    let client = socket.get_ref().local_addr().unwrap().port();
    // Ports of both ends in hexadecimal digits, and which timer runs: 2 is the one that asks whether the peer lives.
    let is_watched = |matches: &dyn Fn(u16, u16) -> bool| {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        table.lines().skip(1).any(|line| {
            let cells: Vec<&str> = line.split_whitespace().collect();
            let port =
                |cell: &str| u16::from_str_radix(cell.rsplit(':').next().unwrap(), 16).unwrap();
            matches(port(cells[1]), port(cells[2]))
                && cells[3] == "01"
                && cells[5].starts_with("02:")
        })
    };
    let (public, upstream) = (gateway.public.port(), server.address.port());
    eventually("the client's connection is watched", || {
        is_watched(&|own, other| own == public && other == client)
    });
    eventually("the upstream's connection is watched", || {
        is_watched(&|_, other| other == upstream)
    });
}

#[test]
fn a_websocket_is_opened_by_get_alone() {
    let scene = Scene::new(|_| Answer::text("fine"));
    for method in ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PROPFIND"] {
        let mut client = scene.gateway.connect();
        client.send(format!(
            "{method} /chat HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\n{UPGRADE}\r\n",
            scene.tenant.key
        ));
        let response = client.read(method == "HEAD");
        assert_eq!(response.status, 400, "{method}: {response:?}");
        if method != "HEAD" {
            assert_eq!(response.code(), "websocket_method", "{method}");
        }
    }
    assert_eq!(scene.upstream.count(), 0, "the upstream sees none of them");
}

#[test]
fn half_a_handshake_opens_no_socket_and_is_never_seen() {
    let scene = Scene::new(|_| Answer::text("fine"));
    let (key, version) = (
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        "Sec-WebSocket-Version: 13\r\n",
    );
    for (name, fields) in [
        ("no key", version.to_owned()),
        ("an empty key", format!("{version}Sec-WebSocket-Key:\r\n")),
        ("two keys", format!("{version}{key}{key}")),
        ("no version", key.to_owned()),
        ("two versions", format!("{version}{version}{key}")),
        (
            "a body",
            format!("{version}{key}Content-Length: 2\r\n\r\nhi"),
        ),
        (
            "a body in chunks",
            format!("{version}{key}Transfer-Encoding: chunked\r\n\r\n0\r\n"),
        ),
    ] {
        let mut client = scene.gateway.connect();
        client.send(format!(
            "GET /chat HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{fields}\r\n",
            scene.tenant.key
        ));
        let response = client.read(false);
        assert_own(name, &response, 400);
        assert_eq!(response.code(), "websocket_handshake", "{name}");
    }
    assert_eq!(scene.upstream.count(), 0, "the upstream sees none of them");
}

/// An upstream that answers 101 for another reason, say because it hands on a status that it was given, has not agreed to
/// carry what the client sends from now on.
#[test]
fn a_switch_without_the_answer_to_the_key_is_no_tunnel() {
    let scene = Scene::new(|_| Answer::text("fine"));
    let right = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    for (name, fields) in [
        ("none", String::new()),
        ("an empty one", "Sec-WebSocket-Accept:\r\n".to_owned()),
        (
            "the key",
            right.replace("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "dGhlIHNhbXBsZSBub25jZQ=="),
        ),
        ("one in small letters", right.to_lowercase()),
        ("two", right.repeat(2)),
    ] {
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{fields}\r\nsecret"
        );
        scene.upstream.set(move |_| Answer::raw(answer.clone()));
        let smuggled = "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n";
        let mut client = scene.gateway.connect();
        client.send(format!(
            "GET /chat HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\n{UPGRADE}\r\n{smuggled}",
            scene.tenant.key
        ));
        let response = client.read(false);
        assert_own(name, &response, 502);
        assert_eq!(response.code(), "upstream_malformed", "{name}");
        assert_own("what follows is a request", &client.read(false), 401);
    }
    assert_eq!(scene.upstream.count_of("/evil"), 0);
}
