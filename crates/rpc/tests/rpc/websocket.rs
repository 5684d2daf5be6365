//! Calls over a WebSocket.

use std::time::Duration;

use bastide_auth::SessionId;
use bastide_rpc::{Cors, Drain, HttpOptions, Server};
use bastide_telemetry::metrics::Exposition;
use futures_util::{SinkExt as _, StreamExt as _};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use crate::connections::{Client, verdict};
use crate::support::{App, app, app_with};

/// A token whose calls are hardly limited.
async fn pro(app: &App) -> String {
    app.token("ada", |claims| claims.tenant("acme").tier("pro"))
        .await
}

#[tokio::test]
async fn s14_calls_over_a_websocket_are_answered_under_their_ids() {
    let app = app();
    let (token, ran) = (pro(&app).await, app.ran.clone());
    let mut client = Client::open(app.entry, Some(&token)).await;
    client.call(1, "users/slow", json!({})).await;
    ran.begun().await;
    // What takes long keeps nothing behind it waiting.
    client.call(2, "users@1.2.0/find", json!({"id": 7})).await;
    let found = json!({"id": 7, "tags": [], "verbose": null, "tenant": "acme"});
    assert_eq!(
        client.hear().await,
        json!({"id": 2, "status": 200, "output": found})
    );
    client.say(json!({"id": 3, "call": "users/health"})).await;
    assert_eq!(
        client.hear().await,
        json!({"id": 3, "status": 200, "output": "ada"})
    );
    for (input, status, code) in [
        (json!({"id": 404}), 404, "user_not_found"),
        (json!({"id": 500}), 500, "internal"),
        (json!({"id": "x"}), 400, "validation_failed"),
    ] {
        client.call(4, "users/find", input).await;
        let frame = client.hear().await;
        assert_eq!(verdict(&frame), (Some(4), status, code));
        assert_eq!(frame["problem"]["requestId"].as_str().unwrap().len(), 32);
    }
    client.call(5, "users/nope", json!({})).await;
    let frame = client.hear().await;
    assert_eq!(verdict(&frame), (Some(5), 404, "method_not_found"));
}

#[tokio::test]
async fn s14_a_stream_over_a_websocket_is_items_and_an_end() {
    let app = app();
    let token = pro(&app).await;
    let mut client = Client::open(app.entry, Some(&token)).await;
    client.call(9, "feeds/follow", json!({"id": 7})).await;
    for number in [0, 1] {
        assert_eq!(
            client.hear().await,
            json!({"id": 9, "item": {"id": 7, "number": number}})
        );
    }
    assert_eq!(client.hear().await, json!({"id": 9, "end": true}));
    for (id, status, code) in [(405, 404, "user_not_found"), (500, 500, "internal")] {
        client.call(9, "feeds/follow", json!({"id": id})).await;
        assert_eq!(client.hear().await["item"]["number"], 0);
        assert_eq!(verdict(&client.hear().await), (Some(9), status, code));
    }
}

#[tokio::test]
async fn s15_only_a_websocket_is_opened_at_its_path() {
    let app = app_with(HttpOptions {
        cors: Some(Cors::origins(["https://app.example"]).unwrap()),
        ..HttpOptions::default()
    });
    let complete = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    // Not on a connection that could become one: this is as far as it gets.
    let without = |left_out: &str, version| {
        let fields = complete.iter().filter(|(name, _)| *name != left_out);
        let request = Request::get("/ws").version(version);
        let request = fields.fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        request.body(Full::new(bytes::Bytes::new())).unwrap()
    };
    let reply = app.send(without("upgrade", http::Version::HTTP_11)).await;
    assert_eq!(reply.verdict(), (426, "websocket_required".to_owned()));
    assert_eq!(
        (reply.field("upgrade"), reply.field("connection")),
        ("websocket", "upgrade")
    );
    assert_eq!(reply.field("sec-websocket-version"), "13");
    let reply = app.send(without("", http::Version::HTTP_2)).await;
    assert_eq!(reply.verdict(), (400, "websocket_version".to_owned()));
    let reply = app
        .send(Request::post("/ws").body(Full::default()).unwrap())
        .await;
    assert_eq!((reply.status, reply.field("allow")), (405, "GET"));

    // On a real one.
    let mut server = Server::new(app.entry);
    let address = server.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    for (name, value, status, code) in [
        ("connection", "keep-alive", 426, "websocket_required"),
        ("upgrade", "h2c", 426, "websocket_required"),
        ("sec-websocket-version", "8", 426, "websocket_version"),
        ("sec-websocket-key", "x", 400, "websocket_key"),
        (
            "sec-websocket-key",
            "dGhlIHNhbXBsZSBub25jZ===",
            400,
            "websocket_key",
        ),
        ("origin", "https://evil.example", 403, "origin_refused"),
        ("origin", "null", 403, "origin_refused"),
        ("origin", "https://app.example:8443", 403, "origin_refused"),
        ("origin", "https://app.example", 101, ""),
        ("origin", "http://x", 101, ""),
        ("", "", 101, ""),
    ] {
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut send, connection) =
            hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream))
                .await
                .unwrap();
        tokio::spawn(connection.with_upgrades());
        let mut request = without("", http::Version::HTTP_11);
        request.headers_mut().insert("host", "x".parse().unwrap());
        if let Ok(name) = http::HeaderName::try_from(name) {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let response = send.send_request(request).await.unwrap();
        assert_eq!(response.status(), status, "{name}: {value}");
        if status == 101 {
            // The example of RFC 6455, 1.3.
            assert_eq!(
                response.headers()["sec-websocket-accept"],
                "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
            );
        } else {
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let problem: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(problem["code"], code);
        }
    }
}

