//! Strangers in numbers: they must not cost the tenants anything.

use std::time::Duration;

use crate::harness::{Backend, Gateway, Options, Request, Upstream};
use crate::load::Load;
use crate::memory;
use crate::raw;

#[test]
fn a_flood_of_bad_keys_costs_the_good_one_nothing() {
    let gateway = Gateway::start(Options::new(Backend::Embedded));
    let upstream = Upstream::named("fine");
    let tenant = gateway.tenant_before(&upstream);
    let good = Request::get("/").key(&tenant.key);

    let alone = Load::of_ok(gateway.public, 1, &good);
    alone.wait_for(500);
    let alone = alone.stop();

    let before = memory::resident(gateway.id());
    let bad = Request::get("/")
        .key("gk_live_000000000000_0000000000000000000000000000000000000000000_000000");
    let unknown = Request::get("/").key("a-key-that-nobody-was-ever-given");
    let floods = [bad, unknown].map(|request| {
        Load::start(gateway.public, 4, &request, |response| {
            matches!(response.status, 403 | 429)
        })
    });
    let flooded = Load::of_ok(gateway.public, 1, &good);
    flooded.wait_for(500);
    let flooded = flooded.stop();
    let mut refused = 0;
    for flood in floods {
        let report = flood.stop();
        report.assert_clean();
        refused += report.answered;
    }
    let after = memory::resident(gateway.id());
    let figures = |report: &crate::load::Report| (report.quantile(0.5), report.quantile(0.99));
    println!(
        "p50, p99 alone: {:?}; beside {refused} bad keys: {:?}; memory {before} -> {after} KiB",
        figures(&alone),
        figures(&flooded)
    );
    alone.assert_clean();
    flooded.assert_clean();
    // The flood takes processor time from client and upstream, too; this bound only finds a queue.
    assert!(
        flooded.quantile(0.99) < alone.quantile(0.99) * 20 + Duration::from_millis(250),
        "{:?}",
        figures(&flooded)
    );
    assert_eq!(
        upstream.count(),
        (alone.answered + flooded.answered) as usize,
        "no bad key got through"
    );
}

#[test]
fn different_bad_keys_leave_nothing_behind() {
    let gateway = Gateway::start(Options::new(Backend::Embedded).arg("--workers", "1"));
    let upstream = Upstream::named("fine");
    let tenant = gateway.tenant_before(&upstream);
    let mut client = gateway.connect();
    let mut ask = |count: usize, salt: usize| {
        for number in 0..count {
            let key = format!("a-made-up-key-{salt}-{number}");
            let response = client.call(
                &Request::get(&format!("/{salt}/{number}"))
                    .key(&key)
                    .header("X-Request-Id", &key),
            );
            assert!(matches!(response.status, 403 | 429), "{response:?}");
        }
    };
    ask(1_000, 0);
    let before = memory::resident(gateway.id());
    ask(8_000, 1);
    let after = memory::resident(gateway.id());
    println!("8 000 different bad keys: {before} -> {after} KiB");
    assert!(
        after.saturating_sub(before) < 3 * 1024,
        "from {before} to {after} KiB"
    );
    gateway.get("/", &tenant.key).expect(200);
    let metrics = gateway.metrics();
    assert!(
        !metrics.contains("made-up"),
        "what a stranger sends is no label"
    );
}

#[test]
fn strangers_that_connect_and_vanish_leave_nothing_behind() {
    let gateway = Gateway::start(Options::new(Backend::Embedded).arg("--workers", "1"));
    let upstream = Upstream::named("fine");
    let tenant = gateway.tenant_before(&upstream);
    let open = || {
        std::fs::read_dir(format!("/proc/{}/fd", gateway.id()))
            .unwrap()
            .count()
    };
    gateway.get("/", &tenant.key).expect(200);
    let before = open();
    for number in 0..500 {
        let mut client = gateway.connect();
        match number % 4 {
            0 => {}
            1 => client.send("GET / HT"),
            2 => client.send(Request::get("/").key(&tenant.key).bytes()),
            _ => {
                client.send(b"\0\0\0\0");
                rustix::net::sockopt::set_socket_linger(
                    client.stream.get_ref(),
                    Some(Duration::ZERO),
                )
                .unwrap();
            }
        }
    }
    crate::harness::eventually("every descriptor is given back", || open() <= before + 8);
    let (bytes, _) = raw::exchange(
        gateway.public,
        &Request::get("/")
            .key(&tenant.key)
            .header("Connection", "close")
            .bytes(),
        raw::PATIENCE,
    );
    assert_eq!(raw::statuses(&bytes), [200]);
}
