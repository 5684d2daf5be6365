//! `WebSocket`s as their protocol wants them (RFC 6455, RFC 7692), by a client and a server that are not ours: whatever two
//! ends agree on, the gateway between them changes nothing.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::tungstenite::handshake::client::Response as Agreed;
use tokio_tungstenite::tungstenite::handshake::server::{
    ErrorResponse, Request as Asked, Response as Answered,
};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame, FrameHeader};
use tokio_tungstenite::tungstenite::{
    self, Bytes, Message, WebSocket, client::IntoClientRequest as _,
};

use crate::harness::{Answer, Authority, Gateway, Relay, Request, TenantKey};
use crate::raw::{self, Server};
use crate::scene::{Scene, gateway_before, one_worker};

type Socket = WebSocket<TcpStream>;

/// A server that gives each socket to this function.
fn server(
    serve: impl Fn(&mut Socket) -> tungstenite::Result<()> + Send + Sync + 'static,
) -> Server {
    Server::start(move |stream, _| {
        if let Ok(mut socket) = tungstenite::accept(stream) {
            // How a socket ends is what a test looks at from the other side.
            serve(&mut socket).ok();
        }
        Ok(())
    })
}

/// Sends back messages, whole.
fn echo() -> Server {
    server(|socket| {
        loop {
            let message = socket.read()?;
            if message.is_text() || message.is_binary() {
                socket.send(message)?;
            }
        }
    })
}