#[tokio::test]
async fn s15_the_path_of_websockets_is_an_option() {
    let app = app_with(HttpOptions {
        websocket_path: None,
        ..HttpOptions::default()
    });
    let reply = app.get("/ws", None).await;
    assert_eq!(reply.verdict(), (404, "not_found".to_owned()));
    let elsewhere = |path: &str| {
        let path = Some(path.to_owned());
        app_with(HttpOptions {
            websocket_path: path,
            ..HttpOptions::default()
        })
    };
    assert_eq!(elsewhere("/live").get("/live", None).await.status, 426);
    for path in ["live", "", "/rpc", "/rpc/users/find", "/openapi.json"] {
        assert!(
            std::panic::catch_unwind(|| elsewhere(path)).is_err(),
            "{path}"
        );
    }
    let impatient = || {
        app_with(HttpOptions {
            ping_timeout: Duration::from_secs(15),
            ..HttpOptions::default()
        })
    };
    assert!(std::panic::catch_unwind(impatient).is_err());
    for (path, there) in [
        ("/whoami", "`users@1.2.0/whoami`"),
        ("/own/find", "`GET /own/find`"),
    ] {
        let both = std::panic::catch_unwind(|| elsewhere(path)).err().unwrap();
        let message = both.downcast::<String>().unwrap();
        assert!(message.contains(there), "{message}");
    }
}

#[tokio::test]
async fn s9_each_call_is_judged_by_what_holds_then() {
    let app = app();
    let ada = app.ada().await;
    let bob = app.token("bob", |claims| claims.tenant("globex")).await;
    let (sessions, time) = (app.sessions.clone(), app.time.clone());
    let mut client = Client::open(app.entry, None).await;
    client.call(1, "users/find", json!({"id": 7})).await;
    assert_eq!(
        verdict(&client.hear().await),
        (Some(1), 401, "token_missing")
    );
    for (token, tenant) in [(&ada, "acme"), (&bob, "globex")] {
        client.say(json!({"authenticate": {"token": token}})).await;
        client.call(2, "users/find", json!({"id": 7})).await;
        assert_eq!(client.hear().await["output"]["tenant"], tenant);
    }
    sessions
        .revoke(&SessionId::parse("s-bob").unwrap())
        .await
        .unwrap();
    client.call(3, "users/find", json!({"id": 7})).await;
    assert_eq!(
        verdict(&client.hear().await),
        (Some(3), 401, "session_revoked")
    );
    client.say(json!({"authenticate": {"token": ada}})).await;
    time.advance(Duration::from_mins(16));
    client.call(4, "users/find", json!({"id": 7})).await;
    assert_eq!(
        verdict(&client.hear().await),
        (Some(4), 401, "token_expired")
    );
    client.say(json!({"authenticate": {"token": "x"}})).await;
    client.call(5, "users/find", json!({"id": 7})).await;
    assert_eq!(
        verdict(&client.hear().await),
        (Some(5), 401, "token_invalid")
    );
    // At a public entry a bad token is no token here too.
    client.call(6, "users/health", json!({})).await;
    assert_eq!(
        client.hear().await,
        json!({"id": 6, "status": 200, "output": null})
    );
}

