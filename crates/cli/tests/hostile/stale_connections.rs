//! Kept-alive upstream connections that die between two requests: the most repeated cause of 502 in every gateway.
//!
//! No client may notice, and no request may be carried out twice.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bastide_testkit::TestFolder;

use crate::harness::wait::{eventually, pause};
use crate::harness::{Answer, Request};
use crate::raw::{self, Server, requests};
use crate::scene::{Scene, gateway_before, one_worker};

/// What was carried out, by target.
#[derive(Clone, Default)]
struct Executed(Arc<Mutex<HashMap<String, usize>>>);

impl Executed {
    fn note(&self, target: &str) {
        *self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(target.to_owned())
            .or_default() += 1;
    }

    /// Fails if anything was carried out twice. How many different ones were.
    #[track_caller]
    fn assert_once(&self) -> usize {
        let executed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let twice: Vec<_> = executed.iter().filter(|(_, count)| **count > 1).collect();
        assert!(twice.is_empty(), "carried out more than once: {twice:?}");
        executed.len()
    }
}

/// Reads one whole request and carries it out. `false` at the end.
fn execute(stream: &mut (impl Read + Write), executed: &Executed) -> io::Result<bool> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(false);
        }
        bytes.extend_from_slice(&buffer[..count]);
        if let [request] = requests(&bytes).as_slice()
            && request.is_whole
        {
            executed.note(request.target());
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
            return Ok(true);
        }
    }
}

/// One request of each kind that matters: no body, a small one, one that is too long to be kept for another attempt.
fn request(number: usize, key: &str) -> Request {
    let target = format!("/{number}");
    match number % 4 {
        0 => Request::get(&target),
        1 => Request::post(&target, "small"),
        2 => Request::post(&target, vec![b'x'; 200 * 1024]),
        _ => Request::new("DELETE", &target),
    }
    .key(key)
}

