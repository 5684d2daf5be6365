//! Stores that die and come back, and a disk that is full: traffic goes on.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bastide_testkit::{Database, Postgres};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};

use crate::harness::gateway::refused_by;
use crate::harness::wait::within;
use crate::harness::{Backend, Gateway, Options, Request, Response, Stores, TenantKey, Upstream};
use crate::load::Load;

/// Longer than any reconnection takes.
const BACK: Duration = Duration::from_secs(20);

/// A gateway over a Postgres and a Redis of its own, which may be killed.
struct Stage {
    postgres: Postgres,
    /// Goes with the stage.
    _database: Database,
    options: Options,
}

impl Stage {
    fn new() -> Self {
        let postgres = Postgres::start().unwrap();
        let database = postgres.database().unwrap();
        let options =
            Options::over(Arc::new(Stores::redis_only())).env("DATABASE_URL", &database.url());
        Self {
            postgres,
            _database: database,
            options,
        }
    }
}

/// Whether the gateway says that it misses something, while it serves.
fn is_degraded(gateway: &Gateway) -> bool {
    let ready = gateway.call(&Request::get("/ready")).expect(200);
    ready.text().contains("degraded")
}

/// A change that is only taken while the database is there.
fn prioritise(gateway: &Gateway, route: &str, priority: i32) -> Response {
    let path = format!("/admin/routes/{route}");
    gateway.admin("PATCH", &path, json!({ "priority": priority }))
}

#[test]
fn a_redis_that_is_killed_and_comes_back_costs_no_request() {
    let gateway = Gateway::start(Backend::Servers);
    let upstream = Upstream::named("fine");
    let tenant = gateway.tenant_before(&upstream);
    let load = Load::of_ok(gateway.public, 4, &Request::get("/").key(&tenant.key));
    load.wait_for(200);
    for _ in 0..2 {
        gateway.stores().redis().kill();
        load.wait_for(400);
        within(BACK, "what is missing is told", || is_degraded(&gateway));
        gateway.stores().redis().restart().unwrap();
        load.wait_for(400);
        within(BACK, "it is back", || !is_degraded(&gateway));
    }
    let report = load.stop();
    println!(
        "{} answered, p99 {:?}",
        report.answered,
        report.quantile(0.99)
    );
    report.assert_clean();
}

#[test]
fn a_redis_that_hangs_costs_no_request() {
    let gateway = Gateway::start(Backend::Servers);
    let upstream = Upstream::named("fine");
    let tenant = gateway.tenant_before(&upstream);
    let load = Load::of_ok(gateway.public, 4, &Request::get("/").key(&tenant.key));
    load.wait_for(200);
    gateway.stores().redis().pause();
    load.wait_for(500);
    gateway.stores().redis().resume();
    load.wait_for(200);
    let report = load.stop();
    println!(
        "{} answered, p99 {:?}, slowest {:?}",
        report.answered,
        report.quantile(0.99),
        report.quantile(1.0)
    );
    report.assert_clean();
    assert!(
        report.quantile(1.0) < Duration::from_secs(3),
        "no request waits for a store that hangs"
    );
}

#[test]
fn a_limit_holds_without_redis() {
    let gateway = Gateway::start(Backend::Servers);
    let upstream = Upstream::named("fine");
    let tenant = gateway
        .tenant_with(json!({ "name": "small", "rateLimit": { "limit": 20, "windowMs": 60_000 } }));
    gateway.prefix_route(&tenant, "/", &[&upstream], Value::Null);
    for _ in 0..5 {
        gateway.get("/", &tenant.key).expect(200);
    }
    gateway.stores().redis().kill();
    let statuses: Vec<u16> = (0..60)
        .map(|_| gateway.get("/", &tenant.key).status)
        .collect();
    assert!(
        statuses.iter().all(|status| matches!(status, 200 | 429)),
        "{statuses:?}"
    );
    let admitted = 5 + statuses.iter().filter(|status| **status == 200).count();
    println!("{admitted} of 65 admitted, limit 20");
    assert!(
        (6..=20).contains(&admitted),
        "{admitted} admitted: {statuses:?}"
    );
}