#[tokio::test(start_paused = true)]
async fn a2_a_revoked_session_ends_its_streams_on_a_socket_too() {
    let app = app();
    let token = app.ada().await;
    let (sessions, feeds) = (app.sessions.clone(), app.feeds.clone());
    let mut client = Client::open(app.entry, Some(&token)).await;
    client.call(1, "feeds/ticks", json!({})).await;
    for number in 0..20 {
        assert_eq!(client.hear().await, json!({"id": 1, "item": number}));
    }
    sessions
        .revoke(&SessionId::parse("s-ada").unwrap())
        .await
        .unwrap();
    let revoked = Instant::now();
    let mut last = client.hear().await;
    while !last["item"].is_null() && revoked.elapsed() < Duration::from_secs(60) {
        last = client.hear().await;
    }
    assert_eq!(verdict(&last), (Some(1), 401, "session_revoked"));
    assert!(revoked.elapsed() <= Duration::from_secs(5));
    feeds.dropped().await;
}

#[tokio::test(start_paused = true)]
async fn s14_a_call_over_a_websocket_has_a_deadline() {
    let app = app();
    let token = app.ada().await;
    let ran = app.ran.clone();
    let mut client = Client::open(app.entry, Some(&token)).await;
    for (asked, seconds) in [(Some(3_000), 3), (Some(3_600_000), 10), (None, 10)] {
        let mut call = json!({"id": 1, "call": "users/slow"});
        if let Some(asked) = asked {
            call["timeoutMs"] = json!(asked);
        }
        let begun = Instant::now();
        client.say(call).await;
        assert_eq!(
            verdict(&client.hear().await),
            (Some(1), 504, "deadline_passed")
        );
        assert_eq!(begun.elapsed().as_secs(), seconds, "{asked:?}");
    }
    assert_eq!(ran.get(), 0);
}

#[tokio::test]
async fn s14_a_call_is_cancelled_by_its_caller() {
    let app = app();
    let token = app.ada().await;
    let (ran, feeds) = (app.ran.clone(), app.feeds.clone());
    let mut client = Client::open(app.entry, Some(&token)).await;
    client.call(1, "users/slow", json!({})).await;
    ran.begun().await;
    client.call(2, "feeds/silent", json!({})).await;
    assert_eq!(client.hear().await, json!({"id": 2, "item": 0}));
    // An id that is not open was answered meanwhile.
    for id in [3, 2, 1] {
        client.say(json!({"id": id, "cancel": true})).await;
    }
    let mut ended = [client.hear().await, client.hear().await];
    ended.sort_by_key(|frame| frame["id"].as_u64());
    for (frame, id) in ended.iter().zip([1, 2]) {
        assert_eq!(verdict(frame), (Some(id), 499, "cancelled"));
    }
    feeds.dropped().await;
    // The ids are free again.
    client.call(1, "users/find", json!({"id": 7})).await;
    assert_eq!(client.hear().await["output"]["id"], 7);
    assert_eq!(ran.get(), 1);
}

