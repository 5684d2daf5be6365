//! The end of a gateway under load: told to stop, it finishes what it began.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::harness::wait::{eventually, within};
use crate::harness::{
    Answer, Backend, Client, Gate, Gateway, Options, Received, Request, Upstream,
};
use crate::load::Load;
use crate::scene::one_worker;

fn options() -> Options {
    Options::new(Backend::Embedded).arg("--drain-delay", "1500ms")
}

/// Keep-alive clients as behind a load balancer: they stop coming when the gateway says that it is not ready. Whatever
/// they did send must be answered.
#[test]
fn a_gateway_that_is_told_to_stop_under_load_fails_no_request() {
    let mut gateway = Gateway::start(options());
    let upstream = Upstream::start(|_| Answer::text("fine").after(Duration::from_millis(2)));
    let tenant = gateway.tenant_before(&upstream);
    let request = Request::get("/").key(&tenant.key);
    let load = Load::of_ok(gateway.public, 8, &request);
    load.wait_for(300);
    gateway.terminate();
    let ready = Request::get("/ready");
    within(
        Duration::from_secs(5),
        "the gateway says that it is not ready",
        || {
            Client::try_connect(gateway.public)
                .and_then(|mut client| client.try_call(&ready))
                .is_ok_and(|response| response.status == 503)
        },
    );
    let report = load.stop();
    println!(
        "{} answered, {} failed",
        report.answered,
        report.failures.len()
    );
    report.assert_clean();
    assert!(gateway.wait().success());
}

/// Clients that know nothing of `/ready`: as long as the listener is open they are served, and told to go.
#[test]
fn connections_are_let_go_of_by_name_while_the_listener_is_still_open() {
    let mut gateway = Gateway::start(options());
    let upstream = Upstream::named("fine");
    let tenant = gateway.tenant_before(&upstream);
    let request = Request::get("/").key(&tenant.key);
    let mut clients: Vec<_> = (0..10).map(|_| gateway.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.call(&request).expect(200).header("connection"), None);
    }
    gateway.terminate();
    eventually("it drains", || {
        gateway.call(&Request::get("/ready")).status == 503
    });
    for client in &mut clients {
        assert_eq!(
            client.call(&request).expect(200).header("connection"),
            Some("close"),
            "told to connect elsewhere"
        );
        assert!(client.is_closed());
    }
    gateway.call(&request).expect(200);
    assert!(gateway.wait().success());
}

#[test]
fn requests_in_flight_are_finished_after_the_listener_is_closed() {
    let gate = Gate::default();
    let upstream = Upstream::start({
        let gate = gate.clone();
        move |request: &Received| Answer::text(&request.text()).behind(&gate)
    });
    let mut gateway = Gateway::start(Options::new(Backend::Embedded).arg("--drain-delay", "0s"));
    let tenant = gateway.tenant_before(&upstream);
    let address = gateway.public;
    let mut clients: Vec<_> = (0..10).map(|_| gateway.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(
            Request::post("/", format!("body {number}"))
                .key(&tenant.key)
                .bytes(),
        );
    }
    eventually("all are with the upstream", || upstream.in_flight() == 10);
    gateway.terminate();
    eventually("nothing new is accepted", || {
        Client::try_connect(address).is_err()
    });
    assert!(!gateway.has_ended(), "ten requests are in flight");
    gate.open();
    for (number, client) in clients.iter_mut().enumerate() {
        let response = client.read(false).expect(200);
        assert_eq!(
            (response.text(), response.header("connection")),
            (format!("body {number}"), Some("close"))
        );
    }
    assert!(gateway.wait().success());
}

#[test]
fn idle_connections_do_not_hold_up_the_end() {
    let mut gateway = Gateway::start(Options::new(Backend::Embedded));
    let upstream = Upstream::named("fine");
    let tenant = gateway.tenant_before(&upstream);
    let mut idle: Vec<_> = (0..20).map(|_| gateway.connect()).collect();
    for client in &mut idle[..10] {
        client.call(&Request::get("/").key(&tenant.key)).expect(200);
    }
    gateway.terminate();
    within(Duration::from_secs(5), "it ends", || gateway.has_ended());
}

