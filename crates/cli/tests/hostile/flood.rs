//! Strangers in numbers: they must not cost the tenants anything.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Backend, Gateway, Options, Request, Upstream};
use crate::load::Load;
use crate::memory;
use crate::raw;

/// What a flood may cost the good key beyond what as many good requests cost it.
const SLACK: Duration = Duration::from_millis(15);

/// An imported key. To try another one against it takes a good part of a second without optimisation.
const SLOW_HASH: &str = "$2b$10$abcdefghijklmnopqrstuunPKr0wtmDlW0zEQCy9Y0ZLm2suzv4ZS";

/// Processor time that a process has used, in the kernel's ticks.
pub(crate) fn ticks(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace();
    // User and system time; the process's name, which is left out here, is the second of all fields.
    fields
        .skip(11)
        .take(2)
        .map(|field| field.parse::<f64>().unwrap())
        .sum()
}

#[test]
fn a_flood_of_bad_keys_costs_the_good_one_nothing() {
    let gateway = Gateway::start(Options::new(Backend::Embedded));
    let upstream = Upstream::named("fine");
    let tenant = gateway.tenant_before(&upstream);
    let good = Request::get("/").key(&tenant.key);
    // One good client beside eight others: its p99, its requests, theirs, and what all of them cost.
    let beside = |requests: [Request; 2], is_well: fn(u16) -> bool| {
        let start = ticks(gateway.id());
        let crowd = requests.map(|request| {
            Load::start(gateway.public, 4, &request, move |response| {
                is_well(response.status)
            })
        });
        let load = Load::of_ok(gateway.public, 1, &good);
        load.wait_for(1_500);
        let report = load.stop();
        report.assert_clean();
        let mut others = 0;
        for load in crowd {
            let report = load.stop();
            report.assert_clean();
            others += report.answered;
        }
        let cost = (ticks(gateway.id()) - start) / (report.answered + others) as f64;
        (report.quantile(0.99), report.answered, others, cost)
    };
    let bad = |name: &str| {
        let minted = "gk_live_000000000000_0000000000000000000000000000000000000000000_000000";
        let chosen = format!("a-key-that-nobody-was-ever-given-{name}");
        [minted, &chosen].map(|key| Request::get("/").key(key))
    };
    let is_refused = |status| matches!(status, 403 | 429 | 503);

    // The flood takes processor time from client and upstream, too. So it is compared with as many good ones.
    let (calm, first, second, cost_of_good) =
        beside([good.clone(), good.clone()], |status| status == 200);
    let before = memory::resident(gateway.id());
    let (flooded, third, refused, cost_of_bad) = beside(bad("one"), is_refused);
    let after = memory::resident(gateway.id());
    println!("p99 beside {second} good requests {calm:?}, beside {refused} bad ones {flooded:?}");
    println!(
        "ticks per request: {cost_of_good:.5} good, {cost_of_bad:.5} bad; {before} -> {after} KiB"
    );
    assert!(
        cost_of_bad < cost_of_good,
        "to refuse a key costs more than to serve a request: {cost_of_bad} and {cost_of_good} ticks"
    );
    assert!(
        flooded < calm * 3 + SLACK,
        "{flooded:?} beside bad keys, {calm:?} beside good ones"
    );

    // Imported hashes are slow to verify, which is nobody's trouble but that of who brings an unknown key.
    let known = gateway.admin("GET", "/admin/config", json!(null));
    let mut document = known.expect(200).data();
    let old = json!({ "name": "old", "keys": [{ "name": "imported", "hash": SLOW_HASH }] });
    document["tenants"].as_array_mut().unwrap().push(old);
    gateway.admin("PUT", "/admin/config", document).expect(200);
    let (verifying, fourth, refused, _) = beside(bad("two"), is_refused);
    println!("p99 beside {refused} bad ones and a slow hash {verifying:?}");
    assert!(
        verifying < calm * 3 + SLACK,
        "{verifying:?} beside keys that are slow to verify, {calm:?} beside good ones"
    );
    assert_eq!(
        upstream.count(),
        (first + second + third + fourth) as usize,
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