#[tokio::test]
async fn s14_a_socket_that_ends_takes_its_calls_with_it() {
    for politely in [true, false] {
        let app = app();
        let token = app.ada().await;
        let feeds = app.feeds.clone();
        let mut server = Server::new(app.entry);
        let address = server.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let mut client = Client::over(stream, Some(&token)).await;
        client.call(1, "feeds/silent", json!({})).await;
        client.hear().await;
        if politely {
            client.0.close(None).await.unwrap();
            assert_eq!(client.closed().await, None);
        } else {
            drop(client);
        }
        let gone = tokio::time::timeout(Duration::from_secs(10), feeds.dropped());
        gone.await.unwrap();
        assert_eq!(server.drain(Duration::from_secs(5)).await, Drain::Complete);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_calls_at_once_are_bounded_and_have_ids_of_their_own() {
    let app = app_with(HttpOptions {
        socket_concurrency: 2,
        ..HttpOptions::default()
    });
    let token = pro(&app).await;
    let ran = app.ran.clone();
    let mut client = Client::open(app.entry, Some(&token)).await;
    client.call(1, "users/slow", json!({})).await;
    ran.begun().await;
    client.call(1, "users/find", json!({"id": 7})).await;
    let frame = client.hear().await;
    assert_eq!(verdict(&frame), (None, 400, "id_in_use"));
    client.call(2, "feeds/silent", json!({})).await;
    assert_eq!(client.hear().await["item"], 0);
    client.call(3, "users/find", json!({"id": 7})).await;
    let frame = client.hear().await;
    assert_eq!(verdict(&frame), (Some(3), 429, "too_many_calls"));
    assert_eq!(ran.get(), 0);
    client.say(json!({"id": 2, "cancel": true})).await;
    assert_eq!(client.hear().await["id"], 2);
    // Room and id are there again with the last frame.
    for _ in 0..100 {
        client.call(2, "users/find", json!({"id": 7})).await;
        assert_eq!(client.hear().await["output"]["id"], 7);
    }
}

#[tokio::test]
async fn s14_a_malformed_frame_harms_no_other() {
    let app = app();
    let token = app.ada().await;
    let mut client = Client::open(app.entry, Some(&token)).await;
    for bad in [
        json!({}),
        json!([]),
        json!({"id": 1}),
        json!({"id": 1, "call": "users/find", "identity": {"roles": ["admin"]}}),
    ] {
        client.say(bad).await;
        let frame = client.hear().await;
        assert_eq!(verdict(&frame), (None, 400, "malformed_frame"));
        assert_eq!(frame.get("id"), None);
    }
    client.call(1, "users/find", json!({"id": 7})).await;
    assert_eq!(client.hear().await["status"], 200);
}

#[tokio::test]
async fn s15_what_a_socket_does_not_take_closes_it() {
    let options = || HttpOptions {
        max_frame: 1_000,
        ..HttpOptions::default()
    };
    let fits = json!({"id": 1, "call": "users/whoami", "input": {}}).to_string();
    let long = |length: usize| Message::text(fits.clone() + &" ".repeat(length - fits.len()));
    for (message, code) in [
        (Message::binary(fits.clone()), Some(1003)),
        (long(1_000), None),
        (long(1_001), Some(1009)),
        // More than is on its way to the server when it closes.
        (long(8 << 20), Some(1009)),
    ] {
        let app = app_with(options());
        let token = app.ada().await;
        let mut server = Server::new(app.entry);
        let address = server.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let mut client = Client::over(stream, Some(&token)).await;
        client.0.send(message).await.unwrap();
        match code {
            None => assert_eq!(client.hear().await["output"], "ada"),
            code => assert_eq!(client.closed().await, code),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn s15_a_client_that_gives_no_sign_of_life_is_given_up() {
    let app = app();
    let token = app.ada().await;
    let feeds = app.feeds.clone();
    let mut client = Client::open(app.entry, Some(&token)).await;
    client.call(1, "feeds/silent", json!({})).await;
    client.hear().await;
    // While it is read, the client answers pings: an hour is silent, and it is kept.
    let begun = Instant::now();
    assert_eq!(client.hear().await, json!({"id": 1, "item": 1}));
    assert_eq!(begun.elapsed().as_secs(), 3_600);
    // From here on nobody reads.
    let begun = Instant::now();
    feeds.dropped().await;
    assert!(
        (30..=45).contains(&begun.elapsed().as_secs()),
        "{:?}",
        begun.elapsed()
    );
    assert!(matches!(client.0.next().await, Some(Ok(Message::Ping(_)))));
    assert_eq!(client.closed().await, None);
}

#[tokio::test(start_paused = true)]
async fn s15_a_client_that_takes_nothing_stops_its_stream_and_is_given_up() {
    let app = app();
    let token = app.ada().await;
    let feeds = app.feeds.clone();
    let client = Client::open(app.entry, Some(&token)).await;
    let (mut sink, frames) = client.0.split();
    let call = json!({"id": 1, "call": "feeds/flood"}).to_string();
    sink.send(Message::text(call)).await.unwrap();
    let begun = Instant::now();
    // It is heard of all the time.
    let talk = async {
        loop {
            tokio::time::sleep(Duration::from_secs(10)).await;
            let nothing = json!({"id": 2, "cancel": true}).to_string();
            if sink.send(Message::text(nothing)).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        () = feeds.dropped() => {}
        () = talk => {}
    }
    assert_eq!(begun.elapsed().as_secs(), 45);
    // The connection's room, the socket's buffer and queue, and one item in hand.
    assert!((16..64).contains(&feeds.made()), "{}", feeds.made());
    drop(frames);
}

#[tokio::test]
async fn s14_a_stream_over_a_websocket_goes_on_as_it_is_read() {
    let app = app();
    let token = app.ada().await;
    let feeds = app.feeds.clone();
    let mut client = Client::open(app.entry, Some(&token)).await;
    client.call(1, "feeds/flood", json!({})).await;
    for read in 1..500 {
        assert_eq!(client.hear().await["item"].as_str().unwrap().len(), 1_000);
        assert!(feeds.made() < read + 64, "{} at {read}", feeds.made());
    }
    // And another call gets through beside it.
    client.call(2, "users/whoami", json!({})).await;
    while client.hear().await != json!({"id": 2, "status": 200, "output": "ada"}) {}
}

#[tokio::test]
async fn s18_a_drain_lets_calls_finish_and_closes_sockets() {
    let app = app();
    let token = pro(&app).await;
    let ran = app.ran.clone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let mut server = Server::new(app.entry);
    let address = server.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    server.listen_unix(&path).unwrap();
    let mut idle = Client::over(TcpStream::connect(address).await.unwrap(), None).await;
    let stream = UnixStream::connect(&path).await.unwrap();
    let mut client = Client::over(stream, Some(&token)).await;
    client.call(1, "feeds/silent", json!({})).await;
    assert_eq!(client.hear().await["item"], 0);
    let slow = json!({"id": 2, "call": "users/slow", "timeoutMs": 1_000});
    client.say(slow).await;
    ran.begun().await;
    let drained = tokio::spawn(server.drain(Duration::from_secs(4)));
    assert_eq!(verdict(&client.hear().await), (Some(1), 503, "draining"));
    client.call(3, "users/find", json!({"id": 7})).await;
    assert_eq!(verdict(&client.hear().await), (Some(3), 503, "draining"));
    assert_eq!(
        verdict(&client.hear().await),
        (Some(2), 504, "deadline_passed")
    );
    assert_eq!(client.closed().await, Some(1001));
    assert_eq!(idle.closed().await, Some(1001));
    // Each end takes part in closing; these two do when they are read on. That they keep their ends open stops nothing.
    assert_eq!((client.closed().await, idle.closed().await), (None, None));
    assert_eq!(drained.await.unwrap(), Drain::Complete);
    drop((client, idle));
    assert_eq!(ran.get(), 0);
}

#[tokio::test]
async fn s18_a_drain_cuts_sockets_at_its_hard_end() {
    let app = app();
    let token = app.ada().await;
    let ran = app.ran.clone();
    let mut server = Server::new(app.entry);
    let address = server.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let mut client = Client::over(stream, Some(&token)).await;
    client.call(1, "users/slow", json!({})).await;
    ran.begun().await;
    let limit = Duration::from_millis(200);
    assert_eq!(server.drain(limit).await, Drain::CutOff);
    assert_eq!(client.closed().await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_nothing_is_left_of_calls_however_they_end() {
    let app = app();
    let token = pro(&app).await;
    let metrics = app.metrics.clone();
    let mut server = Server::new(app.entry);
    let address = server.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let one = async |number: u32| {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut client = Client::over(stream, Some(&token)).await;
        for id in 0..20 {
            let methods = ["feeds/flood", "feeds/ticks", "feeds/silent", "users/slow"];
            let method = methods[id as usize % methods.len()];
            client.call(id, method, json!({})).await;
        }
        let cancelled = number % 20;
        for id in 0..cancelled {
            client.say(json!({"id": id, "cancel": true})).await;
        }
        // Some say good-bye, some hear of what they cancelled first, the others are just gone.
        match number % 3 {
            0 => drop(client.0.close(None).await),
            1 if cancelled > 0 => while client.hear().await["status"] != 499 {},
            _ => {}
        }
    };
    futures_util::future::join_all((0..60).map(one)).await;
    assert_eq!(server.drain(Duration::from_secs(30)).await, Drain::Complete);
    let is_over = || {
        let text = metrics.render(Exposition::Prometheus);
        let mut open = text
            .lines()
            .filter(|line| line.starts_with("rpc_open_streams{"));
        open.clone().count() == 7 && open.all(|line| line.ends_with(" 0"))
    };
    let over = async {
        while !is_over() {
            tokio::task::yield_now().await;
        }
    };
    let over = tokio::time::timeout(Duration::from_secs(10), over).await;
    assert!(over.is_ok(), "{}", metrics.render(Exposition::Prometheus));
}
