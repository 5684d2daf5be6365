//! Servers that are away, slow or full: bounded answers with stable codes, and a program that comes back by itself.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bastide_testkit::{Redis, until};
use serde_json::Value;

use crate::harness::scene::{ada, note, note_wanted, on_postgres, token, with_sessions};
use crate::harness::{Connection, PATIENCE, Response, call, get};

const LOOK: &str = "notes@1.0.0/look";
const FIND: &str = "notes@1.0.0/find";
const ADD: &str = "notes@1.0.0/add";
const SLOW: &str = "notes@1.0.0/slow";

#[track_caller]
fn wait_for_status(address: SocketAddr, path: &str, status: u16) {
    let is_so = || get(address, path).is_ok_and(|answer| answer.status == status);
    assert!(until(PATIENCE, is_so), "{:?}", get(address, path));
}

#[track_caller]
fn unavailable(answer: &Response) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.code(), "unavailable", "{answer:?}");
    assert_eq!(answer.field("retry-after"), Some("1"), "{answer:?}");
}

#[test]
fn a_database_that_goes_away_and_comes_back_needs_no_restart() {
    let (mut postgres, plan) = on_postgres();
    let token = token(&plan);
    let plan = plan.with("PROBE_DATABASE__CONNECT_TIMEOUT", "1s");
    let mut program = plan.ready();
    let (address, ops) = (program.address(), program.ops());
    let added = call(address, ADD, &token, &note(1, "one")).unwrap();
    assert_eq!(added.status, 200, "{added:?}");
    let look = || call(address, LOOK, &token, &note_wanted(1)).unwrap();

    let is_over = AtomicBool::new(false);
    let seen = thread::scope(|scope| {
        let caller = || {
            let mut seen = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let began = Instant::now();
                let answer = look();
                seen.push((answer.status, answer.code(), began.elapsed()));
            }
            seen
        };
        let callers: Vec<_> = (0..4).map(|_| scope.spawn(caller)).collect();
        assert!(until(PATIENCE, || look().status == 200));
        postgres.stop();
        unavailable(&look());
        wait_for_status(ops, "/readyz", 503);
        assert_eq!(get(ops, "/healthz").unwrap().status, 200);
        let report = get(ops, "/readyz").unwrap().body;
        assert!(
            !report.contains("127.0.0.1") && !report.contains("app"),
            "{report}"
        );
        postgres.restart().unwrap();
        assert!(until(PATIENCE, || look().status == 200));
        wait_for_status(ops, "/readyz", 200);
        is_over.store(true, Ordering::Relaxed);
        let seen = callers
            .into_iter()
            .flat_map(|caller| caller.join().unwrap());
        seen.collect::<Vec<_>>()
    });
    for (status, code, took) in &seen {
        let is_expected = matches!((status, code.as_str()), (200, "") | (503, "unavailable"));
        assert!(is_expected, "{status} {code}");
        assert!(
            *took < Duration::from_secs(5),
            "{status} {code} took {took:?}"
        );
    }
    assert!(seen.iter().any(|(status, ..)| *status == 503));
    assert!(!program.has_ended());
}

#[test]
fn a_database_that_hangs_holds_no_call_past_its_time() {
    let (postgres, plan) = on_postgres();
    let token = token(&plan);
    let plan = plan.with("PROBE_HTTP__REQUEST_TIMEOUT", "1500ms");
    let program = plan.ready();
    let look = || call(program.address(), LOOK, &token, &note_wanted(1)).unwrap();
    assert_eq!(look().status, 404);
    postgres.pause();
    for _ in 0..3 {
        let began = Instant::now();
        let answer = look();
        assert!(matches!(answer.status, 503 | 504), "{answer:?}");
        assert!(
            began.elapsed() < Duration::from_secs(4),
            "{:?}",
            began.elapsed()
        );
    }
    assert_eq!(get(program.ops(), "/healthz").unwrap().status, 200);
    wait_for_status(program.ops(), "/readyz", 503);
    postgres.resume();
    assert!(until(PATIENCE, || look().status == 404));
    wait_for_status(program.ops(), "/readyz", 200);
}

