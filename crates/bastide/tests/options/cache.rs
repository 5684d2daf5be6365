//! Outputs that are kept.

use std::time::Duration;

use bastide_testkit::{Redis, until};
use serde_json::json;

use crate::shop::{PATIENCE, Setup, Shop, redis, token};

fn rename(shop: &Shop, id: &str, name: &str) {
    let answer = shop.send(
        "PATCH",
        &format!("/goods/{id}"),
        Some(&token()),
        &json!({"patch": {"name": name}}),
    );
    assert_eq!(answer.status, 200, "{answer:?}");
}

fn keys(server: &Redis) -> String {
    redis(server.port(), &["KEYS *"])
}

#[test]
fn seed000_cache_l1_max_size() {
    let text = "[cache]\nmulti_tier = false\nl1 = {max_entries = 8}\n";
    let shop = Setup::new(text).start();
    let ids: Vec<_> = (0..60)
        .map(|number| shop.make_good(&format!("lamp {number}")))
        .collect();
    for id in &ids {
        shop.name_of(id);
    }
    // Each of the cache's parts has its share, so that it is not exactly this many.
    let kept = shop.metric("bastide_cache_l1_entries");
    assert!(kept <= 32.0, "{kept}");
    let before = shop.looked_up();
    for id in &ids {
        shop.name_of(id);
    }
    assert!(shop.looked_up() > before + 20.0);

    let roomy = Setup::new("[cache]\nmulti_tier = false\n").start();
    let ids: Vec<_> = (0..60)
        .map(|number| roomy.make_good(&format!("lamp {number}")))
        .collect();
    for id in ids.iter().chain(&ids) {
        roomy.name_of(id);
    }
    assert!(roomy.looked_up() < 61.0);
}

#[test]
fn seed000_cache_l1_ttl() {
    let text = "[cache]\nmulti_tier = false\nl1 = {ttl = \"300ms\"}\n";
    let short = Setup::new(text).start();
    let long = Setup::new("[cache]\nmulti_tier = false\n").start();
    let (of_short, of_long) = (short.make_good("lamp"), long.make_good("lamp"));
    let is_looked_up_again = || {
        short.name_of(&of_short);
        long.name_of(&of_long);
        short.looked_up() >= 3.0
    };
    assert!(until(PATIENCE, is_looked_up_again));
    assert!(long.looked_up() < 2.0);
}

#[test]
fn seed000_cache_l2_two_processes_and_invalidation_between_them() {
    let server = Redis::start().unwrap();
    let setup = Setup::new("").set("REDIS_URL", server.url());
    let one = setup.start();
    let other = setup.start();
    let id = one.make_good("lamp");
    assert_eq!(one.name_of(&id), "lamp");
    assert_eq!(other.name_of(&id), "lamp");
    // The other had it from the store.
    assert_eq!((one.looked_up(), other.looked_up()), (1.0, 0.0));
    rename(&other, &id, "lantern");
    assert_eq!(other.name_of(&id), "lantern");
    let staleness = Duration::from_secs(4);
    assert!(until(staleness, || one.name_of(&id) == "lantern"));
}

#[test]
fn seed000_cache_multi_tier_off_keeps_nothing_in_the_store() {
    let server = Redis::start().unwrap();
    let setup = Setup::new("[cache]\nmulti_tier = false\n").set("REDIS_URL", server.url());
    let (one, other) = (setup.start(), setup.start());
    let id = one.make_good("lamp");
    one.name_of(&id);
    other.name_of(&id);
    assert_eq!((one.looked_up(), other.looked_up()), (1.0, 1.0));
    // Invalidations still go to all.
    rename(&other, &id, "lantern");
    assert!(until(Duration::from_secs(4), || one.name_of(&id) == "lantern"));
}

#[test]
fn seed000_cache_l2_ttl() {
    // Without the first tier every value is the second's.
    let shop = |ttl: &str| {
        let text = format!("[cache]\nl1 = {{max_entries = 0}}\nl2 = {{ttl = {ttl:?}}}\n");
        Setup::new(&text).start()
    };
    let (short, long) = (shop("400ms"), shop("1h"));
    let (of_short, of_long) = (short.make_good("lamp"), long.make_good("lamp"));
    let is_looked_up_again = || {
        short.name_of(&of_short);
        long.name_of(&of_long);
        short.looked_up() >= 3.0
    };
    assert!(until(PATIENCE, is_looked_up_again));
    assert!(long.looked_up() < 2.0);
}

#[test]
fn seed000_cache_l2_prefix() {
    let server = Redis::start().unwrap();
    let with = |prefix: &str| {
        let text = format!("[cache]\nl2 = {{prefix = {prefix:?}}}\n");
        Setup::new(&text).set("REDIS_URL", server.url())
    };
    let shop = with("blue").start();
    let id = shop.make_good("lamp");
    shop.name_of(&id);
    assert!(
        until(PATIENCE, || keys(&server).contains("cache:blue")),
        "{}",
        keys(&server)
    );
    let unnamed = Setup::new("").set("REDIS_URL", server.url()).start();
    let id = unnamed.make_good("lamp");
    unnamed.name_of(&id);
    assert!(
        until(PATIENCE, || keys(&server).contains("cache:shop")),
        "{}",
        keys(&server)
    );
}

#[test]
fn seed000_cache_eviction_policy_keeps_what_is_read_often() {
    let text = "[cache]\nmulti_tier = false\nl1 = {max_entries = 32}\n";
    let shop = Setup::new(text).start();
    let often = shop.make_good("lamp");
    for number in 0..120 {
        shop.name_of(&often);
        let seldom = shop.make_good(&format!("chair {number}"));
        shop.name_of(&seldom);
    }
    let kept = shop.metric("bastide_cache_l1_entries");
    assert!(kept < 100.0, "some of the others had to give way: {kept}");
    // Once for each of the others, and hardly ever for the one that is read often.
    let of_often = shop.looked_up() - 120.0;
    assert!(of_often <= 6.0, "{of_often}");
}
