//! How often a caller may call.

use std::time::Duration;

use bastide::auth::Claims;
use bastide_testkit::{Redis, until};

use crate::shop::{PATIENCE, Setup, Shop, redis, sign, token};

fn of_tier(tier: &str) -> String {
    sign(
        &Claims::new(format!("caller-{tier}"))
            .tenant("acme")
            .tier(tier),
    )
}

/// How many of so many calls get through.
fn let_through(shop: &Shop, token: &str, path: &str, calls: usize) -> usize {
    let statuses = (0..calls).map(|_| shop.get_as(token, path).status);
    statuses.filter(|status| *status == 200).count()
}

#[test]
fn seed000_rate_limit_default_limit() {
    let shop = Setup::new("[rate_limit]\ndefault = \"3/min\"\n").start();
    assert_eq!(let_through(&shop, &token(), "/me", 6), 3);
    let refused = shop.get_as(&token(), "/me");
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (429, "rate_limited")
    );
    assert_eq!(refused.field("x-ratelimit-limit"), Some("3"));
    assert!(refused.field("retry-after").is_some(), "{refused:?}");
    // Another caller has calls of its own.
    assert_eq!(let_through(&shop, &of_tier("free"), "/me", 6), 3);
    let without = Setup::new("").start();
    assert_eq!(let_through(&without, &token(), "/me", 6), 6);
}

#[test]
fn seed000_rate_limit_default_window() {
    let shop = Setup::new("[rate_limit]\ndefault = \"2/s\"\n").start();
    assert!(let_through(&shop, &token(), "/me", 2) == 2);
    assert!(until(PATIENCE, || shop.get_as(&token(), "/me").status == 200));
    let minute = Setup::new("[rate_limit]\ndefault = \"2/min\"\n").start();
    assert_eq!(let_through(&minute, &token(), "/me", 2), 2);
    assert!(!until(Duration::from_millis(1_500), || minute
        .get_as(&token(), "/me")
        .status
        == 200));
}

#[test]
fn seed000_rate_limit_tiers() {
    let text = "[rate_limit]\ndefault = \"2/min\"\ntiers = {free = \"3/min\", pro = \"5/min\", enterprise = \"9/min\"}\n";
    let shop = Setup::new(text).start();
    for (tier, limit) in [
        ("free", 3),
        ("pro", 5),
        ("enterprise", 9),
        ("unheard-of", 2),
    ] {
        assert_eq!(
            let_through(&shop, &of_tier(tier), "/me", 12),
            limit,
            "{tier}"
        );
    }
    // A method's own limit and its tiers come before.
    assert_eq!(let_through(&shop, &of_tier("free"), "/scarce", 8), 2);
    assert_eq!(let_through(&shop, &of_tier("pro"), "/scarce", 8), 5);
}

#[test]
fn seed000_rate_limit_enabled() {
    let shop = Setup::new("[rate_limit]\nenabled = false\ndefault = \"1/min\"\n").start();
    assert_eq!(let_through(&shop, &token(), "/me", 5), 5);
    assert_eq!(let_through(&shop, &token(), "/scarce", 5), 5);
}

#[test]
fn seed000_rate_limit_strategy_is_a_sliding_window() {
    // Two at once, and the next only when a second has passed since the first: in no second more than two.
    let shop = Setup::new("[rate_limit]\ndefault = \"2/s\"\n").start();
    let mut times = Vec::new();
    let is_enough = || {
        let asked = std::time::Instant::now();
        if shop.get_as(&token(), "/me").status == 200 {
            times.push((asked, std::time::Instant::now()));
        }
        times.len() >= 6
    };
    assert!(until(PATIENCE, is_enough));
    for three in times.windows(3) {
        let most = three[2].1.duration_since(three[0].0);
        assert!(most >= Duration::from_secs(1), "three within {most:?}");
    }
}

#[test]
fn seed000_rate_limit_storage_type_is_shared_between_processes_or_not() {
    let server = Redis::start().unwrap();
    let through_both = |storage: &str| {
        let text = format!(
            "[rate_limit]\ndefault = \"4/min\"\nstorage = {storage:?}\nprefix = {storage:?}\n"
        );
        let setup = Setup::new(&text).set("REDIS_URL", server.url());
        let (one, other) = (setup.start(), setup.start());
        let token = token();
        let_through(&one, &token, "/me", 6) + let_through(&other, &token, "/me", 6)
    };
    assert_eq!(through_both("shared"), 4);
    assert_eq!(through_both("memory"), 8);
    let lines = Setup::new("[rate_limit]\nstorage = \"shared\"\n").refusal();
    assert!(
        lines[0].contains("rate_limit: `storage` is `shared`"),
        "{lines:?}"
    );
}

#[test]
fn seed000_rate_limit_key_prefix() {
    let server = Redis::start().unwrap();
    let setup = Setup::new("[rate_limit]\ndefault = \"4/min\"\nprefix = \"rl\"\n");
    let shop = setup.set("REDIS_URL", server.url()).start();
    shop.get_as(&token(), "/me");
    let keys = || redis(server.port(), &["KEYS *"]);
    assert!(
        until(PATIENCE, || keys().contains("ratelimit:rl")),
        "{}",
        keys()
    );
}

#[test]
fn seed000_rate_limit_key_is_the_caller_whoever_shares_the_tenant_or_the_token() {
    let shop = Setup::new("").start();
    let of = |subject: &str, tenant: &str| sign(&Claims::new(subject).tenant(tenant));
    assert_eq!(let_through(&shop, &of("ada", "acme"), "/scarce", 3), 2);
    // Another token of the same caller is counted with the first.
    let again = sign(&Claims::new("ada").tenant("acme").role("admin"));
    assert_eq!(let_through(&shop, &again, "/scarce", 1), 0);
    assert_eq!(let_through(&shop, &of("bob", "acme"), "/scarce", 3), 2);
    assert_eq!(let_through(&shop, &of("ada", "umbrella"), "/scarce", 3), 2);
    // Another method has a count of its own.
    assert_eq!(let_through(&shop, &again, "/me", 3), 3);
}