#[track_caller]
fn connect_with(
    address: std::net::SocketAddr,
    key: &str,
    fields: &[(&'static str, &str)],
) -> (Socket, Agreed) {
    let mut request = format!("ws://{address}/chat")
        .into_client_request()
        .unwrap();
    let headers = request.headers_mut();
    headers.insert("X-API-Key", key.parse().unwrap());
    for (name, value) in fields {
        headers.append(*name, value.parse().unwrap());
    }
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(raw::PATIENCE)).unwrap();
    tungstenite::client(request, stream).unwrap()
}

#[track_caller]
fn connect(gateway: &Gateway, tenant: &TenantKey) -> Socket {
    connect_with(gateway.public, &tenant.key, &[]).0
}

fn frame(code: OpCode, is_final: bool, payload: &[u8]) -> Message {
    let header = FrameHeader {
        is_final,
        opcode: code,
        ..FrameHeader::default()
    };
    Message::Frame(Frame::from_payload(header, Bytes::copy_from_slice(payload)))
}

#[test]
fn text_and_binary_stay_what_they_are() {
    let server = echo();
    let (gateway, tenant) = gateway_before(one_worker(), &server.url());
    let mut socket = connect(&gateway, &tenant);
    for message in [
        Message::text("κόσμε \u{10FFFF} \0"),
        Message::binary((0..=255).collect::<Vec<u8>>()),
        Message::text(""),
        Message::binary(Vec::new()),
        Message::binary(b"GET / HTTP/1.1\r\n\r\n".to_vec()),
    ] {
        socket.send(message.clone()).unwrap();
        assert_eq!(socket.read().unwrap(), message);
    }
}

#[test]
fn a_message_in_fragments_arrives_whole_with_a_ping_in_its_middle() {
    let server = echo();
    let (gateway, tenant) = gateway_before(one_worker(), &server.url());
    let mut socket = connect(&gateway, &tenant);
    let pieces = [
        frame(OpCode::Data(Data::Text), false, b"one "),
        frame(OpCode::Data(Data::Continue), false, b""),
        frame(OpCode::Control(Control::Ping), true, b"are you there"),
        frame(OpCode::Data(Data::Continue), false, b"two "),
        frame(OpCode::Data(Data::Continue), true, b"three"),
    ];
    for piece in pieces {
        socket.send(piece).unwrap();
    }
    assert_eq!(
        socket.read().unwrap(),
        Message::Pong("are you there".into())
    );
    assert_eq!(socket.read().unwrap(), Message::text("one two three"));
    // A long one in many.
    let piece = vec![b'x'; 1_000];
    socket
        .send(frame(OpCode::Data(Data::Binary), false, &piece))
        .unwrap();
    for _ in 0..998 {
        socket
            .send(frame(OpCode::Data(Data::Continue), false, &piece))
            .unwrap();
    }
    socket
        .send(frame(OpCode::Data(Data::Continue), true, &piece))
        .unwrap();
    assert_eq!(
        socket.read().unwrap(),
        Message::binary(vec![b'x'; 1_000_000])
    );
}

#[test]
fn pings_and_pongs_pass_both_ways() {
    let (heard, hears) = channel();
    let heard = Mutex::new(heard);
    let server = server(move |socket| {
        socket.send(Message::Ping("from the server".into()))?;
        loop {
            let message = socket.read()?;
            heard.lock().unwrap().send(message).ok();
        }
    });
    let (gateway, tenant) = gateway_before(one_worker(), &server.url());
    let mut socket = connect(&gateway, &tenant);
    // Reading it answers it, as the protocol wants.
    assert_eq!(
        socket.read().unwrap(),
        Message::Ping("from the server".into())
    );
    socket.flush().unwrap();
    let next = |hears: &Receiver<Message>| hears.recv_timeout(raw::PATIENCE).unwrap();
    assert_eq!(next(&hears), Message::Pong("from the server".into()));
    for payload in ["", "x", &"y".repeat(125)] {
        socket
            .send(Message::Ping(payload.to_owned().into()))
            .unwrap();
        assert_eq!(next(&hears), Message::Ping(payload.to_owned().into()));
        assert_eq!(
            socket.read().unwrap(),
            Message::Pong(payload.to_owned().into())
        );
    }
    // One that nobody asked for.
    socket.send(Message::Pong("a sign of life".into())).unwrap();
    assert_eq!(next(&hears), Message::Pong("a sign of life".into()));
}

#[test]
fn codes_and_reasons_of_a_close_pass_both_ways() {
    for (code, reason) in [
        (CloseCode::Normal, "done"),
        (CloseCode::Away, ""),
        (CloseCode::Error, "it broke"),
        (CloseCode::from(3_000), "registered"),
        (CloseCode::from(4_321), "private: ünïcödé"),
    ] {
        let close = CloseFrame {
            code,
            reason: reason.into(),
        };
        // The client's goes to the server.
        let (heard, hears) = channel();
        let heard = Mutex::new(heard);
        let by_client = server(move |socket| {
            loop {
                if let Message::Close(close) = socket.read()? {
                    heard.lock().unwrap().send(close).ok();
                }
            }
        });
        let (gateway, tenant) = gateway_before(one_worker(), &by_client.url());
        let mut socket = connect(&gateway, &tenant);
        socket.close(Some(close.clone())).unwrap();
        assert_eq!(
            hears.recv_timeout(raw::PATIENCE).unwrap(),
            Some(close.clone())
        );
        assert_eq!(
            socket.read().unwrap(),
            Message::Close(Some(close.clone())),
            "the server's echo of it"
        );
        assert!(matches!(
            socket.read(),
            Err(tungstenite::Error::ConnectionClosed)
        ));
        // The server's goes to the client.
        let sent = close.clone();
        let by_server = server(move |socket| {
            socket.close(Some(sent.clone()))?;
            loop {
                socket.read()?;
            }
        });
        let (gateway, tenant) = gateway_before(one_worker(), &by_server.url());
        let mut socket = connect(&gateway, &tenant);
        assert_eq!(socket.read().unwrap(), Message::Close(Some(close)));
        while socket.read().is_ok() {}
    }
}

#[test]
fn a_subprotocol_is_the_two_ends_choice() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let server = Server::start({
        let asked = Arc::clone(&asked);
        move |stream, _| {
            #[allow(
                clippy::result_large_err,
                clippy::unnecessary_wraps,
                reason = "the library's signature"
            )]
            let choose =
                |request: &Asked, mut answer: Answered| -> Result<Answered, ErrorResponse> {
                    let offers = request.headers().get_all("sec-websocket-protocol");
                    let offers = offers
                        .iter()
                        .map(|value| value.to_str().unwrap().to_owned());
                    asked.lock().unwrap().extend(offers);
                    let chosen = "chat.v2".parse().unwrap();
                    answer
                        .headers_mut()
                        .insert("sec-websocket-protocol", chosen);
                    Ok(answer)
                };
            if let Ok(mut socket) = tungstenite::accept_hdr(stream, choose) {
                while let Ok(message) = socket.read() {
                    if message.is_text() {
                        socket.send(message).ok();
                    }
                }
            }
            Ok(())
        }
    });
    let (gateway, tenant) = gateway_before(one_worker(), &server.url());
    let offer = [("Sec-WebSocket-Protocol", "chat.v3, chat.v2, chat.v1")];
    let (mut socket, agreed) = connect_with(gateway.public, &tenant.key, &offer);
    assert_eq!(agreed.headers()["sec-websocket-protocol"], "chat.v2");
    assert_eq!(*asked.lock().unwrap(), ["chat.v3, chat.v2, chat.v1"]);
    socket.send(Message::text("hello")).unwrap();
    assert_eq!(socket.read().unwrap(), Message::text("hello"));
}