/// An upstream that ends each connection after one request, in its way.
fn costs_no_request(
    rounds: usize,
    end: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static,
) {
    let executed = Executed::default();
    let ended = Arc::new(AtomicUsize::new(0));
    let server = Server::start({
        let (executed, ended) = (executed.clone(), Arc::clone(&ended));
        move |mut stream, _| {
            execute(&mut stream, &executed)?;
            end(stream)?;
            ended.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    });
    one_after_the_other(&server.url(), rounds, &ended);
    assert_eq!(executed.assert_once(), rounds);
}

/// Sends requests over one connection, each when the upstream has ended the connection that the one before it took.
fn one_after_the_other(url: &str, rounds: usize, ended: &AtomicUsize) {
    let (gateway, tenant) = gateway_before(one_worker(), url);
    let mut client = gateway.connect();
    for number in 0..rounds {
        let response = client.call(&request(number, &tenant.key));
        assert_eq!(
            response.status,
            200,
            "request {number}: {}",
            response.text()
        );
        eventually("the upstream ends it", || {
            ended.load(Ordering::SeqCst) > number
        });
    }
}

#[test]
fn a_connection_closed_between_requests_costs_no_request() {
    costs_no_request(400, |stream| {
        drop(stream);
        Ok(())
    });
}

#[test]
fn a_connection_reset_between_requests_costs_no_request() {
    costs_no_request(200, |stream| {
        // The response must be there before the reset, which would overtake it.
        pause(Duration::from_millis(5));
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
        drop(stream);
        Ok(())
    });
}

/// The race itself: the upstream closes at the very moment when the next request is written. It shuts both directions, after
/// which its kernel answers new bytes with a reset, and then looks whether bytes of a request had come before: those it
/// acknowledged, so that nobody but it can know whether they were read.
fn race(stop_after: Duration, request: impl Fn(usize) -> Request + Sync) -> (usize, usize, usize) {
    let executed = Executed::default();
    let swallowed = Arc::new(AtomicUsize::new(0));
    let server = Server::start({
        let (executed, swallowed) = (executed.clone(), Arc::clone(&swallowed));
        move |mut stream, number| {
            if !execute(&mut stream, &executed)? {
                return Ok(());
            }
            // About as long as the gateway takes for the next request, a little more each time.
            let until = Instant::now() + Duration::from_micros(20 * (number as u64 % 60));
            while Instant::now() < until {
                std::hint::spin_loop();
            }
            stream.shutdown(Shutdown::Both)?;
            let mut rest = [0; 1024];
            if stream.read(&mut rest).is_ok_and(|count| count > 0) {
                swallowed.fetch_add(1, Ordering::SeqCst);
            }
            Ok(())
        }
    });
    let (gateway, tenant) = gateway_before(one_worker(), &server.url());
    let end = Instant::now() + stop_after;
    let mut client = gateway.connect();
    let (mut sent, mut failed) = (0, 0);
    while Instant::now() < end {
        let response = client.call(&request(sent).key(&tenant.key));
        sent += 1;
        match response.status {
            200 => {}
            502 => failed += 1,
            status => panic!("{status}: {}", response.text()),
        }
        if response.header("connection") == Some("close") {
            client = gateway.connect();
        }
    }
    assert_eq!(
        executed.assert_once(),
        sent - failed,
        "200 means carried out once, 502 not at all"
    );
    (sent, failed, swallowed.load(Ordering::SeqCst))
}

#[test]
fn a_connection_closed_as_the_next_get_is_written_costs_no_request() {
    let (sent, failed, swallowed) = race(Duration::from_secs(4), |number| {
        Request::get(&format!("/{number}"))
    });
    println!("{sent} sent, {failed} failed, {swallowed} had reached the upstream that closed");
    assert_eq!(failed, 0);
}

#[test]
fn a_connection_closed_as_the_next_post_is_written_costs_none_that_could_be_saved() {
    let (sent, failed, swallowed) = race(Duration::from_secs(4), |number| {
        Request::post(&format!("/{number}"), "once")
    });
    println!("{sent} sent, {failed} failed, {swallowed} had reached the upstream that closed");
    assert!(
        failed <= swallowed,
        "{failed} failed, of which only {swallowed} had reached the upstream"
    );
}

#[test]
fn a_connection_closed_as_the_next_keyed_post_is_written_costs_no_request() {
    let (sent, failed, swallowed) = race(Duration::from_secs(3), |number| {
        Request::post(&format!("/{number}"), "once")
            .header("Idempotency-Key", &format!("key-{number}"))
    });
    println!("{sent} sent, {failed} failed, {swallowed} had reached the upstream that closed");
    assert_eq!(failed, 0);
}

#[test]
fn a_unix_socket_closed_between_requests_costs_no_request() {
    const ROUNDS: usize = 200;
    let folder = TestFolder::new().unwrap();
    let path = folder.path().join("up.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let executed = Executed::default();
    let closed = Arc::new(AtomicUsize::new(0));
    std::thread::spawn({
        let (executed, closed) = (executed.clone(), Arc::clone(&closed));
        move || {
            for mut stream in listener.incoming().flatten() {
                // What breaks is seen by the client.
                execute(&mut stream, &executed).ok();
                drop(stream);
                closed.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    one_after_the_other(&format!("unix:{}", path.display()), ROUNDS, &closed);
    assert_eq!(executed.assert_once(), ROUNDS);
}

#[test]
fn many_clients_over_dying_connections_see_no_502() {
    let executed = Executed::default();
    let server = Server::start({
        let executed = executed.clone();
        move |mut stream, number| {
            for _ in 0..=number % 3 {
                if !execute(&mut stream, &executed)? {
                    return Ok(());
                }
            }
            Ok(())
        }
    });
    let (gateway, tenant) = gateway_before(
        crate::harness::Options::new(crate::harness::Backend::Embedded),
        &server.url(),
    );
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = gateway.connect();
                for _ in 0..150 {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let response =
                        client.call(&Request::get(&format!("/{number}")).key(&tenant.key));
                    if response.status != 200 {
                        failures.lock().unwrap().push(format!(
                            "{number}: {} {}",
                            response.status,
                            response.text()
                        ));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{failures:#?}");
    assert_eq!(executed.assert_once(), 1200);
}

#[test]
fn an_upstream_that_names_a_short_time_is_not_kept_longer() {
    let scene = Scene::new(|_| Answer::text("fine").header("Keep-Alive", "timeout=1"));
    for _ in 0..3 {
        scene.get("/").expect(200);
    }
    assert_eq!(
        scene.upstream.connections(),
        3,
        "a second is as long as the way there may take"
    );
    scene
        .upstream
        .set(|_| Answer::text("fine").header("Keep-Alive", "timeout=60"));
    scene.get("/").expect(200);
    let before = scene.upstream.connections();
    for _ in 0..3 {
        scene.get("/").expect(200);
    }
    assert_eq!(scene.upstream.connections(), before);
}

#[test]
fn a_first_request_that_finds_its_connection_closed_is_not_sent_again() {
    // Over a new connection it is no stale one: the upstream may have acted on it.
    let scene = Scene::new(|_| Answer::close());
    for method in ["GET", "POST"] {
        scene.upstream.forget();
        let response = scene.gateway.call(&scene.request(method, "/").body("x"));
        assert_eq!(
            (response.status, scene.upstream.count()),
            (502, 1),
            "{method}"
        );
    }
    let bytes = scene
        .request("GET", "/")
        .header("Connection", "close")
        .bytes();
    let (bytes, _) = raw::exchange(scene.gateway.public, &bytes, raw::PATIENCE);
    assert_eq!(raw::statuses(&bytes), [502]);
}

/// Ends a connection on which a request was read, without a word: by a reset, or with bytes unread, which the kernel makes
/// a reset of as well. How much of the request had been acknowledged by then is a matter of luck.
fn ends_after_reading(read_all: bool, linger: bool) {
    let executed = Executed::default();
    let server = Server::start({
        let executed = executed.clone();
        move |mut stream, _| {
            execute(&mut stream, &executed)?;
            let mut bytes = vec![0; if read_all { 64 * 1024 } else { 40 }];
            let count = stream.read(&mut bytes)?;
            if count > 0 {
                // It was read, so for all that anybody knows it was carried out.
                let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                let target = text.split(' ').nth(1).unwrap_or_default().to_owned();
                executed.note(&target);
            }
            if linger {
                rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
            }
            Ok(())
        }
    });
    let (gateway, tenant) = gateway_before(one_worker(), &server.url());
    for round in 0..40 {
        let mut client = gateway.connect();
        let first = Request::get(&format!("/first/{round}")).key(&tenant.key);
        client.call(&first).expect(200);
        let request = Request::post(&format!("/{round}"), "once").key(&tenant.key);
        client.call(&request).expect(502);
    }
    executed.assert_once();
}

#[test]
fn a_post_that_was_read_before_a_reset_is_not_sent_again() {
    ends_after_reading(true, true);
}

#[test]
fn a_post_that_was_read_in_part_before_the_end_is_not_sent_again() {
    ends_after_reading(false, false);
}
