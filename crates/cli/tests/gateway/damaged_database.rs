//! G15: a database that answers and is not what the program needs stops the start; it is not taken for one that is down.

use bastide_testkit::{Database, Postgres};
use serde_json::Value;

use crate::harness::gateway::refused;
use crate::harness::program::Ended;
use crate::harness::*;

/// Fails unless the start ended with one message that holds these words.
#[track_caller]
fn assert_stopped(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    for word in words {
        assert!(ended.stderr.contains(word), "{word}: {ended:?}");
    }
    assert!(!ended.stdout.contains("gateway on"), "{ended:?}");
}

/// A gateway that has run on this database and keeps its last good configuration on disk.
fn once_run(database: &Database) -> Gateway {
    let options = Options::new(Backend::Embedded).env("DATABASE_URL", &database.url());
    let mut gateway = Gateway::start(options);
    gateway.tenant("acme");
    let snapshot = gateway.data_dir().join("snapshot.json");
    eventually("the configuration is on disk", || {
        std::fs::read_to_string(&snapshot).is_ok_and(|text| text.contains("acme"))
    });
    gateway.kill();
    gateway
}

#[test]
fn g15_a_missing_table_stops_the_start_although_there_is_a_snapshot() {
    let database = Postgres::shared_database().unwrap();
    let gateway = once_run(&database);
    database
        .sql("ALTER TABLE gateway_routes RENAME TO lost")
        .unwrap();
    let ended = refused(gateway.options());
    assert_stopped(&ended, &["gateway_routes", "cannot be used", "backup"]);
    database
        .sql("ALTER TABLE lost RENAME TO gateway_routes")
        .unwrap();
    let again = gateway.start_again();
    let tenants = again
        .admin("GET", "/admin/tenants", Value::Null)
        .expect(200);
    assert_eq!(tenants.data()[0]["name"], "acme", "nothing was lost by it");
}

#[test]
fn g15_a_wrong_role_or_database_stops_the_start_although_there_is_a_snapshot() {
    let database = Postgres::shared_database().unwrap();
    let gateway = once_run(&database);
    let url = database.url();
    let wrong = [
        url.replace("//postgres@", "//nobody-knows-me@"),
        url.replace(database.name(), "no_such_database"),
    ];
    for (url, word) in wrong.iter().zip(["nobody-knows-me", "no_such_database"]) {
        let options = gateway.options().clone().env("DATABASE_URL", url);
        assert_stopped(
            &refused(&options),
            &[word, "does not exist", "DATABASE_URL"],
        );
    }
}

#[test]
fn g15_the_last_good_configuration_of_another_database_is_not_served() {
    let mut gateway = Gateway::start(Backend::Embedded);
    gateway.tenant("acme");
    let snapshot = gateway.data_dir().join("snapshot.json");
    eventually("the configuration is on disk", || {
        std::fs::read_to_string(&snapshot).is_ok_and(|text| text.contains("acme"))
    });
    gateway.kill();
    let nobody = format!(
        "postgres://u:s3cret@127.0.0.1:{}/gateway",
        bastide_testkit::free_port()
    );
    let options = gateway.options().clone().env("DATABASE_URL", &nobody);
    let ended = refused(&options);
    assert_stopped(&ended, &["of another one", "gateway.db", "DATABASE_URL"]);
    assert!(!ended.stderr.contains("s3cret"), "{ended:?}");
}

#[test]
fn g15_a_database_of_a_newer_version_stops_the_start() {
    let database = Postgres::shared_database().unwrap();
    let gateway = once_run(&database);
    database
        .sql(
            "INSERT INTO bastide_migrations (component, position, name, checksum) \
             VALUES ('gateway', 9999, '9999_from_the_future', 'x')",
        )
        .unwrap();
    assert_stopped(
        &refused(gateway.options()),
        &["9999_from_the_future", "does not know"],
    );
}

#[test]
fn g15_a_migration_that_fails_stops_the_start_at_once() {
    let database = Postgres::shared_database().unwrap();
    // Somebody else's, by the name of one of ours.
    database
        .sql("CREATE TABLE gateway_tenants (x int)")
        .unwrap();
    let options = Options::new(Backend::Embedded).env("DATABASE_URL", &database.url());
    let started = std::time::Instant::now();
    assert_stopped(&refused(&options), &["0001_gateway", "gateway_tenants"]);
    assert!(
        started.elapsed() < std::time::Duration::from_secs(10),
        "waiting would not have helped: {:?}",
        started.elapsed()
    );
}

