//! G19: stopping without losing anything.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::*;

on_both! {
    /// A request that is under way is answered, and the process ends well.
    fn g19_requests_in_flight_finish(backend) {
        let mut gateway = Gateway::start(backend);
        let gate = Gate::default();
        let held = gate.clone();
        let upstream = Upstream::start(move |_| Answer::text("finished").behind(&held));
        let tenant = gateway.tenant_before(&upstream);
        let mut idle = gateway.connect();
        let mut busy = gateway.connect();
        busy.send(Request::get("/").key(&tenant.key).bytes());
        eventually("the request is at the upstream", || {
            upstream.in_flight() == 1
        });
        gateway.terminate();
        assert!(idle.is_closed(), "who waits for nothing is let go");
        eventually("nobody new is taken", || {
            Client::try_connect(gateway.public).is_err()
        });
        assert!(!gateway.has_ended());
        gate.open();
        let last = busy.read(false).expect(200);
        assert_eq!(last.text(), "finished");
        assert!(gateway.wait().success());
    }

    fn g19_ready_fails_first_while_requests_are_still_taken(backend) {
        let mut gateway = Gateway::start(Options::new(backend).arg("--drain-delay", "1500ms"));
        let upstream = Upstream::named("a");
        let tenant = gateway.tenant_before(&upstream);
        gateway.terminate();
        eventually("ready fails", || {
            gateway.call(&Request::get("/ready")).status == 503
        });
        gateway.call(&Request::get("/health")).expect(200);
        let served = gateway.get("/", &tenant.key).expect(200);
        assert_eq!(
            served.header("connection"),
            Some("close"),
            "the client is sent elsewhere for its next request"
        );
        assert!(gateway.wait().success());
    }

    /// Clients that do as they are told (a new connection after `Connection: close`) lose nothing.
    fn g19_a_drain_under_load_fails_no_request(backend) {
        let mut gateway = Gateway::start(Options::new(backend).arg("--drain-delay", "800ms"));
        let upstream = Upstream::start(|_| Answer::text("a").after(Duration::from_millis(2)));
        let tenant = gateway.tenant_before(&upstream);
        let request = Request::get("/").key(&tenant.key);
        let (stopping, served) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut client = None;
                    loop {
                        // Readiness is what a load balancer goes by: once it fails, nothing new is sent here.
                        if stopping.load(Ordering::SeqCst) {
                            return;
                        }
                        let mut open = client.take().unwrap_or_else(|| gateway.connect());
                        let response = open.call(&request).expect(200);
                        served.fetch_add(1, Ordering::SeqCst);
                        if response.header("connection") != Some("close") {
                            client = Some(open);
                        }
                    }
                });
            }
            eventually("the load runs", || served.load(Ordering::SeqCst) > 50);
            gateway.terminate();
            eventually("ready fails", || {
                gateway.call(&Request::get("/ready")).status == 503
            });
            let at_drain = served.load(Ordering::SeqCst);
            eventually("the load is still served", || {
                served.load(Ordering::SeqCst) > at_drain + 20
            });
            stopping.store(true, Ordering::SeqCst);
        });
        assert!(gateway.wait().success());
        assert_eq!(upstream.count(), served.load(Ordering::SeqCst));
    }
}

#[test]
fn g19_the_drain_has_an_end() {
    let mut gateway =
        Gateway::start(Options::new(Backend::Embedded).arg("--drain-timeout", "300ms"));
    let upstream = Upstream::start(|_| Answer::hang());
    let tenant = gateway.tenant_before(&upstream);
    let mut client = gateway.connect();
    client.send(Request::get("/").key(&tenant.key).bytes());
    eventually("the request is at the upstream", || {
        upstream.in_flight() == 1
    });
    gateway.terminate();
    gateway.wait();
    assert!(client.try_read(false).is_err());
}

#[test]
fn g19_a_second_signal_means_now() {
    let mut gateway = Gateway::start(Options::new(Backend::Embedded).arg("--drain-delay", "1h"));
    gateway.terminate();
    eventually("ready fails", || {
        gateway.call(&Request::get("/ready")).status == 503
    });
    gateway.terminate();
    assert!(!gateway.wait().success());
}

/// Many programs read their configuration then; unheeded the signal would end the process.
#[test]
fn g19_sighup_ends_nothing() {
    let mut gateway = Gateway::start(Backend::Embedded);
    let upstream = Upstream::named("a");
    let tenant = gateway.tenant_before(&upstream);
    gateway.signal(Signal::HUP);
    eventually("it says what it makes of it", || {
        gateway.stdout().contains("SIGHUP has nothing to do")
    });
    gateway.get("/", &tenant.key).expect(200);
    assert!(!gateway.has_ended());
}