/// A head may take ten seconds, but a stop does not wait for who has not asked yet.
#[test]
fn half_a_head_holds_up_the_end_for_a_moment_only() {
    let mut gateway = Gateway::start(one_worker());
    let upstream = Upstream::named("fine");
    let tenant = gateway.tenant_before(&upstream);
    let request = Request::get("/").key(&tenant.key);
    let halves = request.bytes();
    let (first, second) = halves.split_at(halves.len() / 2);
    let (mut slow, mut stuck, mut again) =
        (gateway.connect(), gateway.connect(), gateway.connect());
    again.call(&request).expect(200);
    for client in [&mut slow, &mut stuck, &mut again] {
        client.send(first);
    }
    // The one worker has seen the halves before this one.
    gateway.call(&request).expect(200);
    gateway.terminate();
    let address = gateway.public;
    eventually("nothing new is accepted", || {
        Client::try_connect(address).is_err()
    });
    let closed = Instant::now();
    slow.send(second);
    slow.read(false).expect(200);
    for client in [&mut stuck, &mut again] {
        client
            .read(false)
            .expect_problem(408, "request_head_timeout");
    }
    eventually("it ends", || gateway.has_ended());
    assert!(
        closed.elapsed() < Duration::from_secs(6),
        "{:?}",
        closed.elapsed()
    );
    assert!(gateway.wait().success());
}

#[test]
fn a_request_that_never_ends_is_cut_when_the_time_to_drain_is_over() {
    let upstream = Upstream::start(|_| Answer::hang());
    let mut gateway = Gateway::start(Options::new(Backend::Embedded).arg("--drain-timeout", "1s"));
    let tenant = gateway.tenant_before(&upstream);
    let mut client = gateway.connect();
    client.send(Request::get("/").key(&tenant.key).bytes());
    eventually("it is with the upstream", || upstream.in_flight() == 1);
    gateway.terminate();
    within(Duration::from_secs(6), "it ends all the same", || {
        gateway.has_ended()
    });
    assert!(client.is_closed());
}

/// Two gateways on one database, as behind a load balancer that tries the other one when a connection is refused or a
/// request on an idle connection finds it closed before any answer.
#[test]
fn a_rolling_restart_fails_no_request() {
    let first = Options::new(Backend::Servers).arg("--drain-delay", "500ms");
    let upstream = Upstream::start(|_| Answer::text("fine").after(Duration::from_millis(1)));
    let mut gateways = [
        Gateway::start(first.clone()),
        Gateway::start(first.another_node()),
    ];
    let tenant = gateways[0].tenant("acme");
    gateways[0].prefix_route(&tenant, "/", &[&upstream], json!(null));
    let request = Request::get("/").key(&tenant.key);
    eventually("both nodes know the route", || {
        gateways
            .iter()
            .all(|gateway| gateway.call(&request).status == 200)
    });
    let targets = Arc::new(Mutex::new(
        gateways
            .iter()
            .map(|gateway| gateway.public)
            .collect::<Vec<_>>(),
    ));
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|number| {
            let (targets, stop, request) =
                (Arc::clone(&targets), Arc::clone(&stop), request.clone());
            std::thread::spawn(move || {
                let (mut answered, mut failures, mut kept) = (0, Vec::new(), None);
                while !stop.load(Ordering::SeqCst) {
                    let address = {
                        let targets = targets.lock().unwrap();
                        targets[(number + answered) % targets.len()]
                    };
                    let connected = match kept.take() {
                        Some(client) => Ok(client),
                        None => Client::try_connect(address),
                    };
                    match connected.and_then(|mut client: Client| {
                        client.try_call(&request).map(|response| (client, response))
                    }) {
                        Ok((client, response)) => {
                            answered += 1;
                            if response.status != 200 {
                                failures.push(format!("{} {}", response.status, response.text()));
                            }
                            if response.header("connection") != Some("close") {
                                kept = Some(client);
                            }
                        }
                        Err(error) => failures.push(error.to_string()),
                    }
                }
                (answered, failures)
            })
        })
        .collect();
    for gateway in &mut gateways {
        let leaving = gateway.public;
        gateway.signal(Signal::TERM);
        within(
            Duration::from_secs(5),
            "it says that it is not ready",
            || {
                Client::try_connect(leaving)
                    .and_then(|mut client| client.try_call(&Request::get("/ready")))
                    .is_ok_and(|response| response.status == 503)
            },
        );
        targets.lock().unwrap().retain(|target| *target != leaving);
        assert!(gateway.wait().success());
        let again = Gateway::start(gateway.options().clone());
        targets.lock().unwrap().push(again.public);
        *gateway = again;
    }
    stop.store(true, Ordering::SeqCst);
    let (mut answered, mut failures) = (0, Vec::new());
    for client in clients {
        let (count, failed) = client.join().unwrap();
        answered += count;
        failures.extend(failed);
    }
    println!("{answered} answered, {} failed", failures.len());
    assert!(failures.is_empty(), "{failures:#?}");
}
