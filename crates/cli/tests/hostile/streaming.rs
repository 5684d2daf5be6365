//! Bodies pass piece by piece: at once, at the pace of the slower side, and without being gathered.

use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::harness::wait::within;
use crate::harness::{Answer, Client, Received, Request};
use crate::raw::{self, Server, requests};
use crate::scene::{Scene, assert_own, gateway_before, one_worker};

/// What a kernel may hold back on a connection through the gateway: four socket buffers at their largest, and ours.
const BUFFERS: u64 = 40 * 1024 * 1024;

#[test]
fn each_event_of_a_stream_arrives_at_once_and_alone() {
    const EVENTS: usize = 100;
    // The upstream writes an event only when the one before has arrived: nothing later can push it through.
    let (arrived, next) = channel::<()>();
    let next = Mutex::new(next);
    let server = Server::start(move |mut stream, _| {
        raw::read_head(&mut stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        for number in 0..EVENTS {
            let event = format!("data: {number:>4}\n\n");
            write!(stream, "{:x}\r\n{event}\r\n", event.len())?;
            if next.lock().unwrap().recv().is_err() {
                return Ok(());
            }
        }
        stream.write_all(b"0\r\n\r\n")
    });
    let (gateway, tenant) = gateway_before(one_worker(), &server.url());
    let mut client = gateway.connect();
    client.send(Request::get("/events").key(&tenant.key).bytes());
    assert_eq!(
        client.read_head().expect(200).header("transfer-encoding"),
        Some("chunked")
    );
    let mut times = Vec::new();
    for number in 0..EVENTS {
        let started = Instant::now();
        let wanted = format!("data: {number:>4}\n\n");
        let mut seen = Vec::new();
        while raw::find(&seen, wanted.as_bytes()).is_none() {
            let more = client
                .read_some()
                .unwrap_or_else(|error| panic!("event {number} did not come: {error}"));
            assert!(!more.is_empty(), "the stream ended at event {number}");
            seen.extend(more);
        }
        times.push(started.elapsed());
        arrived.send(()).unwrap();
    }
    times.sort_unstable();
    println!(
        "an event took {:?} (median), {:?} (90 %), {:?} (most)",
        times[EVENTS / 2],
        times[EVENTS * 9 / 10],
        times[EVENTS - 1]
    );
    assert!(
        times[EVENTS * 9 / 10] < Duration::from_millis(100),
        "{times:?}"
    );
}

#[test]
fn a_client_that_does_not_read_stops_the_upstream() {
    let written = Arc::new(AtomicU64::new(0));
    let total: u64 = 256 * 1024 * 1024;
    let server = Server::start({
        let written = Arc::clone(&written);
        move |mut stream, _| {
            raw::read_head(&mut stream)?;
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n")?;
            let piece = vec![b'x'; 64 * 1024];
            for _ in 0..total / piece.len() as u64 {
                stream.write_all(&piece)?;
                written.fetch_add(piece.len() as u64, Ordering::SeqCst);
            }
            Ok(())
        }
    });
    let (gateway, tenant) = gateway_before(one_worker(), &server.url());
    let mut client = gateway.connect();
    client.send(Request::get("/").key(&tenant.key).bytes());
    let stopped_at = settled(&written);
    println!("the upstream was stopped after {} KiB", stopped_at / 1024);
    assert!(
        (1..BUFFERS).contains(&stopped_at),
        "{stopped_at} bytes went out to a client that read none"
    );
    // It goes on when the client does.
    client.read_head().expect(200);
    let mut left = total;
    while left > 0 {
        let count = client.read_some().unwrap().len() as u64;
        assert!(count > 0, "{left} bytes are missing");
        left -= count;
    }
}

#[test]
fn an_upstream_that_does_not_read_stops_the_client() {
    let (go, gone) = channel::<()>();
    let gone = Mutex::new(gone);
    let total: u64 = 256 * 1024 * 1024;
    let server = Server::start(move |mut stream, _| {
        raw::read_head(&mut stream)?;
        // The test lets go of it when it is time to read.
        gone.lock().unwrap().recv().ok();
        let (mut left, mut buffer) = (total, vec![0; 256 * 1024]);
        while left > 0 {
            left -= stream.read(&mut buffer)? as u64;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    });
    let (gateway, tenant) = gateway_before(one_worker(), &server.url());
    let written = AtomicU64::new(0);
    let mut client = gateway.connect();
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\nContent-Length: {total}\r\n\r\n",
        tenant.key
    ));
    std::thread::scope(|scope| {
        let mut stream = client.stream.get_ref().try_clone().unwrap();
        let written = &written;
        scope.spawn(move || {
            let piece = vec![b'x'; 64 * 1024];
            for _ in 0..total / piece.len() as u64 {
                stream.write_all(&piece).unwrap();
                written.fetch_add(piece.len() as u64, Ordering::SeqCst);
            }
        });
        let stopped_at = settled(written);
        println!("the client was stopped after {} KiB", stopped_at / 1024);
        assert!(
            (1..BUFFERS).contains(&stopped_at),
            "{stopped_at} bytes went out to an upstream that read none"
        );
        drop(go);
        client.set_patience(Duration::from_secs(30));
        assert_eq!(client.read(false).expect(200).text(), "ok");
    });
}

