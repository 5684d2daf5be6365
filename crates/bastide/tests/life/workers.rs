//! Workers: processes of their own, which neither outlive the program nor end without it.

use std::path::Path;
use std::time::{Duration, Instant};

use bastide_testkit::until;
use rustix::process::Signal;

use crate::harness::{PATIENCE, Plan, Program, call};

fn ids(program: &Program) -> Vec<u64> {
    let started = program.lines("started");
    started
        .iter()
        .map(|line| line["pid"].as_u64().unwrap())
        .collect()
}

/// Whether the process is there and no zombie.
fn is_running(id: u64) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(id.to_string()).join("stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn s18_workers_run_beside_the_program_and_stop_with_it() {
    let mut program = Plan::new().with("PROBE_PLAN__WORKER", "stay").ready();
    let ids = ids(&program);
    assert_eq!(ids.len(), 2);
    assert!(
        ids.iter()
            .all(|id| *id != u64::from(program.id()) && is_running(*id))
    );
    assert!(until(PATIENCE, || program.lines("ready").len() == 3));
    assert!(!program.has_ended());
    program.signal(Signal::TERM);
    let ended = program.ended();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.said("worker mailer is done") && ended.said("worker reaper is done"));
    assert!(!ids.into_iter().any(is_running));
}

#[test]
fn s18_a_signal_to_all_processes_at_once_is_an_orderly_end() {
    // As a supervisor does that signals all processes of a unit, the worker long before the program.
    let mut program = Plan::new().with("PROBE_PLAN__WORKER", "stay").ready();
    assert!(until(PATIENCE, || program.lines("ready").len() == 3));
    for id in ids(&program) {
        let id = u32::try_from(id).unwrap();
        crate::harness::signal_to(id, Signal::TERM);
    }
    program.wait_for("worker mailer is done");
    program.signal(Signal::TERM);
    let ended = program.ended();
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn s18_the_death_of_a_worker_ends_the_program_with_an_error() {
    for (what, status) in [("end", "exit status: 0"), ("fail", "exit status: 1")] {
        let program = Plan::new().with("PROBE_PLAN__WORKER", what).start();
        let ended = program.ended();
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let error = format!("error: the worker `mailer` ended ({status})");
        assert!(ended.stderr.contains(&error), "{ended:?}");
        // In order all the same.
        assert!(ended.said("wind-down first is done"), "{ended:?}");
        assert!(ended.said("worker reaper is done"), "{ended:?}");
        if what == "fail" {
            assert!(
                ended.stderr.contains("error: the mail server is away"),
                "{ended:?}"
            );
        }
    }
    let program = Plan::new().with("PROBE_PLAN__WORKER", "stay").ready();
    let killed = u32::try_from(ids(&program)[0]).unwrap();
    crate::harness::signal_to(killed, Signal::KILL);
    let ended = program.ended();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("signal: 9 (SIGKILL)"), "{ended:?}");
}

#[test]
fn s18_a_worker_that_blocks_is_killed_when_its_time_is_over() {
    let plan = Plan::new()
        .with("PROBE_PLAN__WORKER", "block")
        .with("PROBE_SHUTDOWN__TIMEOUT", "500ms");
    let mut program = plan.ready();
    assert!(until(PATIENCE, || program.lines("ready").len() == 3));
    let ids = ids(&program);
    let began = Instant::now();
    program.signal(Signal::TERM);
    program.wait_for("did not end in time and is killed");
    let ended = program.ended();
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(until(PATIENCE, || !ids.iter().copied().any(is_running)));
}

#[test]
fn s18_no_worker_outlives_a_program_that_was_killed() {
    for what in ["stay", "block"] {
        let plan = Plan::new()
            .with("PROBE_PLAN__WORKER", what)
            .with("PROBE_SHUTDOWN__TIMEOUT", "300ms");
        let program = plan.ready();
        assert!(until(PATIENCE, || program.lines("ready").len() == 3));
        let ids = ids(&program);
        program.signal(Signal::KILL);
        program.ended();
        assert!(until(PATIENCE, || !ids.iter().copied().any(is_running)));
    }
}

#[test]
fn s18_workers_are_somebody_elses_with_http_only() {
    let plan = Plan::new().with("PROBE_PLAN__WORKER", "stay");
    let mut http = plan.start_with(&["run", "--http-only"]);
    http.wait_for("ready");
    assert_eq!(ids(&http).len(), 0);
    let answer = call(http.address(), "work@1.0.0/slow", "", r#"{"millis":1}"#);
    assert_eq!(answer.unwrap().status, 200);

    let mut worker = plan.start_with(&["worker", "mailer"]);
    worker.wait_for("ready");
    assert!(worker.lines("warm-up first begins").is_empty());
    worker.signal(Signal::TERM);
    let ended = worker.ended();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.said("worker mailer is done"));

    let ended = plan.run(&["worker", "mailman"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    let error = "error: there is no worker `mailman`; there are mailer, reaper\n";
    assert_eq!(ended.stderr, error);
}
