//! One HTTP/2 connection to an upstream for many requests: when it is shared, when another is made, and what its end costs.

use std::time::Duration;

use h2::Reason;
use serde_json::json;

use crate::client::{run, send};
use crate::harness::wait::within;
use crate::harness::{Gate, Request, Upstream, eventually};
use crate::scene::{Scene, all_served, assert_own, one_worker};
use crate::upstream::{Exchange, Http2Upstream};

/// An upstream that answers `fine` when the gate opens, with settings of its own.
fn gated(
    settings: impl Fn(&mut h2::server::Builder) + Send + Sync + 'static,
) -> (Http2Upstream, Gate) {
    let gate = Gate::default();
    let opens = gate.clone();
    let upstream = Http2Upstream::with(settings, move |mut exchange: Exchange| {
        let gate = opens.clone();
        async move {
            exchange.receive().await;
            while !gate.is_open() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            exchange.answer(200, "fine");
        }
    });
    (upstream, gate)
}

#[test]
fn clients_of_either_version_share_one_connection() {
    let (upstream, gate) = gated(|_| {});
    let scene = Scene::before_http2(&upstream);
    run(async {
        let over_http1: Vec<_> = (0..20)
            .map(|_| {
                let (address, key) = (scene.gateway.public, scene.tenant.key.clone());
                std::thread::spawn(move || {
                    let mut client = crate::harness::Client::connect(address);
                    client.call(&Request::get("/old").key(&key)).status
                })
            })
            .collect();
        let client = scene.connect().await;
        let over_http2: Vec<_> = (0..60)
            .map(|number| {
                let (client, request) = (client.clone(), scene.request(&client, "POST", "/new"));
                tokio::spawn(async move { client.call(request, format!("body {number}")).await })
            })
            .collect();
        eventually("all are at the upstream", || upstream.in_flight() == 80);
        gate.open();
        all_served(over_http2).await;
        for call in over_http1 {
            assert_eq!(call.join().unwrap(), 200);
        }
        assert_eq!(upstream.connections(), 1);
        let mut bodies: Vec<_> = upstream
            .requests()
            .iter()
            .map(crate::harness::Received::text)
            .collect();
        bodies.sort_unstable();
        bodies.dedup();
        assert_eq!(bodies.len(), 61, "each body came once, and the empty one");
    });
}

