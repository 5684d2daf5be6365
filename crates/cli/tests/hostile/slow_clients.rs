//! Clients that dawdle: held to progress, never to a total, and never at the cost of others.
//!
//! The deadlines are real, so each test runs its clients side by side.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::wait::{eventually, pause, within};
use crate::harness::{Answer, Gate, Received, Request};
use crate::raw::{self, End};
use crate::scene::{Scene, gateway_before, one_worker};

/// What each of the gateway's deadlines for clients is.
const DEADLINE: Duration = Duration::from_secs(10);

/// How much later than its deadline a connection may be cut on a busy machine.
const SLACK: Duration = Duration::from_secs(6);

/// Sends `first`, then a byte of `drip` every 250 ms until the connection ends. What came, how it ended, and when.
fn dawdle(address: SocketAddr, first: &[u8], drip: &[u8]) -> (Vec<u8>, End, Duration) {
    let started = Instant::now();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(first).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_millis(250)))
        .unwrap();
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    for byte in drip {
        match stream.read(&mut buffer) {
            Ok(0) => return (read, End::Closed, started.elapsed()),
            Ok(count) => {
                read.extend_from_slice(&buffer[..count]);
                let (rest, end) = raw::read_to_end(&mut stream);
                read.extend(rest);
                return (read, end, started.elapsed());
            }
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) => {}
            Err(_) => return (read, End::Reset, started.elapsed()),
        }
        // The gateway may have closed in between.
        stream.write_all(&[*byte]).ok();
    }
    (read, End::Open, started.elapsed())
}

#[track_caller]
fn assert_on_time(name: &str, took: Duration) {
    let early = DEADLINE.saturating_sub(Duration::from_secs(1));
    assert!(
        (early..DEADLINE + SLACK).contains(&took),
        "{name}: cut after {took:?}"
    );
}

#[test]
fn silence_slow_heads_and_slow_bodies_are_cut_and_cost_nobody_else() {
    let scene = Scene::new(|_| Answer::text("fine"));
    let key = &scene.tenant.key;
    let address = scene.gateway.public;
    let head = "GET / HTTP/1.1\r\nHost: a\r\n";
    let kept = scene.request("GET", "/").bytes();
    let body = format!(
        "POST /body HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\nContent-Length: 100000\r\n\r\n"
    );
    let chunks = format!(
        "POST /chunks HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n"
    );
    let drip = vec![b'x'; 200];
    std::thread::scope(|scope| {
        let silent = scope.spawn(move || {
            let started = Instant::now();
            let (read, end) = raw::exchange(address, b"", DEADLINE + SLACK);
            (read, end, started.elapsed())
        });
        let half = scope.spawn(move || {
            let started = Instant::now();
            let (read, end) = raw::exchange(address, head.as_bytes(), DEADLINE + SLACK);
            (read, end, started.elapsed())
        });
        let slow = scope.spawn(|| dawdle(address, head.as_bytes(), &drip));
        let second = scope.spawn(|| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(&kept).unwrap();
            stream.write_all(b"GET / HT").unwrap();
            let started = Instant::now();
            stream.set_read_timeout(Some(DEADLINE + SLACK)).unwrap();
            let (read, end) = raw::read_to_end(&mut stream);
            (read, end, started.elapsed())
        });
        let body = scope.spawn(|| dawdle(address, body.as_bytes(), &drip));
        let chunks = scope.spawn(|| dawdle(address, chunks.as_bytes(), &drip));

        // Meanwhile the others are served.
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(5) {
            scene.get("/").expect(200);
            pause(Duration::from_millis(100));
        }

        let (read, end, took) = silent.join().unwrap();
        assert_eq!(
            (String::from_utf8_lossy(&read).as_ref(), end),
            ("", End::Closed),
            "a silent connection"
        );
        assert_on_time("a silent connection", took);
        for (name, thread, statuses) in [
            ("half a head", half, vec![408]),
            ("a dripping head", slow, vec![408]),
            ("a second request's head", second, vec![200, 408]),
            ("a dripping body", body, vec![408]),
            ("dripping chunks", chunks, vec![408]),
        ] {
            let (read, end, took) = thread.join().unwrap();
            assert_eq!(
                raw::statuses(&read),
                statuses,
                "{name}: {:?}",
                String::from_utf8_lossy(&read)
            );
            assert_ne!(end, End::Open, "{name}");
            assert_on_time(name, took);
        }
    });
    eventually("no half request is still with the upstream", || {
        scene.upstream.in_flight() == 0
    });
    assert!(
        scene
            .upstream
            .requests()
            .iter()
            .all(|request| request.path() == "/"),
        "no slow body became a request"
    );
}

