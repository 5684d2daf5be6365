//! Settings: precedence, problems, and what is printed of them.

use std::time::Duration;

use bastide_config::Secret;
use bastide_config::env::{Effective, Env, Origin, Settings, table};
use bastide_config::parse;

#[test]
fn flag_beats_environment_beats_default() {
    let env = Env::of([("PORT", "4000")]);
    let read = |env: &Env, flag: Option<&str>| {
        let mut settings = Settings::new(env);
        let port = settings
            .variable("PORT")
            .flag("--port", flag)
            .or("3000", parse::integer(1..=65_535_u16));
        (port, settings.finish().unwrap()[0].origin)
    };
    assert_eq!(read(&env, Some("5000")), (Some(5000), Origin::Flag));
    assert_eq!(read(&env, None), (Some(4000), Origin::Environment));
    assert_eq!(
        read(&Env::of([("PORT", "")]), None),
        (Some(3000), Origin::Default),
        "empty counts as not set"
    );
}

#[test]
fn every_wrong_setting_is_reported_with_its_source() {
    let env = Env::of([
        ("PORT", "abc"),
        ("DATABASE_URL", "mysql://u:hunter2@h/d"),
        ("ADMIN_API_KEY", "hunter2"),
    ]);
    let mut settings = Settings::new(&env);
    settings
        .variable("PORT")
        .or("3000", parse::integer(1..=65_535_u16));
    settings
        .variable("WORKERS")
        .flag("--workers", Some("many"))
        .or("2", parse::integer(1..=256));
    settings
        .variable("DATABASE_URL")
        .example("postgres://user:password@host/database")
        .optional(parse::url(&["postgres", "sqlite"]));
    settings
        .variable("ADMIN_API_KEY")
        .secret()
        .required("in production", parse::string(16..=200));
    settings
        .variable("BASTIDE_ENV")
        .required("", parse::choice(&[("production", ())]));
    settings.reject("REDIS_URL", "needs DATABASE_URL", "unset it");
    assert!(!settings.is_ok());
    let problems = settings.finish().unwrap_err().to_string();
    assert_eq!(
        problems,
        "PORT: expected a whole number from 1 to 65535, found \"abc\" (from the environment); set it to e.g. 3000\n\
         --workers: expected a whole number from 1 to 256, found \"many\"; set it to e.g. 2\n\
         DATABASE_URL: expected a URL such as postgres://host:1234, found \"mysql://u:***@h/d\": the scheme must be \
         postgres or sqlite (from the environment); set it to e.g. postgres://user:password@host/database\n\
         ADMIN_API_KEY: expected 16 to 200 characters, found 7 (from the environment)\n\
         BASTIDE_ENV: is required\n\
         REDIS_URL: needs DATABASE_URL; unset it"
    );
    assert!(!problems.contains("hunter2"));
}

#[test]
fn secrets_are_not_shown_when_refused() {
    let env = Env::of([("KEY", "hunter2")]);
    let mut settings = Settings::new(&env);
    settings
        .variable("KEY")
        .secret()
        .or("1", parse::integer(1..=9));
    assert!(
        !settings
            .finish()
            .unwrap_err()
            .to_string()
            .contains("hunter2")
    );
}

#[test]
fn the_settings_in_use_are_printed_without_secrets() {
    let env = Env::of([
        ("ADMIN_API_KEY", "hunter2-hunter2"),
        ("REDIS_URL", "redis://:hunter2@h:6379"),
    ]);
    let mut settings = Settings::new(&env);
    settings
        .variable("PORT")
        .or("3000", parse::integer(1..=65_535_u16));
    let key: Option<Secret> = settings
        .variable("ADMIN_API_KEY")
        .secret()
        .optional(parse::secret(8));
    settings
        .variable("REDIS_URL")
        .optional(parse::url(&["redis"]));
    settings
        .variable("DATABASE_URL")
        .optional(parse::url(&["postgres"]));
    settings
        .flag("--data-dir", Some("/data"))
        .or(".bastide", parse::string(1..=4096));
    let effective: Vec<Effective> = settings.finish().unwrap();
    assert_eq!(key.unwrap().expose(), "hunter2-hunter2");
    let expected = [
        "PORT           3000                 (default)",
        "ADMIN_API_KEY  [redacted]           (environment)",
        "REDIS_URL      redis://:***@h:6379  (environment)",
        "DATABASE_URL                        (not set)",
        "--data-dir     /data                (flag)",
    ];
    assert_eq!(table(&effective), expected.join("\n"));
}

#[test]
fn text_becomes_lists_booleans_and_times() {
    let env = Env::of([
        ("LIST", "10.0.0.0, 10.0.0.1,"),
        ("FLAG", "1"),
        ("WAIT", "1500"),
        ("BAD", "1,x,y"),
    ]);
    let mut settings = Settings::new(&env);
    let address = parse::parsed::<std::net::IpAddr>("an IP address");
    let list = settings
        .variable("LIST")
        .optional(parse::list(1..=9, &address))
        .unwrap();
    assert_eq!(list.len(), 2);
    assert_eq!(
        settings.variable("FLAG").optional(parse::boolean),
        Some(true)
    );
    assert_eq!(
        settings.variable("WAIT").optional(parse::millis(1..=9999)),
        Some(Duration::from_millis(1500))
    );
    settings
        .variable("BAD")
        .optional(parse::list(1..=9, parse::integer(1..=9)));
    assert_eq!(settings.finish().unwrap_err().len(), 2);
}

#[test]
fn the_process_environment_is_read() {
    assert!(Env::process().get("PATH").is_some());
    assert!(Env::process().names("PAT").contains(&"PATH".to_owned()));
    assert_eq!(
        Env::of([("A_X", "1"), ("B", "2"), ("A_Y", "")]).names("A_"),
        ["A_X", "A_Y"]
    );
}