#[test]
fn a_postgres_that_is_killed_and_comes_back_costs_no_request_and_refuses_changes_by_503() {
    let mut stage = Stage::new();
    let gateway = Gateway::start(stage.options.clone());
    let upstream = Upstream::named("fine");
    let tenant = gateway.tenant("acme");
    let route = gateway.prefix_route(&tenant, "/", &[&upstream], Value::Null);
    let load = Load::of_ok(gateway.public, 4, &Request::get("/").key(&tenant.key));
    load.wait_for(200);
    for round in 0..2 {
        stage.postgres.kill();
        load.wait_for(200);
        prioritise(&gateway, &route, 7 + round).expect_problem(503, "database_unavailable");
        let refused = gateway.admin(
            "POST",
            "/admin/tenants",
            json!({ "name": format!("late {round}") }),
        );
        refused.expect_problem(503, "database_unavailable");
        within(BACK, "what is missing is told", || is_degraded(&gateway));
        load.wait_for(200);
        stage.postgres.restart().unwrap();
        within(BACK, "changes are taken again", || {
            prioritise(&gateway, &route, 100 + round).status == 200
        });
        within(BACK, "it is ready in full", || !is_degraded(&gateway));
    }
    let tenants = gateway
        .admin("GET", "/admin/tenants", Value::Null)
        .expect(200)
        .data();
    assert_eq!(
        tenants.as_array().map(Vec::len),
        Some(1),
        "what was refused was not done: {tenants}"
    );
    load.stop().assert_clean();
}

#[test]
fn changes_of_another_node_arrive_after_postgres_came_back() {
    let mut stage = Stage::new();
    let one = Gateway::start(stage.options.clone());
    let two = Gateway::start(stage.options.another_node());
    let upstream = Upstream::named("fine");
    let tenant = one.tenant("acme");
    one.prefix_route(&tenant, "/", &[&upstream], Value::Null);
    within(BACK, "the other node has it", || {
        two.get("/", &tenant.key).status == 200
    });
    stage.postgres.kill();
    stage.postgres.restart().unwrap();
    let mut late = Value::Null;
    within(BACK, "changes are taken again", || {
        let made = one.admin("POST", "/admin/tenants", json!({ "name": "late" }));
        if made.status == 201 {
            late = made.json();
        }
        made.status == 201 || made.code() == "name_taken"
    });
    let Some(key) = late["apiKey"].as_str() else {
        panic!("an answer was lost while Postgres came back")
    };
    within(BACK, "the other node has the late one", || {
        two.get("/", key).status == 404
    });
}

#[test]
fn a_cold_start_with_both_stores_down_serves_what_was_known() {
    let mut stage = Stage::new();
    let gateway = Gateway::start(stage.options.clone());
    let upstream = Upstream::named("fine");
    let tenant = gateway.tenant("acme");
    let route = gateway.prefix_route(&tenant, "/", &[&upstream], Value::Null);
    gateway.get("/", &tenant.key).expect(200);
    let snapshot = gateway.data_dir().join("snapshot.json");
    within(BACK, "the snapshot holds the route", || {
        std::fs::read_to_string(&snapshot).is_ok_and(|text| text.contains(&route))
    });
    stage.postgres.kill();
    stage.options.stores().redis().kill();
    let gateway = gateway.start_again();
    for _ in 0..20 {
        gateway.get("/", &tenant.key).expect(200);
    }
    gateway.get("/", "a-key-that-nobody-was-given").expect(403);
    assert!(is_degraded(&gateway));
    gateway
        .admin("POST", "/admin/tenants", json!({ "name": "late" }))
        .expect_problem(503, "database_unavailable");
    // When they come back, it is whole again without a restart.
    stage.postgres.restart().unwrap();
    stage.options.stores().redis().restart().unwrap();
    within(BACK, "changes are taken", || {
        prioritise(&gateway, &route, 5).status == 200
    });
    within(BACK, "it is ready in full", || !is_degraded(&gateway));
    gateway.get("/", &tenant.key).expect(200);
}

/// A full disk, as far as a gateway can tell: no file of its may grow beyond this, in bytes. Unlike a small file system it takes
/// no right to mount one.
const FULL: u64 = 16 * 1024;

/// The command of a gateway that is not ended by the signal which comes with that limit.
fn command(options: &Options, limit: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    let script = format!("trap '' XFSZ; {limit} exec \"$0\" \"$@\"");
    command
        .args(["-c", &script, env!("CARGO_BIN_EXE_bastide")])
        .args(options.command());
    command
}

/// One whose disk is full from the start. The shell counts in blocks of 512 bytes.
fn on_a_full_disk(options: &Options) -> Command {
    command(options, &format!("ulimit -S -f {};", FULL / 512))
}

/// Fills its disk, or makes room on it again.
fn limit_files(gateway: &Gateway, bytes: Option<u64>) {
    let limit = Rlimit {
        current: bytes,
        maximum: None,
    };
    let process = Pid::from_raw(i32::try_from(gateway.id()).unwrap());
    prlimit(process, Resource::Fsize, limit).unwrap();
}