#[test]
fn a_full_pool_is_waited_for_and_then_refused() {
    let (postgres, plan) = on_postgres();
    let token = token(&plan);
    let plan = plan
        .with("PROBE_DATABASE__POOL__MAX", "1")
        .with("PROBE_DATABASE__POOL__MIN", "0")
        .with("PROBE_DATABASE__ACQUIRE_TIMEOUT", "500ms");
    let program = plan.ready();
    let address = program.address();
    let mut busy = Connection::open(address).unwrap();
    busy.send(SLOW, &token, r#"{"seconds":3}"#).unwrap();
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%slow_one%' AND state = 'active' AND usename = 'app'";
    let observer = postgres.database().unwrap();
    let count = || observer.sql(sleeping).unwrap();
    assert!(until(PATIENCE, || count() == "1"));
    let began = Instant::now();
    let answer = call(address, LOOK, &token, &note_wanted(1)).unwrap();
    unavailable(&answer);
    let took = began.elapsed();
    let expected = Duration::from_millis(450)..Duration::from_millis(1_500);
    assert!(expected.contains(&took), "{took:?}");
    assert_eq!(busy.receive().unwrap().status, 200);
    let answer = call(address, LOOK, &token, &note_wanted(1)).unwrap();
    assert_eq!(answer.status, 404);
}

#[test]
fn a_statement_past_its_calls_deadline_is_cancelled_on_the_server() {
    let (postgres, plan) = on_postgres();
    let token = token(&plan);
    let observer = postgres.database().unwrap();
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%slow_one%' AND state = 'active' AND usename = 'app'";
    let count = || observer.sql(sleeping).unwrap();

    let program = plan.with("PROBE_HTTP__REQUEST_TIMEOUT", "1s").ready();
    let address = program.address();
    let mut slow = Connection::open(address).unwrap();
    let began = Instant::now();
    slow.send(SLOW, &token, r#"{"seconds":60}"#).unwrap();
    assert!(until(PATIENCE, || count() == "1"));
    let answer = slow.receive().unwrap();
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (504, "deadline_passed"),
        "{answer:?}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    assert!(until(Duration::from_secs(5), || count() == "0"));
    let answer = call(address, LOOK, &token, &note_wanted(1)).unwrap();
    assert_eq!(answer.status, 404);
}

#[test]
fn what_rows_refuse_has_a_status_and_a_code() {
    let (_postgres, plan) = on_postgres();
    let token = token(&plan);
    let program = plan
        .with("PROBE_DATABASE__STATEMENT_TIMEOUT", "300ms")
        .ready();
    let address = program.address();
    let added = call(address, ADD, &token, &note(1, "one")).unwrap();
    assert_eq!(added.status, 200);
    let again = call(address, ADD, &token, &note(1, "one")).unwrap();
    assert_eq!(
        (again.status, again.code().as_str()),
        (409, "conflict"),
        "{again:?}"
    );
    let slow = call(address, SLOW, &token, r#"{"seconds":20}"#).unwrap();
    unavailable(&slow);
}

#[test]
fn without_redis_caches_and_limits_help_themselves_and_sessions_refuse() {
    let (_postgres, mut redis, plan) = with_sessions();
    let program = plan.ready();
    let (address, ops) = (program.address(), program.ops());
    let password = ada("a password of hers").to_string();
    let registered = call(address, "auth@1.0.0/register", "", &password).unwrap();
    assert_eq!(registered.status, 200, "{registered:?}");
    let login = || call(address, "auth@1.0.0/login", "", &password).unwrap();
    let access = |answer: &Response| match &answer.json()["access_token"] {
        Value::String(token) => token.clone(),
        _ => panic!("{answer:?}"),
    };
    let token = access(&login());
    let find = |token: &str| call(address, FIND, token, &note_wanted(1)).unwrap();
    assert_eq!(
        call(address, ADD, &token, &note(1, "one")).unwrap().status,
        200
    );
    assert_eq!(find(&token).status, 200);

    redis.kill();
    wait_for_status(ops, "/readyz", 503);
    assert_eq!(get(ops, "/healthz").unwrap().status, 200);
    let began = Instant::now();
    let answer = find(&token);
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.field("retry-after").is_some(), "{answer:?}");
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    // Limits are still kept, by this process alone.
    let counted = || {
        call(address, "work@1.0.0/counted", "", "{}")
            .unwrap()
            .status
    };
    let answers: Vec<_> = (0..30).map(|_| counted()).collect();
    assert!(
        answers[..5].iter().all(|status| *status == 200),
        "{answers:?}"
    );
    assert!(answers.ends_with(&[429]), "{answers:?}");

    redis.restart().unwrap();
    wait_for_status(ops, "/readyz", 200);
    // What the registry has lost, the tables still know.
    assert!(
        until(PATIENCE, || find(&token).status == 200),
        "{:?}",
        find(&token)
    );
    let token = access(&login());
    assert_eq!(find(&token).status, 200);
    assert_eq!(counted(), 429);
}

#[test]
fn without_redis_cached_methods_still_answer() {
    let (_postgres, plan) = on_postgres();
    let mut redis = Redis::start().unwrap();
    let token = token(&plan);
    let program = plan.with("REDIS_URL", redis.url()).ready();
    let (address, ops) = (program.address(), program.ops());
    let find = |id| call(address, FIND, &token, &note_wanted(id)).unwrap();
    for id in [1, 2] {
        assert_eq!(
            call(address, ADD, &token, &note(id, "old")).unwrap().status,
            200
        );
    }
    assert_eq!(find(1).status, 200);
    redis.kill();
    // Calls are still answered, so that callers may come; who operates it is told.
    let is_known = || {
        let ready = get(ops, "/readyz").unwrap();
        assert_eq!(ready.status, 200, "{ready:?}");
        ready.json()["checks"]["store"]["status"] == "unhealthy"
    };
    assert!(until(PATIENCE, is_known));
    for id in [1, 2] {
        let began = Instant::now();
        assert_eq!(find(id).status, 200);
        assert!(
            began.elapsed() < Duration::from_secs(2),
            "{:?}",
            began.elapsed()
        );
    }
    // A change is seen by whoever makes it, Redis or not.
    let changed = call(address, "notes@1.0.0/write", &token, &note(1, "new")).unwrap();
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(find(1).json()["text"], "new");
    redis.restart().unwrap();
    assert!(until(PATIENCE, || !is_known()));
    assert_eq!(find(1).json()["text"], "new");
}

#[test]
fn a_redis_that_hangs_holds_no_call_up() {
    let (_postgres, redis, plan) = with_sessions();
    let program = plan.ready();
    let (address, ops) = (program.address(), program.ops());
    let password = ada("a password of hers").to_string();
    let registered = call(address, "auth@1.0.0/register", "", &password).unwrap();
    assert_eq!(registered.status, 200, "{registered:?}");
    let tokens = call(address, "auth@1.0.0/login", "", &password).unwrap();
    let token = tokens.json()["access_token"].as_str().unwrap().to_owned();
    let find = || call(address, FIND, &token, &note_wanted(1)).unwrap();
    assert_eq!(find().status, 404);
    redis.pause();
    for _ in 0..3 {
        let began = Instant::now();
        let answer = find();
        assert_eq!(answer.status, 503, "{answer:?}");
        let took = began.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
    wait_for_status(ops, "/readyz", 503);
    redis.resume();
    assert!(until(PATIENCE, || find().status == 404));
    wait_for_status(ops, "/readyz", 200);
}

#[test]
fn a_redis_that_comes_after_the_start_is_found() {
    let mut redis = Redis::start().unwrap();
    let (_postgres, plan) = on_postgres();
    let token = token(&plan);
    let plan = plan.with("REDIS_URL", redis.url());
    redis.kill();
    let program = plan.ready();
    let (address, ops) = (program.address(), program.ops());
    let find = || call(address, FIND, &token, &note_wanted(1)).unwrap();
    assert_eq!(find().status, 404);
    redis.restart().unwrap();
    let is_known = || get(ops, "/readyz").unwrap().json()["checks"]["store"]["status"] == "healthy";
    assert!(until(PATIENCE, is_known));
    assert_eq!(find().status, 404);
}
