//! G14: what the gateway is started with.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use bastide_testkit::TestFolder;

use crate::harness::program::{Ended, Program};
use crate::harness::*;

/// Runs `bastide gateway` with these flags and variables to its end.
fn run(args: &[&str], env: &[(&str, &str)]) -> Ended {
    let folder = TestFolder::new().unwrap();
    Program::run(&[&["gateway"], args].concat(), env, folder.path())
}

/// Fails unless the start was refused as a misuse, with exactly these beginnings of lines.
#[track_caller]
fn assert_refused(ended: &Ended, beginnings: &[&str]) {
    assert_eq!(ended.code, Some(2), "{ended:?}");
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(
        lines.len(),
        beginnings.len(),
        "one clear message each: {ended:?}"
    );
    for beginning in beginnings {
        let expected = format!("bastide: {beginning}");
        assert!(
            lines.iter().any(|line| line.starts_with(&expected)),
            "{beginning}: {ended:?}"
        );
    }
    assert!(ended.stdout.is_empty(), "{ended:?}");
}

#[test]
fn g14_a_wrong_value_stops_the_start_with_one_message() {
    for (name, value) in [
        ("PORT", "abc"),
        ("PORT", "70000"),
        ("BASTIDE_ENV", "prod"),
        ("DATABASE_URL", "mysql://localhost/x"),
        ("REDIS_URL", "http://localhost"),
        ("ADMIN_API_KEY", "short"),
        ("LOG_LEVEL", "loud"),
        ("BASTIDE_WORKERS", "0"),
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ("DRAIN_DELAY", "soon"),
    ] {
        let ended = run(
            &["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"],
            &[(name, value)],
        );
        assert_refused(&ended, &[name]);
    }
    assert_refused(&run(&[], &[("ADMIN_LISTEN", "nowhere")]), &["ADMIN_LISTEN"]);
}

#[test]
fn g14_wrong_flags_are_named_as_flags() {
    assert_refused(&run(&["--listen", "here"], &[]), &["--listen"]);
    assert_refused(&run(&["--redis-url", "redis"], &[]), &["--redis-url"]);
    for (flag, value) in [
        ("--max-connections", "-1"),
        ("--workers", "-1"),
        ("--keep-alive-timeout", "-1s"),
        ("--send-timeout", "0s"),
        ("--drain-delay", "-1"),
        ("--drain-timeout", "-1s"),
        ("--upgrade-timeout", "-1s"),
    ] {
        assert_refused(&run(&[flag, value], &[]), &[flag]);
    }
    let unknown = run(&["--lisen", "127.0.0.1:0"], &[]);
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
    assert!(
        unknown.stderr.contains("--listen"),
        "a slip is helped with: {unknown:?}"
    );
}

#[test]
fn g14_several_mistakes_are_named_at_once() {
    let wrong = [
        ("PORT", "abc"),
        ("BASTIDE_ENV", "prod"),
        ("REDIS_URL", "http://x"),
        ("LOG_LEVEL", "loud"),
    ];
    assert_refused(
        &run(&[], &wrong),
        &["PORT", "BASTIDE_ENV", "REDIS_URL", "LOG_LEVEL"],
    );
}

#[test]
fn g14_production_makes_nothing_up() {
    let production = ("BASTIDE_ENV", "production");
    let ended = run(&[], &[production]);
    assert_refused(
        &ended,
        &[
            "ADMIN_API_KEY: is required in production",
            "DATABASE_URL: is required in production",
        ],
    );
    assert_refused(
        &run(&[], &[production, ("ADMIN_API_KEY", ADMIN_KEY)]),
        &["DATABASE_URL: is required in production"],
    );
    let database = ("DATABASE_URL", "postgres://u:hunter2-secret@127.0.0.1:1/x");
    let ended = run(&[], &[production, database]);
    assert_refused(&ended, &["ADMIN_API_KEY: is required in production"]);
    assert!(!ended.stderr.contains("hunter2"), "{ended:?}");
}

