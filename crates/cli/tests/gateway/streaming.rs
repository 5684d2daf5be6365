//! G17: bodies and connections: every framing, both ways, nothing held back.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use crate::harness::upstream::Step;
use crate::harness::*;

on_both! {
    fn g17_an_encoded_body_is_not_touched(backend) {
        let gateway = Gateway::start(backend);
        let encoded = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3];
        let upstream = Upstream::start(move |_| {
            Answer::status(200)
                .header("Content-Encoding", "gzip")
                .body(encoded)
        });
        let tenant = gateway.tenant_before(&upstream);
        let response = gateway.get("/", &tenant.key).expect(200);
        assert_eq!(
            (
                response.header("content-encoding"),
                response.body.as_slice()
            ),
            (Some("gzip"), &encoded[..])
        );
        assert_eq!(response.number("content-length"), encoded.len() as u64);
    }

    fn g17_bodies_of_every_framing_go_both_ways(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::start(|request| {
            let body = request.text();
            match request.path() {
                "/chunked" => Answer::raw(format!(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
                    body.len()
                )),
                "/close" => Answer::raw_and_close(format!("HTTP/1.1 200 OK\r\n\r\n{body}")),
                "/old" => Answer::raw_and_close(format!("HTTP/1.0 200 OK\r\n\r\n{body}")),
                _ => Answer::text(&body),
            }
        });
        let tenant = gateway.tenant_before(&upstream);
        let mut client = gateway.connect();
        for path in ["/length", "/chunked", "/close", "/old"] {
            let with_length = Request::post(path, "0123456789").key(&tenant.key);
            let chunked = Request::post(path, "4\r\n0123\r\n6;x=y\r\n456789\r\n0\r\n\r\n")
                .key(&tenant.key)
                .header("Transfer-Encoding", "chunked");
            for request in [with_length, chunked] {
                assert_eq!(
                    client.call(&request).expect(200).text(),
                    "0123456789",
                    "{path}"
                );
            }
        }
        assert_eq!(upstream.count(), 8);
    }

    fn g17_trailers_go_both_ways(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::start(|_| {
            Answer::raw(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 42\r\n\r\n",
            )
        });
        let tenant = gateway.tenant_before(&upstream);
        let request = Request::post("/", "2\r\nab\r\n0\r\nX-Check: 7\r\n\r\n").key(&tenant.key);
        let response = gateway
            .call(
                &request
                    .header("Transfer-Encoding", "chunked")
                    .header("Trailer", "X-Check")
                    .header("TE", "trailers"),
            )
            .expect(200);
        assert_eq!(response.trailers, [("X-Sum".to_owned(), "42".to_owned())]);
        assert_eq!(
            upstream.only().trailers,
            [("X-Check".to_owned(), "7".to_owned())]
        );
    }

    fn g17_connections_are_kept_on_both_sides(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let tenant = gateway.tenant_before(&upstream);
        let mut client = gateway.connect();
        for _ in 0..20 {
            client.call(&Request::get("/").key(&tenant.key)).expect(200);
        }
        assert_eq!(upstream.connections(), 1);
        // Several at once, answered in their order.
        let [one, two] = ["/1", "/2"].map(|path| Request::get(path).key(&tenant.key).bytes());
        client.send([one, two].concat());
        client.read(false).expect(200);
        client.read(false).expect(200);
        let targets: Vec<String> = upstream
            .requests()
            .iter()
            .rev()
            .take(2)
            .map(|request| request.target.clone())
            .collect();
        assert_eq!(targets, ["/2", "/1"]);
        let last = client
            .call(
                &Request::get("/")
                    .key(&tenant.key)
                    .header("Connection", "close"),
            )
            .expect(200);
        assert_eq!(last.header("connection"), Some("close"));
        assert!(client.is_closed());
    }

    fn g17_events_are_not_held_back(backend) {
        let gateway = Gateway::start(backend);
        let gate = Gate::default();
        let held = gate.clone();
        let upstream = Upstream::start(move |_| {
            Answer::script([
                Step::Send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n".to_vec()),
                Step::Wait(held.clone()),
                Step::Send(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n".to_vec()),
            ])
        });
        let tenant = gateway.tenant_before(&upstream);
        let mut client = gateway.connect();
        client.send(Request::get("/").key(&tenant.key).bytes());
        assert_eq!(client.read_head().status, 200);
        let mut seen = String::new();
        while !seen.contains("data: 1\n\n") {
            seen.push_str(
                &String::from_utf8(
                    client
                        .read_some()
                        .expect("the first event comes before the second"),
                )
                .unwrap(),
            );
        }
        gate.open();
        while !seen.contains("data: 2\n\n") {
            seen.push_str(
                &String::from_utf8(client.read_some().expect("the second event comes")).unwrap(),
            );
        }
    }

    fn g17_a_websocket_goes_through(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::start(|request| {
            assert_eq!(
                (
                    request.header("upgrade"),
                    request.header("sec-websocket-key")
                ),
                (Some("websocket"), Some("dGhlIHNhbXBsZSBub25jZQ=="))
            );
            Answer::script([
                Step::Send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x81\x05hello".to_vec()),
                Step::Hold,
            ])
        });
        let tenant = gateway.tenant_before(&upstream);
        let mut client = gateway.connect();
        let request = Request::get("/ws")
            .key(&tenant.key)
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
        client.send(request.bytes());
        let switched = client.read_head();
        assert_eq!(switched.status, 101);
        assert_eq!(
            switched.header("sec-websocket-accept"),
            Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        );
        let mut frame = [0; 7];
        client.stream.read_exact(&mut frame).unwrap();
        assert_eq!(&frame, b"\x81\x05hello");
        client.stream.get_mut().write_all(b"\x88\x00").unwrap();
        client.finish_sending();
        eventually("the upstream's side ends with the client's", || {
            upstream.in_flight() == 0
        });
        // Anything else is no upgrade that is forwarded.
        let other = Request::get("/")
            .key(&tenant.key)
            .header("Connection", "Upgrade")
            .header("Upgrade", "h2c");
        assert_eq!(gateway.call(&other).status, 400);
    }

    fn g17_an_expectation_is_answered_before_the_body(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::start(|request| Answer::text(&request.text()));
        let tenant = gateway.tenant_before(&upstream);
        let mut client = gateway.connect();
        client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n", tenant.key));
        assert_eq!(client.read_head().status, 100);
        client.send("body");
        assert_eq!(client.read(false).expect(200).text(), "body");
        // Who is refused is told so at once, and sends nothing.
        let mut stranger = gateway.connect();
        stranger
            .send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
        assert_eq!(stranger.read_head().status, 401);
    }

    fn g17_a_client_that_goes_away_takes_its_request_along(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::start(|_| Answer::hang());
        let tenant = gateway.tenant_before(&upstream);
        let mut client = gateway.connect();
        client.send(Request::get("/").key(&tenant.key).bytes());
        eventually("the request is at the upstream", || {
            upstream.in_flight() == 1
        });
        drop(client);
        eventually("the upstream is let go of", || upstream.in_flight() == 0);
    }
}

/// An upstream that closes idle connections must not cost a client anything.
#[test]
fn g17_a_stale_connection_is_no_502() {
    let gateway = Gateway::start(Backend::Embedded);
    let upstream = Upstream::named("a");
    let tenant = gateway.tenant_before(&upstream);
    let mut client = gateway.connect();
    for round in 0..50 {
        let request = if round % 2 == 0 {
            Request::get("/")
        } else {
            Request::post("/", "x")
        };
        client.call(&request.key(&tenant.key)).expect(200);
        if round % 3 == 0 {
            upstream.close_connections();
        }
        pause(Duration::from_millis(1));
    }
    assert_eq!(upstream.count(), 50);
}