#[test]
fn a_slow_but_steady_upload_outlives_every_deadline() {
    let scene = Scene::new(|request: &Received| Answer::text(&request.body.len().to_string()));
    let key = &scene.tenant.key;
    let mut client = scene.gateway.connect();
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\nContent-Length: 13000\r\n\r\n"
    ));
    // 1000 B/s, for longer than any deadline of a head.
    for _ in 0..26 {
        client.send(vec![b'x'; 500]);
        pause(Duration::from_millis(500));
    }
    assert_eq!(client.read(false).expect(200).text(), "13000");
}

#[test]
fn an_upstream_that_pauses_in_an_upload_is_not_blamed_on_the_client() {
    // It reads on only after longer than a client may be silent for.
    let server = raw::Server::start(|mut stream, _| {
        raw::read_head(&mut stream)?;
        pause(Duration::from_secs(13));
        let mut left = 32 * 1024 * 1024;
        let mut buffer = vec![0; 64 * 1024];
        while left > 0 {
            left -= stream.read(&mut buffer)?;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    });
    let (gateway, tenant) = gateway_before(one_worker(), &server.url());
    let mut client = gateway.connect();
    client
        .stream
        .get_ref()
        .set_write_timeout(Some(Duration::from_secs(40)))
        .unwrap();
    client.set_patience(Duration::from_secs(40));
    let response = client.call(&Request::post("/", vec![b'x'; 32 * 1024 * 1024]).key(&tenant.key));
    assert_eq!(response.status, 200, "{response:?} {}", response.text());
}

#[test]
fn a_client_that_leaves_while_the_upstream_works_takes_its_connection_along() {
    let gate = Gate::default();
    let scene = Scene::new({
        let gate = gate.clone();
        move |request: &Received| match request.path() {
            "/hold" => Answer::hang(),
            _ => Answer::text("fine").behind(&gate),
        }
    });
    let mut clients: Vec<_> = (0..5)
        .map(|number| {
            let mut client = scene.gateway.connect();
            let method = if number % 2 == 0 { "GET" } else { "POST" };
            client.send(scene.request(method, "/hold").body("x").bytes());
            client
        })
        .collect();
    eventually("the upstream works", || scene.upstream.in_flight() == 5);
    clients.truncate(2);
    eventually("three connections are closed upstream", || {
        scene.upstream.in_flight() == 2
    });
    drop(clients);
    eventually("all are closed upstream", || {
        scene.upstream.in_flight() == 0
    });
    gate.open();
    scene.get("/").expect(200);
}

/// The end of its side is all that the kernel tells of a client that has closed its connection, so it stands for that: also
/// where the other side is still open. What the gateway answers by itself is out before anybody looks.
#[test]
fn a_client_that_ends_its_side_before_the_upstream_has_answered_has_left() {
    let scene = Scene::new(|_| Answer::hang());
    let ask = |path: &str| {
        let mut client = scene.gateway.connect();
        client.send(scene.request("GET", path).bytes());
        client
    };
    let mut client = ask("/hold");
    eventually("the upstream works", || scene.upstream.in_flight() == 1);
    client.finish_sending();
    assert_eq!(client.read_to_end().unwrap(), b"", "it gets no answer");
    eventually("it is closed upstream", || scene.upstream.in_flight() == 0);
    let mut client = ask("/health");
    client.finish_sending();
    client.read(false).expect(200);
}

#[test]
fn a_client_that_has_pipelined_and_leaves_takes_its_connection_along() {
    let scene = Scene::new(|_| Answer::hang());
    let mut client = scene.gateway.connect();
    client.send(
        [
            scene.request("GET", "/1").bytes(),
            scene.request("GET", "/2").bytes(),
        ]
        .concat(),
    );
    eventually("the upstream works", || scene.upstream.in_flight() == 1);
    drop(client);
    eventually("it is closed upstream", || scene.upstream.in_flight() == 0);
    assert_eq!(scene.upstream.count(), 1, "nobody waits for the second one");
}

#[test]
fn a_client_that_resets_mid_upload_takes_its_request_along() {
    let scene = Scene::new(|_| Answer::text("fine"));
    let key = &scene.tenant.key;
    for _ in 0..5 {
        let mut client = scene.gateway.connect();
        client.send(format!("POST /half HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\nContent-Length: 1000000\r\n\r\nhalf"));
        eventually("the request is on its way", || {
            scene.upstream.connections() > 0
        });
        rustix::net::sockopt::set_socket_linger(client.stream.get_ref(), Some(Duration::ZERO))
            .unwrap();
        drop(client);
        scene.get("/").expect(200);
    }
    assert_eq!(scene.upstream.count_of("/half"), 0);
}

/// The upload stands still, but it is not the client who does not go on.
#[test]
fn an_upstream_that_does_not_take_an_upload_is_blamed_for_it() {
    let server = raw::Server::start(|stream, _| {
        // Accepted and never read.
        pause(Duration::from_secs(60));
        drop(stream);
        Ok(())
    });
    let (gateway, tenant) = gateway_before(one_worker(), &server.url());
    let mut stream = TcpStream::connect(gateway.public).unwrap();
    let length = 64 * 1024 * 1024;
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\nContent-Length: {length}\r\n\r\n",
        tenant.key
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut writer = stream.try_clone().unwrap();
    std::thread::spawn(move || writer.write_all(&vec![b'x'; length]).ok());
    let (answer, _) = raw::read_to_end(&mut stream);
    assert_eq!(
        raw::statuses(&answer),
        [504],
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

/// What is there to be taken has to be taken; what an upstream does not give is not held against anybody.
#[test]
fn a_response_that_nobody_takes_is_given_up_and_slow_or_silent_ones_are_not() {
    let (gone, is_gone) = std::sync::mpsc::channel();
    let gone = std::sync::Mutex::new(gone);
    let server = raw::Server::start(move |mut stream, _| {
        let head = raw::read_head(&mut stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")?;
        if head.starts_with(b"GET /quiet ") {
            pause(3 * DEADLINE);
            return stream.write_all(b"data: late\n\n");
        }
        while stream.write_all(&[b'x'; 16 * 1024]).is_ok() {}
        gone.lock().unwrap().send(head).ok();
        Ok(())
    });
    let options = one_worker().arg("--send-timeout", "20s");
    let (gateway, tenant) = gateway_before(options, &server.url());
    let open = |path: &str| {
        let mut client = gateway.connect();
        // A small buffer here, so that what is taken shows soon in what the other side may send.
        rustix::net::sockopt::set_socket_recv_buffer_size(client.stream.get_ref(), 8 * 1024)
            .unwrap();
        client.set_patience(4 * DEADLINE);
        client.send(Request::get(path).key(&tenant.key).bytes());
        client.read_head().expect(200);
        client
    };
    let (mut quiet, mut slow, _idle) = (open("/quiet"), open("/slow"), open("/idle"));
    let started = Instant::now();
    let late = std::thread::spawn(move || quiet.read_some());
    // 8 KiB a second, for longer than anybody else is waited for.
    let mut buffer = [0; 2 * 1024];
    let mut cut = None;
    while started.elapsed() < 3 * DEADLINE {
        slow.stream.get_mut().read_exact(&mut buffer).unwrap();
        pause(Duration::from_millis(250));
        if cut.is_none()
            && let Ok(head) = is_gone.try_recv()
        {
            cut = Some((head, started.elapsed()));
        }
    }
    let (head, took) = cut.expect("the upstream of who takes nothing is let go of");
    assert!(
        head.starts_with(b"GET /idle "),
        "{}",
        String::from_utf8_lossy(&head)
    );
    assert!(took > DEADLINE && took < 2 * DEADLINE + SLACK, "{took:?}");
    let late = late.join().unwrap().expect("a silent stream is not cut");
    assert!(
        String::from_utf8_lossy(&late).contains("data: late"),
        "{late:?}"
    );
    let counted = "gateway_connections_closed_total{reason=\"slow_client\"} 1\n";
    let metrics = gateway.metrics();
    assert!(metrics.contains(counted), "{metrics}");
}

/// A browser whose viewer pauses reads on when he comes back.
#[test]
fn a_paused_download_goes_on_unless_the_operator_allows_less() {
    const LENGTH: usize = 64 * 1024 * 1024;
    // How long an upstream may be silent is another matter.
    let route = json!({ "resilience": { "timeout": { "idleMs": 2_000 } } });
    let scene = |options| {
        Scene::with(options, route.clone(), |_| {
            Answer::status(200).body(vec![b'x'; LENGTH])
        })
    };
    let download = |scene: &Scene| {
        let mut client = scene.gateway.connect();
        client.send(scene.request("GET", "/").bytes());
        client.read_head().expect(200);
        client
    };
    let usual = scene(one_worker());
    let mut paused = download(&usual);
    let started = Instant::now();
    let strict = scene(one_worker().arg("--send-timeout", "2s"));
    let mut cut = download(&strict);
    within(DEADLINE, "the operator's time is over", || {
        let counted = "gateway_connections_closed_total{reason=\"slow_client\"} 1\n";
        strict.gateway.metrics().contains(counted)
    });
    assert!(cut.read_to_end().map_or(0, |rest| rest.len()) < LENGTH);
    pause((3 * DEADLINE).saturating_sub(started.elapsed()));
    paused.stream.read_exact(&mut vec![0; LENGTH]).unwrap();
}