#[test]
fn g14_production_starts_with_what_it_needs_and_migrates_apart() {
    let options = Options::new(Backend::Servers)
        .env("BASTIDE_ENV", "production")
        .arg("--drain-delay", "0s");
    let url = options.stores().database_url().unwrap();
    let folder = options.folder();
    let redis = options.stores().redis_url().unwrap();
    let env = [
        ("BASTIDE_ENV", "production"),
        ("ADMIN_API_KEY", ADMIN_KEY),
        ("DATABASE_URL", url.as_str()),
        ("REDIS_URL", &redis),
    ];
    let early = Program::run(
        &[
            "gateway",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
        ],
        &env,
        &folder,
    );
    assert_eq!(early.code, Some(1), "{early:?}");
    assert!(
        early.stderr.contains("bastide gateway migrate"),
        "{early:?}"
    );
    let migrated = Program::run(&["gateway", "migrate"], &env, &folder);
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
    let gateway = Gateway::start(options);
    gateway.call(&Request::get("/ready")).expect(200);
    gateway.tenant("acme");
    // Log lines are JSON there.
    for line in gateway
        .stdout()
        .lines()
        .filter(|line| line.starts_with('{'))
    {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

/// Made at the first start, printed that once, kept for the owner alone.
#[test]
fn g14_the_admin_key_is_made_once_and_shown_once() {
    let gateway = Gateway::start(Options::new(Backend::Embedded).without_env("ADMIN_API_KEY"));
    let printed = gateway.stdout();
    let line = printed
        .lines()
        .find(|line| line.starts_with("admin key"))
        .expect("the key is printed");
    let key = line.rsplit(' ').next().unwrap().to_owned();
    assert!(key.len() >= 32, "{line}");
    let path = gateway.data_dir().join("admin.key");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(
        fs::metadata(gateway.data_dir())
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o700
    );
    assert_eq!(fs::read_to_string(&path).unwrap().trim(), key);
    let list = Request::get("/admin/tenants").header("X-Admin-Key", &key);
    gateway.call_admin(&list).expect(200);
    gateway
        .call_admin(&Request::get("/admin/tenants").header("X-Admin-Key", ADMIN_KEY))
        .expect(401);
    let again = gateway.start_again();
    assert!(!again.stdout().contains(&key), "it is shown once");
    again.call_admin(&list).expect(200);
}

#[test]
fn g14_a_taken_port_is_one_clear_message() {
    let gateway = Gateway::start(Backend::Embedded);
    let taken = gateway.public.to_string();
    let ended = run(&["--listen", &taken, "--admin-listen", "127.0.0.1:0"], &[]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains(&taken) && ended.stderr.contains("--listen"),
        "{ended:?}"
    );
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
}

#[test]
fn g14_the_port_comes_from_the_environment_and_a_flag_wins() {
    let port = bastide_testkit::free_port().to_string();
    let other = bastide_testkit::free_port();
    let options = Options::new(Backend::Embedded)
        .env("PORT", &port)
        .arg("--listen", &format!("127.0.0.1:{other}"));
    assert_eq!(Gateway::start(options).public.port(), other);
}

#[test]
fn g14_the_other_commands_work_without_a_gateway() {
    let folder = TestFolder::new().unwrap();
    let seeded = Program::run(&["gateway", "seed"], &[], folder.path());
    assert_eq!(seeded.code, Some(0), "{seeded:?}");
    assert!(seeded.stdout.contains("X-API-Key"), "{seeded:?}");
    let again = Program::run(&["gateway", "seed"], &[], folder.path());
    assert!(
        again.code == Some(0) && !again.stdout.contains("X-API-Key"),
        "{again:?}"
    );
    let hashed = Program::run(&["gateway", "keys", "hash"], &[], folder.path());
    assert_eq!(
        hashed.code,
        Some(2),
        "nothing came on standard input: {hashed:?}"
    );
    assert!(
        Program::run(&["--version"], &[], folder.path())
            .stdout
            .starts_with("bastide ")
    );
    let help = Program::run(&["gateway", "--help"], &[], folder.path());
    for flag in [
        "--listen",
        "--admin-listen",
        "--database-url",
        "--redis-url",
        "--config",
        "--data-dir",
        "--access-log",
        "--workers",
    ] {
        assert!(help.stdout.contains(flag), "{flag} is not in {help:?}");
    }
}