/// A gateway before an upstream, with its tenant and its route, and all of that on disk.
fn settled() -> (Gateway, Upstream, TenantKey, String) {
    let options = Options::new(Backend::Embedded);
    let gateway = Gateway::start_by(options.clone(), &mut command(&options, ""));
    let upstream = Upstream::named("fine");
    let tenant = gateway.tenant("acme");
    let route = gateway.prefix_route(&tenant, "/", &[&upstream], Value::Null);
    let snapshot = gateway.data_dir().join("snapshot.json");
    within(BACK, "the snapshot holds the route", || {
        std::fs::read_to_string(&snapshot).is_ok_and(|text| text.contains(&route))
    });
    (gateway, upstream, tenant, route)
}

#[test]
fn a_full_disk_costs_no_request_and_no_data() {
    let (mut gateway, _upstream, tenant, route) = settled();
    let load = Load::of_ok(gateway.public, 2, &Request::get("/").key(&tenant.key));
    load.wait_for(50);
    limit_files(&gateway, Some(FULL));
    let mut refused = 0;
    for number in 0..50 {
        let made = gateway.admin(
            "POST",
            "/admin/tenants",
            json!({ "name": format!("tenant {number}") }),
        );
        match made.status {
            201 => {}
            503 | 507 => refused += 1,
            status => panic!("{status}: {}", made.text()),
        }
    }
    assert!(refused > 0, "fifty tenants fit on a full disk");
    // A small write may still find room, so it is told as long as changes are refused.
    within(BACK, "it is told, with its cause", || {
        let made = gateway.admin("POST", "/admin/tenants", json!({ "name": "x".repeat(250) }));
        made.expect_problem(503, "database_disk");
        is_degraded(&gateway)
    });
    load.wait_for(50);
    assert!(!gateway.has_ended());
    limit_files(&gateway, None);
    within(BACK, "room is found without a change", || {
        !is_degraded(&gateway)
    });
    within(BACK, "changes are taken again", || {
        prioritise(&gateway, &route, 9).status == 200
    });
    load.wait_for(50);
    load.stop().assert_clean();
    // What was acknowledged is there after a crash, and what was refused is not.
    let before = gateway
        .admin("GET", "/admin/tenants?limit=100", Value::Null)
        .expect(200)
        .data();
    let gateway = gateway.start_again();
    let after = gateway
        .admin("GET", "/admin/tenants?limit=100", Value::Null)
        .expect(200)
        .data();
    assert_eq!(before, after);
    assert_eq!(after.as_array().map(Vec::len), Some(51 - refused));
    gateway.get("/", &tenant.key).expect(200);
}

#[test]
fn a_start_on_a_full_disk_serves_what_was_known() {
    let (mut gateway, _upstream, tenant, route) = settled();
    gateway.terminate();
    gateway.wait();
    let options = gateway.options().clone();
    let gateway = Gateway::start_by(options.clone(), &mut on_a_full_disk(&options));
    gateway.get("/", &tenant.key).expect(200);
    assert!(is_degraded(&gateway));
    prioritise(&gateway, &route, 5).expect_problem(503, "database_disk");
    limit_files(&gateway, None);
    within(BACK, "changes are taken", || {
        prioritise(&gateway, &route, 6).status == 200
    });
    within(BACK, "it is ready in full", || !is_degraded(&gateway));
    gateway.get("/", &tenant.key).expect(200);
}

/// There is nothing to serve, and the database is the right one.
#[test]
fn a_first_start_on_a_full_disk_names_the_disk() {
    let options = Options::new(Backend::Embedded);
    let started = Instant::now();
    let ended = refused_by(&options, &mut on_a_full_disk(&options));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    for words in [
        "the disk of the database",
        "gateway.db",
        "is full or fails",
        "free space",
    ] {
        assert!(ended.stderr.contains(words), "{words}: {ended:?}");
    }
    assert!(!ended.stderr.contains("DATABASE_URL"), "{ended:?}");
    assert!(started.elapsed() < Duration::from_secs(10), "{ended:?}");
    // Room is made, and nothing is left behind that would be in the way.
    Gateway::start(options);
}

#[test]
fn a_crash_loses_nothing_that_was_acknowledged() {
    let mut gateway = Gateway::start(Backend::Embedded);
    let upstream = Upstream::named("fine");
    let mut keys = Vec::new();
    for round in 0..5 {
        let tenant = gateway.tenant(&format!("tenant {round}"));
        gateway.prefix_route(&tenant, "/", &[&upstream], Value::Null);
        keys.push(tenant.key);
        gateway.kill();
        gateway = gateway.start_again();
        for key in &keys {
            gateway.get("/", key).expect(200);
        }
    }
}