#[test]
fn compression_is_offered_accepted_and_passed_on_as_it_is() {
    const OFFER: &str = "permessage-deflate; client_max_window_bits, permessage-deflate; server_no_context_takeover";
    const ACCEPTED: &str =
        "permessage-deflate; server_no_context_takeover; client_max_window_bits=12";
    // "Hello", compressed: the example of RFC 7692, section 7.2.3.1, as a server sends it.
    const HELLO: &[u8] = &[0xc1, 0x07, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let seen = Arc::new(Mutex::new((Vec::new(), Vec::new())));
    let server = Server::start({
        let seen = Arc::clone(&seen);
        move |mut stream, _| {
            let head = raw::read_head(&mut stream)?;
            seen.lock().unwrap().0.extend_from_slice(&head);
            write!(
                stream,
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Extensions: {ACCEPTED}\r\n\r\n"
            )?;
            stream.write_all(HELLO)?;
            let mut frame = [0; 13];
            stream.read_exact(&mut frame)?;
            seen.lock().unwrap().1.extend_from_slice(&frame);
            stream.write_all(HELLO)
        }
    });
    let (gateway, tenant) = gateway_before(one_worker(), &server.url());
    let mut client = gateway.connect();
    client.send(format!(
        "GET /chat HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Extensions: {OFFER}\r\n\r\n",
        tenant.key
    ));
    let agreed = client.read_head();
    assert_eq!(agreed.status, 101, "{agreed:?}");
    assert_eq!(agreed.header("sec-websocket-extensions"), Some(ACCEPTED));
    assert_eq!(
        agreed.header("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    let mut hello = [0; HELLO.len()];
    client.stream.read_exact(&mut hello).unwrap();
    assert_eq!(hello, HELLO, "with the bit that says it is compressed");
    // The same from the client, masked.
    let mask = [1, 2, 3, 4];
    let mut masked = vec![0xc1, 0x87, 1, 2, 3, 4];
    masked.extend(
        HELLO[2..]
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    client.send(&masked);
    client.stream.read_exact(&mut hello).unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.1, masked);
    let head = String::from_utf8_lossy(&seen.0).into_owned();
    assert!(head.contains(OFFER), "{head}");
}

#[test]
fn a_refusal_is_passed_on_as_it_is() {
    let scene = Scene::new(|request| match request.path() {
        "/401" => Answer::status(401)
            .header("WWW-Authenticate", "Bearer realm=\"chat\"")
            .body("who are you"),
        "/426" => Answer::status(426)
            .header("Sec-WebSocket-Version", "13, 8")
            .body("an old dialect"),
        _ => Answer::status(503).header("Retry-After", "7").body("full"),
    });
    let ask = |path: &str| {
        let request = scene
            .request("GET", path)
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "99")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
        scene.gateway.call(&request)
    };
    let unauthorized = ask("/401").expect(401);
    assert_eq!(unauthorized.text(), "who are you");
    assert_eq!(
        unauthorized.header("www-authenticate"),
        Some("Bearer realm=\"chat\"")
    );
    let outdated = ask("/426").expect(426);
    assert_eq!(outdated.text(), "an old dialect");
    assert_eq!(outdated.header("sec-websocket-version"), Some("13, 8"));
    let full = ask("/503").expect(503);
    assert_eq!(
        (full.header("retry-after"), full.text().as_str()),
        (Some("7"), "full")
    );
    assert_eq!(
        scene.upstream.last().header("sec-websocket-version"),
        Some("99")
    );
}

/// Both ends asynchronous, all at once, with messages of many sizes on the way at the same time.
#[test]
fn hundreds_of_sockets_are_busy_at_once() {
    const SOCKETS: usize = 300;
    const MESSAGES: usize = 20;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let socket = tokio_tungstenite::accept_async(stream).await.unwrap();
                let (sink, stream) = socket.split();
                // Its end is the client's affair.
                stream.forward(sink).await.ok();
            });
        }
    });
    let (gateway, tenant) = gateway_before(one_worker(), &url);
    let echoed = runtime.block_on(async {
        let sockets = (0..SOCKETS).map(|number| {
            let (address, key) = (gateway.public, tenant.key.clone());
            tokio::spawn(async move {
                let mut request = format!("ws://{address}/").into_client_request().unwrap();
                request
                    .headers_mut()
                    .insert("X-API-Key", key.parse().unwrap());
                let stream = tokio::net::TcpStream::connect(address).await.unwrap();
                let (socket, _) = tokio_tungstenite::client_async(request, stream)
                    .await
                    .unwrap();
                let (mut sink, mut stream) = socket.split();
                let message = move |turn: usize| {
                    Message::text(format!("{number} {turn} {}", "x".repeat(number * turn)))
                };
                let sending = async move {
                    for turn in 0..MESSAGES {
                        sink.send(message(turn)).await.unwrap();
                    }
                    sink
                };
                let receiving = async {
                    for turn in 0..MESSAGES {
                        assert_eq!(stream.next().await.unwrap().unwrap(), message(turn));
                    }
                };
                let (mut sink, ()) = tokio::join!(sending, receiving);
                sink.close().await.unwrap();
                MESSAGES
            })
        });
        let sockets: Vec<_> = sockets.collect();
        let mut echoed = 0;
        for socket in sockets {
            echoed += socket.await.unwrap();
        }
        echoed
    });
    assert_eq!(echoed, SOCKETS * MESSAGES);
    gateway
        .call(&Request::get("/").key("a-key-that-nobody-was-given"))
        .expect(403);
}

/// TLS on both sides of the gateway.
#[test]
fn a_socket_passes_from_tls_to_tls() {
    let authority = Authority::new();
    let certificate = authority.issue("localhost");
    let options = one_worker();
    let (chain, key) = certificate.write(&options.folder());
    let roots = authority.write(&options.folder());
    let options = options
        .arg("--tls-cert", &chain.display().to_string())
        .arg("--tls-key", &key.display().to_string())
        .arg("--upstream-ca", &roots);
    let server = echo();
    let upstream = Relay::from_tls(server.address, &certificate);
    let url = format!("https://localhost:{}", upstream.address().port());
    let (gateway, tenant) = gateway_before(options, &url);
    let client = Relay::into_tls(gateway.public, &authority);
    let (mut socket, _) = connect_with(client.address(), &tenant.key, &[]);
    for size in [0, 1, 65_536, 3_000_000] {
        let message = Message::binary(vec![7; size]);
        socket.send(message.clone()).unwrap();
        assert_eq!(socket.read().unwrap(), message, "{size}");
    }
    socket.close(None).unwrap();
    while socket.read().is_ok() {}
}
