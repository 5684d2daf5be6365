//! Where rows are.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use bastide::auth::Claims;
use bastide_testkit::{Database, Postgres, until};
use serde_json::json;

use crate::shop::{PATIENCE, Setup, Shop, sign, token};

fn fresh() -> Database {
    Postgres::shared_database().unwrap()
}

/// Connections of the program's role.
fn connections(database: &Database) -> usize {
    let name = database.name();
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = '{name}_app' AND application_name = 'shop'"
    );
    database.sql(&sql).unwrap().trim().parse().unwrap()
}

fn hold(shop: &Shop, millis: u64) -> (u16, Duration) {
    let begun = Instant::now();
    let answer = shop.send("POST", "/hold", Some(&token()), &json!({"millis": millis}));
    (answer.status, begun.elapsed())
}

#[test]
fn seed000_database_dialect_and_connection() {
    let database = fresh();
    let shop = Setup::new("").postgres(&database).start();
    shop.make_good("lamp");
    assert_eq!(
        database.sql("SELECT name FROM goods").unwrap().trim(),
        "lamp"
    );

    let setup = Setup::new("");
    let file = setup.path().join("elsewhere.db");
    let setup = setup.set("DATABASE_URL", format!("sqlite:{}", file.display()));
    setup.start().make_good("lamp");
    assert!(file.exists());
    let lines = Setup::new("")
        .set("DATABASE_URL", "mysql://db/app")
        .refusal();
    assert!(
        lines[0].starts_with("DATABASE_URL: database.url: "),
        "{lines:?}"
    );
}

#[test]
fn seed000_database_pool_min() {
    let with = |min: usize| {
        let database = fresh();
        let text = format!("[database]\npool = {{min = {min}, max = 8}}\n");
        let shop = Setup::new(&text).postgres(&database).start();
        (database, shop)
    };
    let (database, _shop) = with(5);
    assert!(
        until(PATIENCE, || connections(&database) >= 5),
        "{}",
        connections(&database)
    );
    let (database, shop) = with(0);
    shop.make_good("lamp");
    assert!(connections(&database) < 5);
}

#[test]
fn seed000_database_pool_max_and_acquire_timeout() {
    let database = fresh();
    let text = "[database]\npool = {min = 0, max = 2}\nacquire_timeout = \"300ms\"\n";
    let shop = Setup::new(text).postgres(&database).start();
    thread::scope(|scope| {
        let held = [(); 2].map(|()| scope.spawn(|| hold(&shop, 3_000).0));
        let sleep = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND state = 'active' \
                     AND application_name = 'shop' AND datname = current_database()";
        let are_held = || database.sql(sleep).unwrap().trim() == "2";
        assert!(until(PATIENCE, are_held));
        let begun = Instant::now();
        let refused = shop.get_as(&token(), "/names");
        assert_eq!(refused.status, 503, "{refused:?}");
        let waited = begun.elapsed();
        assert!((250..2_000).contains(&waited.as_millis()), "{waited:?}");
        assert_eq!(connections(&database), 2);
        for one in held {
            assert_eq!(one.join().unwrap(), 200);
        }
    });
    assert_eq!(shop.get_as(&token(), "/names").status, 200);
}

#[test]
fn seed000_database_statement_timeout() {
    let database = fresh();
    let text = "[database]\nstatement_timeout = \"300ms\"\n";
    let shop = Setup::new(text).postgres(&database).start();
    assert_eq!(hold(&shop, 10).0, 200);
    let (status, took) = hold(&shop, 8_000);
    assert!(
        matches!(status, 503 | 504) && took < Duration::from_secs(5),
        "{status} {took:?}"
    );
    assert_eq!(hold(&shop, 10).0, 200);
}

#[test]
fn seed000_database_migrations_path() {
    let text = "[database]\nmigrations = \"db/steps\"\n";
    let setup = Setup::new(text);
    assert!(setup.print(&["db", "new", "begin"]).contains("db/steps/"));
    assert!(fs::read_dir(setup.path().join("db/steps")).unwrap().count() > 0);
    let status = setup.print(&["db", "status"]);
    assert!(
        status.contains("pending") && status.contains("begin"),
        "{status}"
    );
}

#[test]
fn seed000_database_migrations_are_a_step_of_their_own_in_production() {
    let setup = Setup::new("").production();
    setup.print(&["db", "new", "begin"]);
    let refused = setup.ask(&[]);
    assert!(!refused.status.success());
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert!(
        errors.contains("begin") || errors.contains("migrate"),
        "{errors}"
    );
    setup.print(&["db", "migrate"]);
    let shop = setup.start();
    shop.make_good("lamp");
    drop(shop);
    let lines = setup
        .set("SHOP_DATABASE__MIGRATE_AT_START", "true")
        .refusal();
    assert!(
        lines[0].starts_with("SHOP_DATABASE__MIGRATE_AT_START: database.migrate_at_start: "),
        "{lines:?}"
    );
}

#[test]
fn seed000_database_coerce_bigint_is_needless_as_no_digit_is_lost() {
    // One more than what a double has room for.
    let large = 9_007_199_254_740_993_i64;
    let database = fresh();
    for setup in [Setup::new(""), Setup::new("").postgres(&database)] {
        let shop = setup.start();
        for stock in [large, i64::MAX, i64::MIN] {
            let body = json!({"name": format!("lamp {stock}"), "stock": stock});
            let made = shop.send("POST", "/goods", Some(&token()), &body).json();
            let path = format!("/goods/{}", made["id"].as_str().unwrap());
            let found = shop.get_as(&token(), &path);
            assert!(
                found.body.contains(&format!("\"stock\":{stock}")),
                "{found:?}"
            );
        }
    }
}

/// A program on Postgres with one good, which was changed once and taken away.
fn removed() -> (Database, Shop) {
    let database = fresh();
    let shop = Setup::new("").postgres(&database).start();
    let id = shop.make_good("lamp");
    let path = format!("/goods/{id}");
    let patch = json!({"patch": {"name": "lantern"}});
    assert_eq!(
        shop.send("PATCH", &path, Some(&token()), &patch).status,
        200
    );
    let gone = shop.send("DELETE", &path, Some(&token()), &json!({}));
    assert!(gone.status < 300, "{gone:?}");
    assert_eq!(shop.get_as(&token(), &path).status, 404);
    (database, shop)
}

#[test]
fn seed000_database_soft_delete_timestamps_and_audit() {
    let (database, _shop) = removed();
    let row = "SELECT name, deleted_at IS NOT NULL, updated_at > created_at FROM goods";
    assert_eq!(database.sql(row).unwrap().trim(), "lantern|t|t");
    let changes = database.sql("SELECT count(*) FROM bastide_audit").unwrap();
    assert_eq!(changes.trim(), "3");
}

#[test]
fn seed000_database_rls() {
    let database = fresh();
    let shop = Setup::new("").postgres(&database).start();
    shop.make_good("lamp");
    let other = sign(&Claims::new("bob").tenant("umbrella"));
    let body = json!({"name": "chair", "stock": 1});
    shop.send("POST", "/goods", Some(&other), &body).json();
    // The statement has no condition.
    assert_eq!(shop.get_as(&token(), "/names").json(), json!(["lamp"]));
    assert_eq!(shop.get_as(&other, "/names").json(), json!(["chair"]));
    let name = database.name();
    let outside = format!("SET ROLE {name}_app; SELECT count(*) FROM goods");
    assert_eq!(database.sql(&outside).unwrap().trim(), "0");
}
