//! Changes: seen everywhere in time, in one order, written down, and refused where they are wrong.
#![allow(clippy::unwrap_used, reason = "a test that panics says where")]

mod support;

use std::time::Duration;

use bastide_context::Call;
use bastide_db::{Database, Options, values};
use bastide_settings::{MIGRATIONS, Setting, Settings, SettingsError, grant};
use bastide_testkit::Postgres;
use serde_json::{Value, json};

use support::{
    ALL, BETA, COMMISSION, Fixture, GRACE, MAX_UPLOAD, MODE, OFFSET, PATIENCE, PROMISED, TESTERS,
    ada, caller, sees,
};

on_both!(
    s17_a_change_is_seen_by_another_process_within_a_second,
    s17_a_restarted_process_begins_with_what_is_set,
    s17_the_history_says_who_when_from_what_and_to_what,
    s17_a_stale_version_is_refused_and_changes_nothing,
    s17_changes_side_by_side_are_in_one_order,
    s17_a_wrong_value_is_refused_and_changes_nothing,
    s17_a_wrong_value_in_the_database_leaves_the_last_good_one,
    s17_a_change_without_notice_is_found_by_looking,
    a_call_that_is_over_changes_nothing,
    tables_that_are_not_there_stop_the_start,
);

async fn s17_a_change_is_seen_by_another_process_within_a_second(fixture: &Fixture) {
    let (here, there) = (fixture.settings().await, fixture.settings().await);
    for value in [1_u64, 2, 3] {
        here.set(&ada().await, &MAX_UPLOAD, value, None)
            .await
            .unwrap();
        assert_eq!(here.get(&MAX_UPLOAD), value, "here it is in force at once");
        sees(&there, &MAX_UPLOAD, &value, PROMISED).await;
    }
    let cx = ada().await;
    here.set(&cx, &MODE, "careful".to_owned(), None)
        .await
        .unwrap();
    here.set(&cx, &COMMISSION, 0.25, None).await.unwrap();
    here.set(&cx, &GRACE, Duration::from_millis(1_500), None)
        .await
        .unwrap();
    here.set(&cx, &BETA, true, None).await.unwrap();
    here.set(
        &cx,
        &TESTERS,
        vec!["bob".to_owned(), "eve".to_owned()],
        None,
    )
    .await
    .unwrap();
    here.set(&cx, &OFFSET, -7, None).await.unwrap();
    sees(&there, &OFFSET, &-7, PROMISED).await;
    assert_eq!(there.list(), here.list());
    assert_eq!(there.get(&GRACE), Duration::from_millis(1_500));
    assert_eq!(there.get(&TESTERS), ["bob", "eve"]);
    assert_eq!(there.find("grace").unwrap().value, json!("1500ms"));
    here.reset(&cx, "grace", None).await.unwrap();
    sees(&there, &GRACE, &Duration::from_secs(90), PROMISED).await;
    assert!(!there.find("grace").unwrap().is_set);
}

async fn s17_a_restarted_process_begins_with_what_is_set(fixture: &Fixture) {
    let settings = fixture.settings().await;
    settings
        .set(&ada().await, &MAX_UPLOAD, 7, None)
        .await
        .unwrap();
    drop(settings);
    let settings = fixture.settings().await;
    let found = settings.find("uploads.max_mb").unwrap();
    assert_eq!(
        (found.value, found.version, found.default),
        (json!(7), 1, json!(100))
    );
}