#[test]
fn what_goes_over_http1_goes_over_http2() {
    let upstream = Http2Upstream::start(async |mut exchange: Exchange| {
        let request = exchange.receive().await;
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-sum", "42".parse().unwrap());
        let response = http::Response::builder()
            .status(200)
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2");
        match request.path() {
            "/empty" => exchange.answer(204, ""),
            "/length" => exchange.answer(200, &request.text()),
            "/trailers" => {
                let mut stream = exchange.begin(response);
                send(&mut stream, request.body.into(), false).await.unwrap();
                stream.send_trailers(trailers).unwrap();
            }
            _ => {
                let mut stream = exchange.begin(response);
                send(&mut stream, request.body.into(), false).await.unwrap();
                stream.send_data(bytes::Bytes::new(), true).unwrap();
            }
        }
    });
    let scene = Scene::before_http2(&upstream);
    let request = |path: &str| Request::post(path, "0123456789").key(&scene.tenant.key);
    let mut client = scene.gateway.connect();
    client.call(&request("/empty")).expect(204);
    assert_eq!(
        client.call(&request("/length")).expect(200).text(),
        "0123456789"
    );
    let open = client.call(&request("/open")).expect(200);
    assert_eq!(
        (open.text().as_str(), open.header("transfer-encoding")),
        ("0123456789", Some("chunked"))
    );
    assert_eq!(open.headers("set-cookie"), ["a=1", "b=2"]);
    let trailed = client.call(&request("/trailers")).expect(200);
    assert_eq!(
        (trailed.text().as_str(), trailed.trailers[0].1.as_str()),
        ("0123456789", "42")
    );
    let chunked = Request::new("POST", "/length?x=%2F")
        .key(&scene.tenant.key)
        .header("Transfer-Encoding", "chunked")
        .header("Connection", "X-Mine")
        .header("X-Mine", "for the gateway")
        .header("Cookie", "a=1; b=2")
        .body("4\r\n0123\r\n0\r\nX-Check: 7\r\n\r\n");
    assert_eq!(client.call(&chunked).expect(200).text(), "0123");
    let seen = upstream.requests().pop().unwrap();
    assert_eq!(seen.target, "/length?x=%2F");
    assert_eq!(seen.trailers, [("x-check".to_owned(), "7".to_owned())]);
    assert_eq!(seen.header("cookie"), Some("a=1; b=2"));
    assert_eq!(seen.header("te"), Some("trailers"));
    assert_eq!(seen.header("via"), Some("1.1 bastide"));
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    for absent in [
        "connection",
        "x-mine",
        "transfer-encoding",
        "host",
        "content-length",
        "x-api-key",
    ] {
        assert_eq!(seen.header(absent), None, "{absent}");
    }
    let first = &upstream.requests()[0];
    assert_eq!(first.header("content-length"), Some("10"));
    let head = client
        .call(&Request::new("HEAD", "/length").key(&scene.tenant.key))
        .expect(200);
    assert!(head.body.is_empty());
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn more_requests_than_the_upstream_allows_at_a_time_are_all_answered() {
    let (upstream, gate) = gated(|settings| {
        settings.max_concurrent_streams(4);
    });
    let scene = Scene::before_http2(&upstream);
    run(async {
        let client = scene.connect().await;
        // So that the upstream's settings are known.
        gate.open();
        client.get("/", &scene.tenant.key).await.expect(200);
        gate.shut();
        let calls: Vec<_> = (0..12).map(|_| scene.post(&client, "/")).collect();
        eventually("all are at the upstream", || upstream.in_flight() == 12);
        assert_eq!(upstream.connections(), 3, "four on each");
        gate.open();
        all_served(calls).await;
    });
    // Nothing is known of a new connection: those that it does not allow wait for it, or are refused and sent again.
    let (upstream, gate) = gated(|settings| {
        settings.max_concurrent_streams(1);
    });
    let scene = Scene::before_http2(&upstream);
    gate.open();
    run(async {
        let client = scene.connect().await;
        let calls: Vec<_> = (0..50).map(|_| scene.post(&client, "/")).collect();
        all_served(calls).await;
        assert_eq!(upstream.requests().len(), 50);
    });
}

#[test]
fn an_upstream_that_says_goodbye_costs_no_request() {
    let (upstream, gate) = gated(|_| {});
    let scene = Scene::before_http2(&upstream);
    run(async {
        let client = scene.connect().await;
        let before: Vec<_> = (0..20).map(|_| scene.post(&client, "/before")).collect();
        eventually("they are at the upstream", || upstream.in_flight() == 20);
        upstream.go_away();
        // Not a moment is waited: some of these meet the connection that is going.
        let after: Vec<_> = (0..20).map(|_| scene.post(&client, "/after")).collect();
        eventually("the others are too", || upstream.in_flight() == 40);
        gate.open();
        all_served(before.into_iter().chain(after)).await;
        assert_eq!(upstream.connections(), 2);
        within(
            Duration::from_secs(5),
            "the old connection is closed",
            || upstream.open() == 1,
        );
    });
}

#[test]
fn goodbyes_under_load_cost_no_request() {
    let upstream = Http2Upstream::echo();
    let scene = Scene::before_http2(&upstream);
    run(async {
        let client = scene.connect().await;
        let calls: Vec<_> = (0..8)
            .map(|_| {
                let client = client.clone();
                let key = scene.tenant.key.clone();
                tokio::spawn(async move {
                    for number in 0..150 {
                        let request = client.request("POST", "/").header("x-api-key", &key);
                        client.call(request, format!("{number}")).await.expect(200);
                    }
                })
            })
            .collect();
        let mut ended = 0;
        while !calls.iter().all(tokio::task::JoinHandle::is_finished) {
            upstream.go_away();
            ended += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for call in calls {
            call.await.unwrap();
        }
        println!("{ended} goodbyes, {} connections", upstream.connections());
        assert!(upstream.connections() > 3);
        assert_eq!(upstream.requests().len(), 8 * 150, "none was sent twice");
    });
}

#[test]
fn an_idle_connection_that_is_killed_costs_no_request() {
    let upstream = Http2Upstream::echo();
    let scene = Scene::before_http2(&upstream);
    run(async {
        let client = scene.connect().await;
        for round in 1..=100 {
            client.get("/", &scene.tenant.key).await.expect(200);
            upstream.kill_connections();
            within(Duration::from_secs(5), "it is gone", || {
                upstream.open() == 0
            });
            // At once: the gateway may not have heard of it.
            client.get("/", &scene.tenant.key).await.expect(200);
            assert!(upstream.connections() >= round);
        }
    });
}

#[test]
fn a_busy_connection_that_is_killed_costs_no_request_that_can_be_repeated() {
    let (upstream, gate) = gated(|_| {});
    let scene = Scene::before_http2(&upstream);
    run(async {
        let client = scene.connect().await;
        gate.open();
        client.get("/", &scene.tenant.key).await.expect(200);
        gate.shut();
        let calls: Vec<_> = (0..5)
            .map(|_| {
                let (client, key) = (client.clone(), scene.tenant.key.clone());
                tokio::spawn(async move { client.get("/", &key).await })
            })
            .collect();
        eventually("they are at the upstream", || upstream.in_flight() == 5);
        upstream.kill_connections();
        gate.open();
        all_served(calls).await;
        assert_eq!(upstream.connections(), 2);
    });
}

#[test]
fn a_busy_connection_that_is_killed_fails_what_cannot_be_repeated() {
    let (upstream, gate) = gated(|_| {});
    let scene = Scene::before_http2(&upstream);
    run(async {
        let client = scene.connect().await;
        let calls: Vec<_> = (0..5).map(|_| scene.post(&client, "/")).collect();
        eventually("they are at the upstream", || upstream.in_flight() == 5);
        upstream.kill_connections();
        for call in calls {
            assert_own("a POST that was seen", &call.await.unwrap(), 502);
        }
        assert_eq!(upstream.requests().len(), 5, "none was sent twice");
        gate.open();
        client.get("/", &scene.tenant.key).await.expect(200);
        assert_eq!(upstream.connections(), 2);
    });
}

/// Cancelled downloads leave frames under way for streams that nobody knows any more.
#[test]
fn clients_that_cancel_do_not_cost_the_others_their_shared_connection() {
    let upstream = Http2Upstream::start(async |mut exchange: Exchange| {
        if exchange.target() == "/long" {
            let mut stream = exchange.begin(http::Response::builder());
            send(&mut stream, vec![b'x'; 1 << 20].into(), true)
                .await
                .ok();
        } else {
            exchange.answer(200, "fine");
        }
    });
    let scene = Scene::before_http2(&upstream);
    run(async {
        let client = scene.connect().await;
        for _ in 0..30 {
            let mut calls = Vec::new();
            for _ in 0..99 {
                let request = scene.request(&client, "GET", "/long");
                calls.push(client.open(request, true).await.unwrap());
            }
            for (response, mut stream) in calls {
                response.await.unwrap();
                stream.send_reset(Reason::CANCEL);
            }
        }
        client.get("/", &scene.tenant.key).await.expect(200);
        assert!(!client.has_ended());
        assert_eq!(upstream.connections(), 1, "no connection was lost over it");
    });
}

/// What clients do not take must not use up the window that the shared connection gives to everybody.
#[test]
fn clients_that_take_nothing_do_not_stop_the_others_on_the_shared_connection() {
    let upstream = Http2Upstream::start(async |mut exchange: Exchange| {
        if exchange.target() == "/long" {
            let mut stream = exchange.begin(http::Response::builder());
            send(&mut stream, vec![b'x'; 4 << 20].into(), true)
                .await
                .ok();
        } else {
            exchange.answer(200, &"fine".repeat(1_000));
        }
    });
    let scene = Scene::before_http2(&upstream);
    run(async {
        let greedy = scene.connect().await;
        let mut held = Vec::new();
        for _ in 0..80 {
            let request = scene.request(&greedy, "GET", "/long");
            let (response, _) = greedy.open(request, true).await.unwrap();
            held.push(response);
        }
        eventually("they are at the upstream", || upstream.in_flight() == 80);
        // Until the upstream has sent all that it may.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let other = scene.connect().await;
        for _ in 0..20 {
            let call = other.get("/", &scene.tenant.key);
            let answer = tokio::time::timeout(Duration::from_secs(5), call).await;
            answer.expect("the others go on").expect(200);
        }
        assert_eq!(upstream.connections(), 1);
        drop(held);
    });
}

#[test]
fn a_websocket_goes_over_http1_where_the_upstream_takes_that_and_is_a_plain_request_elsewhere() {
    let upgrade = |scene: &Scene| {
        Request::get("/socket")
            .key(&scene.tenant.key)
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
    };
    let upstream = Http2Upstream::echo();
    let scene = Scene::before_http2(&upstream);
    let answer = scene.gateway.call(&upgrade(&scene)).expect(200);
    assert_eq!(answer.text(), "GET /socket");
    assert_eq!(upstream.only().header("upgrade"), None);
    let old = Upstream::start(|_| {
        crate::harness::Answer::raw(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        )
    });
    let scene = Scene::with(one_worker(), &old.url(), "auto", json!(null));
    let mut client = scene.gateway.connect();
    client.send(upgrade(&scene).bytes());
    assert_eq!(client.read_head().status, 101);
}
