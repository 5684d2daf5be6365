//! Where values come from.

use std::fs;

use bastide_testkit::until;
use serde_json::json;

use crate::shop::{PATIENCE, Setup};

#[test]
fn seed000_config_file_of_all_environments() {
    let shop = Setup::new("[sign]\nopens_at = 8\n").start();
    assert_eq!(shop.get("/sign", &[]).json(), json!("welcome 8"));
}

#[test]
fn seed000_config_file_of_the_environment_is_optional_and_covers() {
    let setup = Setup::new("[sign]\nopens_at = 8\n");
    let covered = setup
        .with("test.yaml", "sign:\n  opens_at: 7\n")
        .with("production.yaml", "sign:\n  opens_at: 6\n");
    assert_eq!(covered.start().get("/sign", &[]).json(), json!("welcome 7"));
}

#[test]
fn seed000_config_env_prefix() {
    let setup = Setup::new("[sign]\nopens_at = 8\n").set("SHOP_SIGN__OPENS_AT", "9");
    let shop = setup.set("OTHER_SIGN__OPENS_AT", "10").start();
    assert_eq!(shop.get("/sign", &[]).json(), json!("welcome 9"));
}

#[test]
fn seed000_config_schema_and_validate_on_startup() {
    let lines = Setup::new("[sign]\nopens_at = 300\n").refusal();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("config/default.toml:2:12: sign.opens_at: "),
        "{lines:?}"
    );
}

/// What the level lets through, after a line was asked for.
fn says_debug(shop: &crate::shop::Shop) -> bool {
    let body = json!({"request": "x", "password": "y"});
    shop.send("POST", "/say", None, &body);
    shop.log().contains("what nobody asked for")
}

#[test]
fn seed000_config_watch_for_changes() {
    let setup = Setup::new("[log]\nlevel = \"info\"\n");
    let shop = setup.start();
    assert!(!says_debug(&shop));
    setup.write("default.toml", "[log]\nlevel = \"debug\"\n");
    assert!(until(PATIENCE, || says_debug(&shop)), "{}", shop.log());
    setup.write("default.toml", "[log]\nlevel = \"inof\"\n");
    let is_told = || shop.log().contains("what was in force stays");
    assert!(until(PATIENCE, is_told), "{}", shop.log());
    assert!(says_debug(&shop));
    setup.write(
        "default.toml",
        "[log]\nlevel = \"debug\"\nredact = [\"iban\"]\n",
    );
    let is_told = || shop.log().contains("in force after the next start");
    assert!(until(PATIENCE, is_told), "{}", shop.log());
}

#[test]
fn seed000_config_watch_is_off_in_production() {
    let setup = Setup::new("[config]\nwatch = true\n").production();
    let lines = setup.refusal();
    assert!(
        lines[0].starts_with("config/default.toml:2:9: config.watch: is for development"),
        "{lines:?}"
    );
    setup.write("default.toml", "[log]\nlevel = \"info\"\n");
    let setup = setup.migrated();
    let shop = setup.start();
    assert!(!says_debug(&shop));
    // What watches files asks the kernel for it, and is a thread of this name.
    let watches = |id: u32| {
        let threads = fs::read_dir(format!("/proc/{id}/task")).unwrap();
        let names = threads.map(|one| fs::read_to_string(one.unwrap().path().join("comm")));
        names.flatten().any(|name| name.trim() == "configuration")
    };
    assert!(!watches(shop.id()));
    let elsewhere = Setup::new("").start();
    assert!(watches(elsewhere.id()));
    let not_wanted = Setup::new("[config]\nwatch = false\n").start();
    assert!(!watches(not_wanted.id()));
}

#[test]
fn seed000_config_shows_every_value_with_its_source_and_no_secret() {
    let setup = Setup::new("[http]\nmax_batch = 7\n")
        .set("SHOP_LOG__FORMAT", "json")
        .set("DATABASE_URL", "postgres://app:hunter2@db.internal/app");
    let printed = setup.print(&["config"]);
    let shown = |path: &str| {
        let mut lines = printed.lines().map(|line| line.split_whitespace());
        let line = lines.find_map(|mut words| (words.next() == Some(path)).then_some(words));
        line.map(|words| words.collect::<Vec<_>>().join(" "))
    };
    let is = |path: &str, wanted: &str| {
        assert_eq!(shown(path).as_deref(), Some(wanted), "{path} in\n{printed}");
    };
    is("http.max_batch", "7 (config/default.toml:2:13)");
    is("log.format", "json (SHOP_LOG__FORMAT)");
    is("auth.secret", "[redacted] (SHOP_AUTH__SECRET)");
    is("http.listen", "127.0.0.1:3000 (default)");
    is("http.request_timeout", "30s (default)");
    is("http.websocket.path", "/ws (default)");
    is("database.pool.max", "20 (default)");
    is("cache.l1.max_entries", "5000 (default)");
    is("cache.l2.ttl", "1h (default)");
    is("auth.cache.ttl", "5m (default)");
    is("rate_limit.enabled", "true (default)");
    is("health.timeout", "3s (default)");
    is("metrics.rpc", "true (default)");
    is("log.level", "info (default)");
    is("config.watch", "true (default)");
    is("shutdown.timeout", "30s (default)");
    is("data_dir", ".bastide (default)");
    is("sign.opens_at", "0 (default)");
    assert!(
        !printed.contains("hunter2") && !printed.contains(crate::shop::SECRET),
        "{printed}"
    );
}