#[test]
fn g15_a_file_that_is_no_database_is_named() {
    let options = Options::new(Backend::Embedded);
    let data = options.folder().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(
        data.join("gateway.db"),
        "this is a text and no database. ".repeat(64),
    )
    .unwrap();
    let ended = refused(&options);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    for words in ["gateway.db", "is damaged", "not a database", "a backup"] {
        assert!(ended.stderr.contains(words), "{words}: {ended:?}");
    }
}

/// Overwrites the embedded database and what stands beside it.
fn damage(gateway: &Gateway) {
    for name in ["gateway.db", "gateway.db-wal", "gateway.db-shm"] {
        let path = gateway.data_dir().join(name);
        let Ok(length) = std::fs::metadata(&path).map(|file| file.len()) else {
            continue;
        };
        let noise = "this is a text and no database. ".bytes().cycle();
        let noise: Vec<u8> = noise.take(usize::try_from(length).unwrap()).collect();
        let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        std::io::Write::write_all(&mut file, &noise).unwrap();
    }
}

/// Its beginning is sound, so that it is known for a database; what is wrong shows where it is read.
#[test]
fn g15_a_damaged_page_in_the_middle_is_named_although_there_is_a_snapshot() {
    const PAGE: usize = 4096;
    let mut gateway = Gateway::start(Backend::Embedded);
    for number in 0..100 {
        gateway.tenant(&format!("tenant number {number}"));
    }
    let snapshot = gateway.data_dir().join("snapshot.json");
    eventually("the configuration is on disk", || {
        std::fs::read_to_string(&snapshot).is_ok_and(|text| text.contains("tenant number 99"))
    });
    gateway.terminate();
    gateway.wait();
    // What is not in the file itself yet stands beside it.
    let names = ["gateway.db", "gateway.db-wal"];
    let backup = names.map(|name| std::fs::read(gateway.data_dir().join(name)).ok());
    let path = gateway.data_dir().join(names[0]);
    let mut damaged = backup[0].clone().unwrap();
    let mut pages = 0;
    for page in damaged.chunks_mut(PAGE).skip(1) {
        if page.windows(13).any(|window| window == b"tenant number") {
            page[..64].fill(0xff);
            pages += 1;
        }
    }
    assert!(pages > 0);
    std::fs::write(&path, damaged).unwrap();
    assert_stopped(
        &refused(gateway.options()),
        &["gateway.db", "is damaged", "malformed", "a backup"],
    );
    // A backup, as it is told.
    for (name, backup) in names.iter().zip(backup) {
        let path = gateway.data_dir().join(name);
        match backup {
            Some(bytes) => std::fs::write(path, bytes).unwrap(),
            None => drop(std::fs::remove_file(path)),
        }
    }
    let again = gateway.start_again();
    let tenants = again.admin("GET", "/admin/tenants?limit=200", Value::Null);
    assert_eq!(tenants.expect(200).data().as_array().unwrap().len(), 100);
}

#[test]
fn g15_a_database_that_is_damaged_while_it_is_in_use_stops_changes_and_nothing_else() {
    let mut gateway = Gateway::start(Backend::Embedded);
    let upstream = Upstream::named("a");
    let tenant = gateway.tenant_before(&upstream);
    let snapshot = gateway.data_dir().join("snapshot.json");
    eventually("the configuration is on disk", || {
        std::fs::read_to_string(&snapshot).is_ok_and(|text| text.contains(&upstream.authority()))
    });
    damage(&gateway);
    let answer = gateway
        .admin(
            "POST",
            "/admin/tenants",
            serde_json::json!({ "name": "lost" }),
        )
        .expect_problem(503, "database_unusable");
    assert!(
        answer.header("retry-after").is_none(),
        "waiting does not help"
    );
    assert_eq!(gateway.get("/", &tenant.key).expect(200).text(), "a");
    eventually("the log says what is wrong", || {
        gateway.stdout().contains("is damaged")
    });
    // The next start says it, too, although there is a last good configuration.
    gateway.kill();
    let ended = refused(gateway.options());
    assert_stopped(&ended, &["gateway.db", "is damaged"]);
}
