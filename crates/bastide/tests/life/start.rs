//! The start: in order, said to whoever supervises it, and whole or not at all.

use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;

use bastide_testkit::Postgres;
use rustix::process::Signal;

use crate::harness::{Ended, PATIENCE, Plan, call, get};

#[test]
fn s18_nobody_is_let_in_before_the_hooks_of_the_start_are_done() {
    let plan = Plan::new().with("PROBE_PLAN__WARM_UP", "wait");
    let mut program = plan.start();
    program.wait_for("warm-up first begins");
    let ops = program.ops();
    let ready = get(ops, "/readyz").unwrap();
    assert_eq!(ready.status, 503, "{ready:?}");
    assert!(ready.body.contains("the program is starting"), "{ready:?}");
    assert_eq!(get(ops, "/healthz").unwrap().status, 200);
    assert!(program.lines("ready").is_empty());
    fs::write(plan.folder().join("go"), "").unwrap();
    program.wait_for("ready");
    assert_eq!(get(ops, "/readyz").unwrap().status, 200);
    let answer = call(program.address(), "work@1.0.0/slow", "", r#"{"millis":1}"#).unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "1"));
    let said = program.messages();
    let hooks: Vec<_> = said
        .iter()
        .filter(|message| message.starts_with("warm-up") || *message == "ready")
        .collect();
    let expected = [
        "warm-up first begins",
        "warm-up first is done",
        "warm-up second begins",
        "warm-up second is done",
        "ready",
    ];
    assert_eq!(hooks, expected);
}

#[test]
fn s18_a_hook_that_fails_stops_the_start_with_all_its_causes() {
    let ended = Plan::new().with("PROBE_PLAN__WARM_UP", "fail").run(&[]);
    assert_eq!(ended.code, Some(1));
    let error = "error: warming up: first: loading the model: the model is not there\n";
    assert_eq!(ended.stderr, error);
    assert!(!ended.said("warm-up second begins"));
    assert!(!ended.said("ready"));

    let ended = Plan::new().with("PROBE_PLAN__WARM_UP", "panic").run(&[]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("warming up: first: it panicked"),
        "{ended:?}"
    );
}

#[test]
fn s18_a_signal_during_the_start_ends_it_even_if_a_hook_blocks() {
    for what in ["wait", "block"] {
        let plan = Plan::new()
            .with("PROBE_PLAN__WARM_UP", what)
            .with("PROBE_SHUTDOWN__TIMEOUT", "300ms");
        let mut program = plan.start();
        program.wait_for("warm-up first begins");
        program.signal(Signal::TERM);
        let ended = program.ended();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(!ended.said("ready"));
    }
}

#[test]
fn s18_the_supervisor_is_told_of_the_start_and_of_the_end() {
    let plan = Plan::new();
    let path = plan.folder().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let plan = plan
        .with("NOTIFY_SOCKET", path.display().to_string())
        .with("PROBE_PLAN__WORKER", "stay");
    let program = plan.start();
    let next = || {
        let mut told = [0; 100];
        let length = socket.recv(&mut told).unwrap();
        String::from_utf8_lossy(&told[..length]).into_owned()
    };
    assert_eq!(next(), "READY=1");
    program.signal(Signal::TERM);
    assert_eq!(next(), "STOPPING=1");
    assert_eq!(program.ended().code, Some(0));
    // The workers have said nothing of their own.
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; 100]).is_err());
}

/// One line for people, and no other.
#[track_caller]
fn refused(ended: &Ended, code: i32, part: &str) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert_eq!(ended.stderr.matches(part).count(), 1, "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    assert!(ended.stderr.starts_with("error: "), "{ended:?}");
    assert!(!ended.said("ready"), "{ended:?}");
}

#[test]
fn s18_a_port_that_is_taken_stops_the_start_before_any_worker() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let plan = Plan::new().with("PROBE_PLAN__WORKER", "stay");
    let plan = plan.with("PORT", address.port().to_string());
    let ended = plan.run(&[]);
    refused(&ended, 1, &format!("cannot listen on {address}"));
    assert!(!ended.said("started"), "{ended:?}");

    let plan = Plan::new().with("PROBE_HTTP__OPS", address.to_string());
    let ended = plan.run(&[]);
    refused(&ended, 1, &format!("cannot listen on {address}"));
    assert!(!ended.said("warm-up first begins"), "{ended:?}");
}

#[test]
fn s18_production_does_not_start_without_what_it_needs() {
    let production = || {
        let plan = Plan::new().with("BASTIDE_ENV", "production");
        plan.with("PROBE_PLAN__ROWS", "true")
            .with("REDIS_URL", "memory")
            .with("PROBE_AUTH__SECRET", "thirty-two bytes that nobody knows")
    };
    refused(&production().run(&[]), 2, "set DATABASE_URL");

    let server = Postgres::start().unwrap();
    let database = server.database().unwrap();
    database
        .sql("CREATE ROLE app LOGIN PASSWORD 'hush-hush-hush'")
        .unwrap();
    let owner = database.url();
    let url = owner.replace("postgres@", "app:hush-hush-hush@");
    let plan = production()
        .with("DATABASE_URL", &url)
        .with("DATABASE_OWNER_URL", &owner);
    let migrations = plan.folder().join("migrations");
    fs::create_dir(&migrations).unwrap();
    let keyless = plan.clone_with("PROBE_AUTH__SECRET", "");
    refused(&keyless.run(&[]), 2, "no keys are named");
    let nobody = plan.clone_with("DATABASE_URL", &url.replace("app:", "nobody:"));
    let why = "does not let this program in: role \"nobody\" does not exist";
    refused(&nobody.run(&[]), 1, why);
    // What is missing at all, and what is known and was not applied.
    refused(&plan.run(&[]), 1, "the table `notes` does not exist");
    let made = plan.run(&["db", "new", "create_notes"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    refused(&plan.run(&[]), 1, "0001_create_notes");
    let migrated = plan.run(&["db", "migrate"]);
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
    let program = plan.ready();
    program.signal(Signal::TERM);
    assert_eq!(program.ended().code, Some(0));

    // Whoever can see every tenant's rows is no role for a program.
    let superuser = plan.clone_with("DATABASE_URL", &owner);
    let why = "for the role `postgres` there is no row-level security";
    refused(&superuser.run(&[]), 1, why);
    database.sql("ALTER TABLE notes OWNER TO app").unwrap();
    refused(&plan.run(&[]), 1, "the role `app` owns `notes`");
}

#[test]
fn s18_a_start_waits_for_a_database_that_boots_beside_it_and_hears_signals() {
    let mut server = Postgres::start().unwrap();
    let url = server.url();
    server.stop();
    let plan = Plan::new()
        .with("PROBE_PLAN__ROWS", "true")
        .with("DATABASE_URL", &url);
    let mut program = plan.start();
    program.wait_for("waiting for the database");
    let ops = program.ops();
    assert_eq!(get(ops, "/healthz").unwrap().status, 200);
    assert_eq!(get(ops, "/readyz").unwrap().status, 503);
    program.signal(Signal::TERM);
    let ended = program.ended();
    assert_eq!(ended.code, Some(0), "{ended:?}");

    let mut program = plan.start();
    program.wait_for("waiting for the database");
    server.restart().unwrap();
    // The superuser bypasses row-level security, which is refused and not waited for.
    let ended = program.ended();
    let why = "for the role `postgres` there is no row-level security";
    refused(&ended, 1, why);
}
