//! Stores that die and come back, and a disk that is full: traffic goes on.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bastide_testkit::{Database, Postgres, TestFolder};
use serde_json::{Value, json};

use crate::harness::wait::within;
use crate::harness::{Backend, Gateway, Options, Request, Response, Stores, Upstream};
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

/// A file system of 3 MiB, gone when dropped.
struct SmallDisk(TestFolder);

impl SmallDisk {
    /// `None` where this user may not mount.
    fn mount() -> Option<Self> {
        let folder = TestFolder::new().unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"])
            .arg(folder.path())
            .output();
        status
            .is_ok_and(|output| output.status.success())
            .then_some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes until nothing more fits.
    fn fill(&self) {
        let mut size = 1 << 20;
        let mut number = 0;
        while size > 0 {
            number += 1;
            let path = self.path().join(format!("filler-{number}"));
            if std::fs::write(path, vec![0; size]).is_err() {
                size /= 2;
            }
        }
    }

    fn clear(&self) {
        for entry in std::fs::read_dir(self.path()).unwrap().flatten() {
            if entry.file_name().to_string_lossy().starts_with("filler-") {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the gateway may be a moment late in closing its files.
        Command::new("umount")
            .arg("-l")
            .arg(self.path())
            .output()
            .ok();
    }
}

#[test]
fn a_full_disk_costs_no_request_and_no_data() {
    let Some(disk) = SmallDisk::mount() else {
        println!("not shown: this user may not mount a small file system");
        return;
    };
    let data = disk.path().join("data");
    let options = Options::new(Backend::Embedded).arg("--data-dir", &data.display().to_string());
    let mut gateway = Gateway::start(options);
    let upstream = Upstream::named("fine");
    let tenant = gateway.tenant("acme");
    let route = gateway.prefix_route(&tenant, "/", &[&upstream], Value::Null);
    let load = Load::of_ok(gateway.public, 2, &Request::get("/").key(&tenant.key));
    load.wait_for(50);
    disk.fill();
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
    disk.clear();
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
    drop(gateway);
}

#[test]
fn a_start_on_a_full_disk_serves_what_was_known() {
    let Some(disk) = SmallDisk::mount() else {
        println!("not shown: this user may not mount a small file system");
        return;
    };
    let data = disk.path().join("data");
    let options = Options::new(Backend::Embedded).arg("--data-dir", &data.display().to_string());
    let mut gateway = Gateway::start(options);
    let upstream = Upstream::named("fine");
    let tenant = gateway.tenant("acme");
    let route = gateway.prefix_route(&tenant, "/", &[&upstream], Value::Null);
    let snapshot = data.join("snapshot.json");
    within(BACK, "the snapshot holds the route", || {
        std::fs::read_to_string(&snapshot).is_ok_and(|text| text.contains(&route))
    });
    gateway.terminate();
    gateway.wait();
    disk.fill();
    let gateway = gateway.start_again();
    gateway.get("/", &tenant.key).expect(200);
    assert!(is_degraded(&gateway));
    prioritise(&gateway, &route, 5).expect_problem(503, "database_disk");
    disk.clear();
    within(BACK, "changes are taken", || {
        prioritise(&gateway, &route, 6).status == 200
    });
    within(BACK, "it is ready in full", || !is_degraded(&gateway));
    gateway.get("/", &tenant.key).expect(200);
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
