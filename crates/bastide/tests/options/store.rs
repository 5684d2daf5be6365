//! What processes share.

use bastide_testkit::{Redis, until};

use crate::shop::{PATIENCE, Setup, redis, token};

/// Uses the cache and a limit.
fn traffic(setup: &Setup) {
    let shop = setup.start();
    let id = shop.make_good("lamp");
    shop.name_of(&id);
    assert_eq!(shop.get_as(&token(), "/scarce").status, 200);
}

fn keys(server: &Redis, database: u32) -> String {
    redis(server.port(), &[&format!("SELECT {database}"), "KEYS *"])
}

#[test]
fn seed000_redis_client_url() {
    let server = Redis::start().unwrap();
    let setup = Setup::new("").set("REDIS_URL", format!("{}/3", server.url()));
    traffic(&setup);
    assert!(until(PATIENCE, || keys(&server, 3).contains("cache:")));
    assert!(!keys(&server, 0).contains("cache:"));
}

#[test]
fn seed000_redis_namespaces_each_in_its_database() {
    let server = Redis::start().unwrap();
    let setup = Setup::new("[store]\ndatabases = {cache = 1, ratelimit = 4}\n");
    traffic(&setup.set("REDIS_URL", server.url()));
    assert!(until(PATIENCE, || keys(&server, 1).contains("cache:")));
    assert!(until(PATIENCE, || keys(&server, 4).contains("ratelimit:")));
    for (database, other) in [
        (0, "cache:"),
        (0, "ratelimit:"),
        (1, "ratelimit:"),
        (4, "cache:"),
    ] {
        assert!(
            !keys(&server, database).contains(other),
            "{database} {other}"
        );
    }
}

#[test]
fn seed000_redis_a_database_of_its_own_needs_a_server_that_has_several() {
    let cluster = "url = \"redis+cluster://127.0.0.1:1\"\n";
    for url in ["", "url = \"memory\"\n", cluster] {
        let setup = Setup::new(&format!("[store]\n{url}databases = {{cache = 1}}\n"));
        let lines = setup.refusal();
        assert!(lines[0].contains("store.databases: "), "{lines:?}");
    }
}