async fn s17_the_history_says_who_when_from_what_and_to_what(fixture: &Fixture) {
    let settings = fixture.settings().await;
    let (ada, bob) = (ada().await, caller("bob", Call::new()).await);
    settings.set(&ada, &MAX_UPLOAD, 200, None).await.unwrap();
    settings.set(&bob, &MAX_UPLOAD, 300, Some(1)).await.unwrap();
    settings
        .reset(&ada, MAX_UPLOAD.key(), Some(2))
        .await
        .unwrap();
    settings.set(&ada, &BETA, true, None).await.unwrap();
    let history = settings.history("uploads.max_mb", None, 10).await.unwrap();
    let told: Vec<_> = history
        .iter()
        .map(|change| {
            (
                change.version,
                change.actor.as_str(),
                &change.before,
                &change.after,
            )
        })
        .collect();
    let (two, three) = (Some(json!(200)), Some(json!(300)));
    assert_eq!(
        told,
        [
            (3, "ada", &three, &None::<Value>),
            (2, "bob", &two, &three),
            (1, "ada", &None, &two),
        ]
    );
    assert_eq!(history[1].request, bob.call().request_id().to_string());
    assert!(
        history
            .iter()
            .all(|change| change.at.duration_until(jiff::Timestamp::now()).as_secs() < 60)
    );
    let page = settings
        .history("uploads.max_mb", Some(3), 1)
        .await
        .unwrap();
    assert_eq!(page, history[1..2]);
    assert!(matches!(
        settings.history("no.such", None, 1).await,
        Err(SettingsError::Unknown(_))
    ));
}

async fn s17_a_stale_version_is_refused_and_changes_nothing(fixture: &Fixture) {
    let (here, there) = (fixture.settings().await, fixture.settings().await);
    let cx = ada().await;
    assert_eq!(here.set(&cx, &MAX_UPLOAD, 1, Some(0)).await.unwrap(), 1);
    for stale in [0, 2] {
        let refused = there.set(&cx, &MAX_UPLOAD, 2, Some(stale)).await;
        let Err(SettingsError::Stale {
            expected, found, ..
        }) = refused
        else {
            panic!("{refused:?}");
        };
        assert_eq!((expected, found), (stale, 1));
    }
    let refused = there.reset(&cx, "beta", Some(5)).await;
    assert!(
        matches!(refused, Err(SettingsError::Stale { found: 0, .. })),
        "{refused:?}"
    );
    assert_eq!(
        here.history("uploads.max_mb", None, 9).await.unwrap().len(),
        1
    );
    assert!(here.history("beta", None, 9).await.unwrap().is_empty());
    sees(&there, &MAX_UPLOAD, &1, PROMISED).await;
}

