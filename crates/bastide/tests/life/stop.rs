//! The end: in phases, within its time, whatever hangs.

use std::io::ErrorKind;
use std::thread;
use std::time::{Duration, Instant};

use bastide_testkit::until;
use rustix::process::Signal;

use crate::harness::{Connection, PATIENCE, Plan, call, get};

const SLOW: &str = "work@1.0.0/slow";

#[test]
fn s18_a_stop_is_seen_first_then_takes_no_more_then_lets_calls_finish_then_winds_down() {
    for signal in [Signal::TERM, Signal::INT] {
        let plan = Plan::new().with("PROBE_SHUTDOWN__DELAY", "700ms");
        let mut program = plan.ready();
        let (address, ops) = (program.address(), program.ops());
        let mut long = Connection::open(address).unwrap();
        long.send(SLOW, "", r#"{"millis":2000}"#).unwrap();
        program.wait_for("a slow call begins");
        let began = Instant::now();
        program.signal(signal);
        assert!(until(PATIENCE, || get(ops, "/readyz").unwrap().status == 503));
        assert_eq!(get(ops, "/healthz").unwrap().status, 200);
        // Those who have not yet heard of it are still answered.
        let answer = call(address, SLOW, "", r#"{"millis":1}"#).unwrap();
        assert_eq!(answer.status, 200);
        assert!(
            began.elapsed() < Duration::from_millis(700),
            "too slow to tell"
        );
        let refuses = || {
            let refused = Connection::open(address).map(drop).unwrap_err();
            refused.kind() == ErrorKind::ConnectionRefused
        };
        let is_closed = || Connection::open(address).is_err();
        assert!(until(PATIENCE, is_closed) && refuses());
        let answer = long.receive().unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "2000"));
        let ended = program.ended();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let said = ended.messages();
        let hooks: Vec<_> = said
            .iter()
            .filter(|said| said.starts_with("wind-down"))
            .collect();
        let expected = [
            "wind-down third begins",
            "wind-down third is done",
            "wind-down second begins",
            "wind-down second is done",
            "wind-down first begins",
            "wind-down first is done",
        ];
        assert_eq!(hooks, expected);
        assert_eq!(said.last().map(String::as_str), Some("stopped"));
        assert_eq!(ended.stderr, "");
    }
}

#[test]
fn s18_what_hangs_is_cut_and_the_hooks_of_the_end_have_their_time() {
    for what in ["hang", "fail", "panic"] {
        let plan = Plan::new()
            .with("PROBE_SHUTDOWN__TIMEOUT", "1s")
            .with("PROBE_PLAN__WIND_DOWN", what);
        let mut program = plan.ready();
        let mut hanging = Connection::open(program.address()).unwrap();
        hanging.send("work@1.0.0/hang", "", "{}").unwrap();
        program.wait_for("a call that hangs begins");
        let began = Instant::now();
        program.signal(Signal::TERM);
        let ended = program.ended();
        let took = began.elapsed();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(took < Duration::from_millis(1_400), "{took:?}");
        assert!(hanging.receive().is_err());
        let cut = "calls were still under way and are cut off; shutdown.timeout is for all of them";
        assert!(ended.said(cut), "{ended:?}");
        let warning = match what {
            "hang" => "winding down took longer than its share of shutdown.timeout and is given up",
            _ => "winding down failed",
        };
        assert!(ended.said(warning), "{ended:?}");
        assert!(ended.said("wind-down first is done"), "{ended:?}");
    }
}

#[test]
fn s18_code_that_blocks_every_thread_cannot_hold_up_the_end() {
    let plan = Plan::new()
        .with("PROBE_SHUTDOWN__TIMEOUT", "500ms")
        .with("PROBE_PLAN__WIND_DOWN", "block");
    let program = plan.ready();
    let began = Instant::now();
    program.signal(Signal::TERM);
    let ended = program.ended();
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.said("wind-down second begins"), "{ended:?}");
    let cut =
        "the end took longer than shutdown.timeout: something blocks its thread and is cut off";
    assert!(ended.said(cut), "{ended:?}");
}

#[test]
fn s18_a_second_signal_ends_it_at_once() {
    for what in ["hang", "block"] {
        let plan = Plan::new().with("PROBE_PLAN__WIND_DOWN", what);
        let mut program = plan.ready();
        program.signal(Signal::TERM);
        program.wait_for("wind-down second begins");
        let began = Instant::now();
        program.signal(Signal::INT);
        let ended = program.ended();
        assert!(
            began.elapsed() < Duration::from_secs(2),
            "{:?}",
            began.elapsed()
        );
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let said = "SIGINT came again while stopping: ended at once";
        assert!(ended.said(said), "{ended:?}");
    }
}

#[test]
fn s18_streams_and_sockets_are_told_of_the_end() {
    let program = Plan::new().ready();
    let address = program.address();
    let mut stream = Connection::open(address).unwrap();
    stream.send("ticks@1.0.0/ticks", "", "{}").unwrap();
    assert_eq!(stream.receive_head().unwrap().0, 200);
    let mut socket = Connection::open(address).unwrap();
    let open = "GET /ws HTTP/1.1\r\nHost: probe\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    socket.send_raw(open.as_bytes()).unwrap();
    assert_eq!(socket.receive_head().unwrap().0, 101);
    let reader = thread::spawn(move || {
        let rest = stream.rest().unwrap();
        String::from_utf8_lossy(&rest).into_owned()
    });
    let began = Instant::now();
    program.signal(Signal::TERM);
    // A close frame of the server, 1001: going away. It is answered, and then the connection ends.
    let close = socket.bytes(4).unwrap();
    assert_eq!(close[0], 0x88, "{close:?}");
    assert_eq!(close[2..], 1001_u16.to_be_bytes());
    socket.bytes((close[1] - 2).into()).unwrap();
    socket.send_raw(&[0x88, 0x80, 1, 2, 3, 4]).unwrap();
    assert_eq!(socket.rest().unwrap(), [0_u8; 0]);
    let ended = program.ended();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let took = began.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    let events = reader.join().unwrap();
    assert!(
        events.contains("event: problem") && events.contains("draining"),
        "{events}"
    );
}
