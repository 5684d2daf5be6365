//! G3: limits over Redis: between nodes, and while it is gone.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::*;
use crate::limits::{limited, press};

/// How many of many requests are admitted that press from several sides at once.
fn admitted_by(gateways: &[&Gateway], key: &str, time: Duration) -> usize {
    let request = Request::get("/").key(key);
    std::thread::scope(|scope| {
        let presses: Vec<_> = gateways
            .iter()
            .flat_map(|gateway| [gateway, gateway])
            .map(|gateway| scope.spawn(|| press(&mut gateway.connect(), &request, time).len()))
            .collect();
        presses
            .into_iter()
            .map(|press| press.join().expect("no press fails"))
            .sum()
    })
}

#[test]
fn g3_two_nodes_on_one_redis_together_admit_the_limit_and_no_more() {
    let first = Gateway::start(Backend::Servers);
    let second = Gateway::start(first.options().another_node());
    let upstream = Upstream::named("a");
    let tenant = limited(
        &first,
        &upstream,
        json!({ "limit": 200, "windowMs": 60_000 }),
    );
    // The route came after the tenant, as a change of its own.
    eventually("both nodes know the tenant's route", || {
        let path = format!("/admin/tenants/{}/routes", tenant.id);
        let routes = second.admin("GET", &path, Value::Null);
        routes.status == 200 && routes.data().as_array().is_some_and(|all| !all.is_empty())
    });
    let before = upstream.count();
    let admitted = before + admitted_by(&[&first, &second], &tenant.key, Duration::from_secs(3));
    assert!(admitted <= 200, "{admitted} of 200 were admitted");
    assert!(
        admitted >= 190,
        "{admitted} of 200 were admitted, and they were asked for"
    );
}

/// Redis dies and comes back under load: no request fails, and no more than the limit is admitted but for the share
/// that a node keeps while it is alone.
#[test]
fn g3_no_request_fails_when_redis_dies_and_comes_back() {
    let gateway = Gateway::start(Backend::Servers);
    let upstream = Upstream::named("a");
    let tenant = limited(
        &gateway,
        &upstream,
        json!({ "limit": 100, "windowMs": 60_000 }),
    );
    let admitted = std::thread::scope(|scope| {
        let load = scope.spawn(|| admitted_by(&[&gateway], &tenant.key, Duration::from_secs(3)));
        eventually("the load runs", || upstream.count() > 5);
        gateway.stores().redis().kill();
        pause(Duration::from_millis(700));
        gateway.stores().redis().restart().unwrap();
        load.join().expect("no request fails")
    });
    assert!(
        (50..=200).contains(&admitted),
        "{admitted} of 100 were admitted over a lost store"
    );
}

#[test]
fn g3_each_policy_holds_while_redis_is_gone() {
    let gateway = Gateway::start(Backend::Servers);
    let upstream = Upstream::named("a");
    let tenant = |name: &str, on_store_loss: &str| {
        let limit = json!({ "limit": 3, "windowMs": 60_000, "onStoreLoss": on_store_loss });
        let tenant = gateway.tenant_with(json!({ "name": name, "rateLimit": limit }));
        gateway.prefix_route(&tenant, "/", &[&upstream], Value::Null);
        tenant.key
    };
    let (open, share, closed) = (
        tenant("open", "fail-open"),
        tenant("share", "fail-share"),
        tenant("closed", "fail-closed"),
    );
    gateway.get("/", &closed).expect(200);
    let admitted = without_redis(&gateway, [&open, &share, &closed]);
    assert!((1..=3).contains(&admitted), "{admitted} of a share of 3");
}

/// Takes Redis away and holds that each policy does what it says, keys in the order `fail-open`, `fail-share`, `fail-closed`.
/// Brings it back and returns how many of ten requests the share admitted.
pub(crate) fn without_redis(gateway: &Gateway, [open, share, closed]: [&str; 3]) -> usize {
    gateway.stores().redis().kill();
    eventually("fail-closed admits nothing", || {
        gateway.get("/", closed).status == 429
    });
    for _ in 0..10 {
        gateway.get("/", open).expect(200);
        gateway.get("/", closed).expect(429);
    }
    let admitted = (0..10)
        .filter(|_| gateway.get("/", share).status == 200)
        .count();
    gateway.stores().redis().restart().unwrap();
    eventually("fail-closed serves again", || {
        gateway.get("/", closed).status == 200
    });
    admitted
}