async fn s17_changes_side_by_side_are_in_one_order(fixture: &Fixture) {
    let (here, there) = (fixture.settings().await, fixture.settings().await);
    let tasks = (1..=20_u64).map(|value| {
        let settings = if value % 2 == 0 {
            here.clone()
        } else {
            there.clone()
        };
        tokio::spawn(async move {
            settings
                .set(&ada().await, &MAX_UPLOAD, value, None)
                .await
                .unwrap()
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut versions = Vec::new();
    for task in tasks {
        versions.push(task.await.unwrap());
    }
    versions.sort_unstable();
    assert_eq!(versions, (1..=20).collect::<Vec<_>>());
    let history = here.history("uploads.max_mb", None, 100).await.unwrap();
    assert_eq!(history.len(), 20);
    for pair in history.windows(2) {
        assert_eq!(
            pair[0].before, pair[1].after,
            "each begins where the one before it ended"
        );
    }
    let last = history[0].after.as_ref().unwrap().as_u64().unwrap();
    sees(&here, &MAX_UPLOAD, &last, PROMISED).await;
    sees(&there, &MAX_UPLOAD, &last, PROMISED).await;
}

async fn s17_a_wrong_value_is_refused_and_changes_nothing(fixture: &Fixture) {
    let settings = fixture.settings().await;
    let cx = ada().await;
    for (key, value, words) in [
        ("uploads.max_mb", json!(0), "from 1 to 10000, found 0"),
        ("uploads.max_mb", json!(10_001), "found 10001"),
        (
            "uploads.max_mb",
            json!("7"),
            "a whole number that is not negative",
        ),
        ("uploads.max_mb", json!(null), "found null"),
        (
            "uploads.mode",
            json!("fats"),
            "one of fast, careful, found \"fats\"",
        ),
        ("commission", json!(0.6), "a number from 0.0 to 0.5"),
        ("grace", json!("2h"), "from 0ms to 1h"),
        ("grace", json!(5), "a time such as"),
        ("testers", json!(["ada", ""]), "a tester has a name"),
        ("testers", json!(["a\u{0}"]), "a list of texts"),
        ("beta", json!(1), "true or false"),
    ] {
        let refused = settings.set_json(&cx, key, &value, None).await.unwrap_err();
        assert!(
            matches!(refused, SettingsError::Invalid { .. }),
            "{key} {value}"
        );
        assert!(refused.to_string().contains(words), "{refused}");
    }
    let unknown = settings.set_json(&cx, "no.such", &json!(1), None).await;
    assert!(matches!(unknown, Err(SettingsError::Unknown(_))));
    let rows = fixture
        .open()
        .query("SELECT key FROM bastide_settings", &[])
        .await
        .unwrap();
    assert!(rows.is_empty());
    assert!(
        settings
            .list()
            .iter()
            .all(|one| one.version == 0 && !one.is_set)
    );
}

/// Somebody writes into the table by hand.
async fn s17_a_wrong_value_in_the_database_leaves_the_last_good_one(fixture: &Fixture) {
    let settings = fixture.settings().await;
    settings
        .set(&ada().await, &MAX_UPLOAD, 7, None)
        .await
        .unwrap();
    let database = fixture.open();
    let write = async |text: &str, version: i64| {
        let sql =
            "UPDATE bastide_settings SET value = $1, version = $2 WHERE key = 'uploads.max_mb'";
        let value = bastide_db::Value::Json(text.to_owned());
        database
            .execute(sql, &[value, version.into()])
            .await
            .unwrap();
    };
    let mut changes = settings.subscribe();
    write("70000", 2).await;
    tokio::time::timeout(PATIENCE, async {
        while settings.problems().is_empty() {
            changes.changed().await.unwrap();
        }
    })
    .await
    .expect("it is noticed");
    assert_eq!(settings.get(&MAX_UPLOAD), 7, "the last good one stays");
    let problem = &settings.problems()[0];
    assert_eq!((problem.key, problem.version), ("uploads.max_mb", 2));
    assert!(
        problem.message.contains("found 70000"),
        "{}",
        problem.message
    );
    assert_eq!(
        settings.find("uploads.max_mb").unwrap().problem.as_ref(),
        Some(&problem.message)
    );

    let restarted = fixture.settings().await;
    assert_eq!(
        restarted.get(&MAX_UPLOAD),
        100,
        "no good one is known: the default"
    );
    assert_eq!(restarted.problems(), settings.problems());

    write("8", 3).await;
    sees(&settings, &MAX_UPLOAD, &8, PROMISED).await;
    assert!(settings.problems().is_empty());
    assert_eq!(
        settings
            .set(&ada().await, &MAX_UPLOAD, 9, Some(3))
            .await
            .unwrap(),
        4
    );
}

async fn s17_a_change_without_notice_is_found_by_looking(fixture: &Fixture) {
    let settings = fixture.settings().await;
    let other = fixture.open();
    let sql = "INSERT INTO bastide_settings (key, value, version) VALUES ($1, $2, 1)";
    let row = [
        "uploads.max_mb".into(),
        bastide_db::Value::Json("8".to_owned()),
    ];
    other.execute(sql, &row).await.unwrap();
    sees(&settings, &MAX_UPLOAD, &8, PROMISED).await;
}

async fn a_call_that_is_over_changes_nothing(fixture: &Fixture) {
    let settings = fixture.settings().await;
    let over = caller("ada", Call::within(Duration::ZERO)).await;
    let refused = settings.set(&over, &BETA, true, None).await;
    assert!(
        matches!(refused, Err(SettingsError::Deadline(_))),
        "{refused:?}"
    );
    let rows = fixture
        .open()
        .query("SELECT key FROM bastide_settings", &[])
        .await
        .unwrap();
    assert!(rows.is_empty() && !settings.get(&BETA));
}

async fn tables_that_are_not_there_stop_the_start(fixture: &Fixture) {
    let database = fixture.open();
    let error = Settings::open(&database, ALL)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("1 migrations of `settings` are pending"),
        "{error}"
    );
}

/// Without a poll: what is seen is the notification.
#[tokio::test]
async fn s17_on_postgres_a_change_is_notified() {
    let fixture = Fixture::postgres();
    let here = fixture.settings().await;
    let there = Settings::open(&fixture.open_quiet(), ALL).await.unwrap();
    // A change from before LISTEN stands is found by the look that follows it; the later ones are notified.
    for value in 1..=5 {
        here.set(&ada().await, &MAX_UPLOAD, value, None)
            .await
            .unwrap();
        sees(&there, &MAX_UPLOAD, &value, PROMISED).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s17_a_database_that_is_away_changes_nothing_and_is_followed_again() {
    let mut server = Postgres::start().unwrap();
    let short = Options {
        connect_timeout: Duration::from_millis(600),
        acquire_timeout: Duration::from_millis(600),
        statement_timeout: Duration::from_millis(600),
        ..Options::default()
    };
    let database = Database::open_with(&server.url(), short).unwrap();
    MIGRATIONS.migrate(&database).await.unwrap();
    let settings = Settings::open(&database, ALL).await.unwrap();
    settings
        .set(&ada().await, &MAX_UPLOAD, 7, None)
        .await
        .unwrap();
    server.kill();
    let refused = settings.set(&ada().await, &MAX_UPLOAD, 8, None).await;
    assert!(
        matches!(refused, Err(SettingsError::Database(_))),
        "{refused:?}"
    );
    assert_eq!(settings.get(&MAX_UPLOAD), 7);
    server.restart().unwrap();
    let other = Database::open(&server.url()).unwrap();
    let sql = "UPDATE bastide_settings SET value = $1, version = 2";
    let value = bastide_db::Value::Json("9".to_owned());
    other.execute(sql, &[value]).await.unwrap();
    sees(&settings, &MAX_UPLOAD, &9, PATIENCE).await;
}

/// The program's own role does not own the tables, and cannot change what was done.
#[tokio::test]
async fn on_postgres_a_role_with_the_grants_is_enough() {
    let fixture = Fixture::postgres();
    let Fixture::Postgres(server) = &fixture else {
        unreachable!("it was made so")
    };
    let owner = fixture.open();
    MIGRATIONS.migrate(&owner).await.unwrap();
    let role = format!("{}_app", server.name());
    server.sql(&format!("CREATE ROLE {role} LOGIN")).unwrap();
    for statement in grant(&role) {
        owner.execute(&statement, &[]).await.unwrap();
    }
    let url = server
        .url()
        .replacen("//postgres@", &format!("//{role}@"), 1);
    let database = Database::open(&url).unwrap();
    let settings = Settings::open(&database, ALL).await.unwrap();
    settings.set(&ada().await, &BETA, true, None).await.unwrap();
    assert_eq!(settings.history("beta", None, 9).await.unwrap().len(), 1);
    for forbidden in [
        "UPDATE bastide_settings_history SET actor = $1",
        "DELETE FROM bastide_settings_history WHERE actor <> $1",
    ] {
        let refused = database
            .execute(forbidden, &values!["eve"])
            .await
            .unwrap_err();
        assert!(
            refused.to_string().contains("permission denied"),
            "{refused}"
        );
    }
    drop(settings);
    drop(database);
    server
        .sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"))
        .unwrap();
}

#[tokio::test]
async fn wrong_declarations_stop_the_start() {
    const HIGH: Setting<u64> = Setting::new("high", 5).range(1..=4);
    const NAMELESS: Setting<bool> = Setting::new("Beta", false);
    const TWIN: Setting<i64> = Setting::new("beta", 0);
    let fixture = Fixture::sqlite();
    fixture.settings().await;
    let database = fixture.open();
    let refused = async |declared: &[&'static dyn bastide_settings::Declared]| {
        let error = Settings::open(&database, declared).await.unwrap_err();
        assert!(matches!(error, SettingsError::Declaration(_)));
        error.to_string()
    };
    assert!(
        refused(&[&HIGH])
            .await
            .contains("expected a whole number that is not negative from 1 to 4, found 5")
    );
    assert!(refused(&[&NAMELESS]).await.contains("\"Beta\" is no key"));
    assert!(
        refused(&[&BETA, &TWIN])
            .await
            .contains("two settings have the key `beta`")
    );
}

#[tokio::test]
#[should_panic(expected = "the setting `stray` was not given to `Settings::open`")]
async fn a_setting_that_nobody_follows_is_not_read() {
    const STRAY: Setting<bool> = Setting::new("stray", false);
    let settings = Fixture::sqlite().settings().await;
    settings.get(&STRAY);
}