/// The count when it has not grown for a while.
fn settled(count: &AtomicU64) -> u64 {
    let (mut last, mut since) = (0, Instant::now());
    within(Duration::from_secs(20), "the flow stops", || {
        let now = count.load(Ordering::SeqCst);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        last > 0 && since.elapsed() > Duration::from_millis(800)
    });
    last
}

#[test]
fn an_expectation_is_met_by_the_gateway_before_the_upstream_is_asked_for_it() {
    let scene = Scene::new(|request: &Received| Answer::text(&request.text()));
    let head = |key: &str| {
        format!(
            "POST / HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        )
    };
    let mut client = scene.gateway.connect();
    for _ in 0..3 {
        client.send(head(&scene.tenant.key));
        assert_eq!(client.read_head().status, 100);
        client.send("hello");
        assert_eq!(client.read(false).expect(200).text(), "hello");
    }
    assert!(
        scene
            .upstream
            .requests()
            .iter()
            .all(|request| request.headers("expect").is_empty())
    );
    // A client that does not wait gets no interim response, or one that does no harm.
    client.send(head(&scene.tenant.key) + "hello");
    assert_eq!(client.read(false).expect(200).text(), "hello");
}

#[test]
fn an_expectation_that_is_refused_is_refused_at_once() {
    let scene = Scene::new(|_| Answer::text("fine"));
    let mut client = scene.gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nX-API-Key: wrong\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    let head = client.read_head();
    assert_eq!(head.status, 403, "no body was asked for: {head:?}");
    assert_eq!(
        head.header("connection"),
        Some("close"),
        "a body that never comes leaves the connection unclear"
    );
    assert_eq!(scene.upstream.count(), 0);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let scene = Scene::new(|request: &Received| {
        let slow = if request.path() == "/0" { 50 } else { 0 };
        Answer::text(&format!("{} {}", request.target, request.text()))
            .after(Duration::from_millis(slow))
    });
    let bytes: Vec<u8> = (0..20)
        .flat_map(|number| match number % 3 {
            0 => scene.request("GET", &format!("/{number}")).bytes(),
            1 => scene
                .request("POST", &format!("/{number}"))
                .body(format!("body{number}"))
                .bytes(),
            _ => scene
                .request("PUT", &format!("/{number}"))
                .header("Transfer-Encoding", "chunked")
                .body("2\r\nhi\r\n0\r\n\r\n")
                .bytes(),
        })
        .collect();
    let mut client = scene.gateway.connect();
    client.send(&bytes);
    for number in 0..20 {
        let body = match number % 3 {
            0 => String::new(),
            1 => format!("body{number}"),
            _ => "hi".to_owned(),
        };
        assert_eq!(
            client.read(false).expect(200).text(),
            format!("/{number} {body}")
        );
    }
    // The same in pieces of a few bytes.
    let mut client = scene.gateway.connect();
    for piece in bytes.chunks(7) {
        client.send(piece);
    }
    for number in 0..20 {
        assert!(
            client
                .read(false)
                .expect(200)
                .text()
                .starts_with(&format!("/{number} "))
        );
    }
}

#[test]
fn a_refusal_in_the_middle_of_a_pipeline_ends_it_there() {
    let scene = Scene::new(|request: &Received| Answer::text(&request.target));
    let one = |path: &str| String::from_utf8(scene.request("GET", path).bytes()).unwrap();
    let bytes = one("/1") + &one("/2").replace("Host:", "Host :") + &one("/evil");
    let mut client = Client::connect(scene.gateway.public);
    client.send(bytes);
    assert_eq!(client.read(false).expect(200).text(), "/1");
    assert_own("the second", &client.read(false), 400);
    assert!(client.is_closed());
    assert_eq!(scene.upstream.only().target, "/1");
}

#[test]
fn a_chunked_upload_goes_up_while_it_comes_in() {
    let (seen, look) = channel::<usize>();
    let seen = Mutex::new(seen);
    let server = Server::start(move |mut stream, _| {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let count = stream.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            bytes.extend_from_slice(&buffer[..count]);
            let pieces = bytes
                .windows(5)
                .filter(|window| *window == b"piece")
                .count();
            seen.lock().unwrap().send(pieces).ok();
            if requests(&bytes)
                .first()
                .is_some_and(|request| request.is_whole)
            {
                return stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        }
    });
    let (gateway, tenant) = gateway_before(one_worker(), &server.url());
    let mut client = gateway.connect();
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        tenant.key
    ));
    for number in 1..=10 {
        client.send("5\r\npiece\r\n");
        while look
            .recv_timeout(raw::PATIENCE)
            .expect("each piece goes up before the next one comes")
            < number
        {}
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.read(false).expect(200).text(), "ok");
}
