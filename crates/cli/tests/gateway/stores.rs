//! G15: where the configuration is kept, and what happens without it.

use std::sync::Arc;
use std::time::Duration;

use bastide_testkit::{Postgres, TestFolder};
use serde_json::{Value, json};

use crate::harness::program::Program;
use crate::harness::wait::within;
use crate::harness::*;

on_both! {
    fn g15_everything_is_there_after_a_restart_even_a_sudden_one(backend) {
        let mut gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let tenant = gateway.tenant_before(&upstream);
        let before = gateway
            .admin("GET", "/admin/config", Value::Null)
            .expect(200)
            .data();
        gateway.kill();
        let again = gateway.start_again();
        assert_eq!(again.get("/", &tenant.key).expect(200).text(), "a");
        assert_eq!(
            again
                .admin("GET", "/admin/config", Value::Null)
                .expect(200)
                .data(),
            before
        );
    }

    /// Changes under load: no request is dropped or answered wrongly for them.
    fn g15_a_reload_drops_no_request(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let tenant = gateway.tenant_before(&upstream);
        let request = Request::get("/").key(&tenant.key);
        let over = std::sync::atomic::AtomicBool::new(false);
        let is_over = || over.load(std::sync::atomic::Ordering::SeqCst);
        let served: usize = std::thread::scope(|scope| {
            let loads: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        let (mut client, mut served) = (gateway.connect(), 0);
                        while !is_over() {
                            assert_eq!(client.call(&request).expect(200).text(), "a");
                            served += 1;
                        }
                        served
                    })
                })
                .collect();
            let other = gateway.tenant("other");
            for number in 0..60 {
                let id =
                    gateway.prefix_route(&other, &format!("/{number}"), &[&upstream], Value::Null);
                gateway.patch_route(&id, json!({ "priority": number }));
                gateway
                    .admin("DELETE", &format!("/admin/routes/{id}"), Value::Null)
                    .expect(204);
            }
            over.store(true, std::sync::atomic::Ordering::SeqCst);
            loads.into_iter().map(|load| load.join().unwrap()).sum()
        });
        assert!(served > 100, "{served}");
    }
}

/// Every kind of change on one node is in force on the other within a second.
#[test]
fn g15_changes_reach_every_node_within_a_second() {
    let first = Gateway::start(Backend::Servers);
    let second = Gateway::start(first.options().another_node());
    let (old, new) = (Upstream::named("old"), Upstream::named("new"));
    let soon = |what: &str, happened: &mut dyn FnMut() -> bool| {
        within(Duration::from_secs(1), what, happened);
    };
    let tenant = first.tenant("acme");
    soon("the tenant is known", &mut || {
        second.get("/", &tenant.key).status == 404
    });
    let route = first.prefix_route(&tenant, "/", &[&old], Value::Null);
    soon("the route is known", &mut || {
        second.get("/", &tenant.key).status == 200
    });
    first.patch_route(&route, json!({ "upstreams": [{ "url": new.url() }] }));
    soon("the route is changed", &mut || {
        second.get("/", &tenant.key).text() == "new"
    });
    first.patch_tenant(&tenant.id, json!({ "isActive": false }));
    soon("the tenant is inactive", &mut || {
        second.get("/", &tenant.key).status == 403
    });
    first.patch_tenant(&tenant.id, json!({ "isActive": true }));
    soon("the tenant is active", &mut || {
        second.get("/", &tenant.key).status == 200
    });
    first
        .admin("DELETE", &format!("/admin/routes/{route}"), Value::Null)
        .expect(204);
    soon("the route is gone", &mut || {
        second.get("/", &tenant.key).status == 404
    });
    first
        .admin(
            "DELETE",
            &format!("/admin/tenants/{}", tenant.id),
            Value::Null,
        )
        .expect(204);
    soon("the tenant is gone", &mut || {
        second.get("/", &tenant.key).status == 403
    });
    assert_eq!(
        second
            .admin("GET", "/admin/tenants", Value::Null)
            .expect(200)
            .data(),
        json!([])
    );
}

/// Two nodes change two members of one object over and over. Neither is told to come again, and neither's last word is lost.
#[test]
fn g15_changes_on_two_nodes_at_once_are_all_made() {
    let first = Gateway::start(Backend::Servers);
    let second = Gateway::start(first.options().another_node());
    let tenant = first.tenant("acme");
    let upstream = Upstream::named("a");
    let route = first.prefix_route(&tenant, "/", &[&upstream], Value::Null);
    let path = format!("/admin/routes/{route}");
    eventually("both know the route", || {
        second.admin("GET", &path, Value::Null).status == 200
    });
    const CHANGES: u64 = 40;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..=CHANGES {
                first.patch_route(&route, json!({ "priority": number }));
            }
        });
        for number in 1..=CHANGES {
            let limit = json!({ "requestsPerSecond": number });
            second.patch_route(&route, json!({ "rateLimit": limit }));
        }
    });
    // A change, for its answer is made of what the database has.
    let last = first
        .admin("PATCH", &path, json!({ "isActive": false }))
        .expect(200)
        .data();
    assert_eq!(last["priority"], CHANGES);
    assert_eq!(last["rateLimit"]["requestsPerSecond"], CHANGES);
    // The version that the one node has just made is the one that the other goes by.
    let made = first.patch_route(&route, json!({ "isActive": true }));
    let request = Request::new("PATCH", &path)
        .header("X-Admin-Key", ADMIN_KEY)
        .header("If-Match", &format!("\"{}\"", made["version"]))
        .json(&json!({ "isActive": false }));
    second.call_admin(&request).expect(200);
    second.call_admin(&request).expect(412);
}

/// A Postgres of the test's own, to be killed.
fn own_postgres() -> (Postgres, Options) {
    let postgres = Postgres::start().unwrap();
    let options =
        Options::over(Arc::new(Stores::redis_only())).env("DATABASE_URL", &postgres.url());
    (postgres, options)
}

#[test]
fn g15_requests_are_served_while_postgres_is_down_and_changes_wait() {
    let (mut postgres, options) = own_postgres();
    let gateway = Gateway::start(options);
    let upstream = Upstream::named("a");
    let tenant = gateway.tenant_before(&upstream);
    postgres.kill();
    for _ in 0..20 {
        gateway.get("/", &tenant.key).expect(200);
    }
    let refused = gateway
        .admin("POST", "/admin/tenants", json!({ "name": "lost" }))
        .expect_problem(503, "database_unavailable");
    assert!(refused.header("retry-after").is_some());
    gateway
        .admin("GET", "/admin/tenants", Value::Null)
        .expect(200);
    eventually("ready says so", || {
        gateway.call(&Request::get("/ready")).expect(200).json()["status"] == "degraded"
    });
    postgres.restart().unwrap();
    eventually("changes are taken again", || {
        gateway
            .admin("POST", "/admin/tenants", json!({ "name": "found" }))
            .status
            == 201
    });
    let names = gateway
        .admin("GET", "/admin/tenants", Value::Null)
        .expect(200)
        .data();
    assert_eq!(
        names.as_array().unwrap().len(),
        2,
        "what was refused was not half done: {names}"
    );
    gateway.get("/", &tenant.key).expect(200);
}

#[test]
fn g15_a_cold_start_with_everything_down_serves_the_last_good_configuration() {
    let (mut postgres, options) = own_postgres();
    let gateway = Gateway::start(options);
    let upstream = Upstream::named("a");
    let tenant = gateway.tenant_before(&upstream);
    let snapshot = gateway.data_dir().join("snapshot.json");
    eventually("the configuration is on disk", || {
        std::fs::read_to_string(&snapshot).is_ok_and(|text| text.contains(&upstream.authority()))
    });
    gateway.stores().redis().kill();
    postgres.kill();
    let again = gateway.start_again();
    assert_eq!(again.get("/", &tenant.key).expect(200).text(), "a");
    again.get("/", "nobodys-key-at-all").expect(403);
    again
        .admin("POST", "/admin/tenants", json!({ "name": "lost" }))
        .expect_problem(503, "database_unavailable");
    postgres.restart().unwrap();
    eventually("changes are taken again", || {
        again
            .admin("POST", "/admin/tenants", json!({ "name": "found" }))
            .status
            == 201
    });
    again.get("/", &tenant.key).expect(200);
}

#[test]
fn g15_a_first_start_with_postgres_down_says_what_is_missing() {
    let folder = TestFolder::new().unwrap();
    let url = format!(
        "postgres://postgres@127.0.0.1:{}/x",
        bastide_testkit::free_port()
    );
    let args = [
        "gateway",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
    ];
    let ended = Program::run(&args, &[("DATABASE_URL", &url)], folder.path());
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("DATABASE_URL"), "{ended:?}");
}

#[test]
fn g15_redis_may_be_down_at_the_start() {
    let stores = Stores::redis_only();
    stores.redis().kill();
    let gateway = Gateway::start(Options::over(Arc::new(stores)));
    let upstream = Upstream::named("a");
    let tenant = gateway.tenant_before(&upstream);
    for _ in 0..10 {
        gateway.get("/", &tenant.key).expect(200);
    }
    gateway.stores().redis().restart().unwrap();
    eventually("redis is found", || {
        gateway.call(&Request::get("/ready")).expect(200).json()["status"] == "ready"
    });
    gateway.get("/", &tenant.key).expect(200);
}
