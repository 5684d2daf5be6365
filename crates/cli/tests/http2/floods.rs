//! Clients that attack with what HTTP/2 allows: each is held within bounds, and the others on the same worker notice nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::frames::*;
use crate::harness::{Answer, Client, Options, Request, Upstream, eventually};
use crate::memory;
use crate::scene::{Scene, one_worker};

/// `ENHANCE_YOUR_CALM`
const CALM: u32 = 11;

/// How much an attack may cost while it goes on, in kibibytes.
const GROWTH: u64 = 24 * 1024;

/// The slowest answer that somebody else may get meanwhile, without optimisation and on two busy cores.
const SLOWEST: Duration = Duration::from_secs(3);

/// Somebody else, who asks all the time.
struct Witness {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<(usize, Duration)>,
}

impl Witness {
    fn start(scene: &Scene) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, address) = (Arc::clone(&stop), scene.gateway.public);
        let request = Request::get("/fine").key(&scene.tenant.key);
        let asking = std::thread::spawn(move || {
            let mut client = Client::connect(address);
            let (mut count, mut slowest) = (0, Duration::ZERO);
            loop {
                let begun = Instant::now();
                client.call(&request).expect(200);
                slowest = slowest.max(begun.elapsed());
                count += 1;
                if stopped.load(Ordering::SeqCst) {
                    return (count, slowest);
                }
            }
        });
        Self { stop, asking }
    }

    #[track_caller]
    fn finish(self, what: &str) {
        self.stop.store(true, Ordering::SeqCst);
        let (count, slowest) = self.asking.join().expect("everybody else is served");
        assert!(count > 0 && slowest < SLOWEST, "{what}: {slowest:?}");
    }
}

/// A gateway with one worker, an attack, and what it may cost.
fn attack(what: &str, attack: impl FnOnce(&Scene, &Upstream)) {
    attack_with(what, one_worker(), attack);
}

fn attack_with(what: &str, options: Options, attack: impl FnOnce(&Scene, &Upstream)) {
    let upstream = Upstream::start(|request| match request.path() {
        "/long" => Answer::text(&"x".repeat(4 << 20)),
        "/hang" => Answer::hang(),
        _ => Answer::text("fine"),
    });
    let options = options.env("MIMALLOC_PURGE_DELAY", "0");
    let scene = Scene::with(options, &upstream.url(), "http1", Value::Null);
    scene.gateway.get("/fine", &scene.tenant.key).expect(200);
    let process = scene.gateway.id();
    memory::forget_peak(process);
    let before = memory::resident(process);
    let witness = Witness::start(&scene);
    attack(&scene, &upstream);
    witness.finish(what);
    let peak = memory::peak(process);
    assert!(
        peak.saturating_sub(before) < GROWTH,
        "{what}: from {before} to {peak} KiB"
    );
    scene.gateway.get("/fine", &scene.tenant.key).expect(200);
}

/// Sends the same bytes over and over, up to so many in all; how many went out before the gateway took no more.
fn flood(wire: &mut Wire, bytes: &[u8], volume: usize) -> usize {
    wire.set_patience(Duration::from_secs(2));
    let piece = bytes.repeat((64 * 1024 / bytes.len()).max(1));
    let mut sent = 0;
    while sent < volume && wire.send_bytes(&piece).is_ok() {
        sent += piece.len();
    }
    sent
}

fn connect(scene: &Scene) -> Wire {
    Wire::connect(scene.gateway.public, &[])
}

fn get(scene: &Scene, path: &str) -> Vec<u8> {
    request("GET", path, &[("x-api-key", &scene.tenant.key)])
}

/// What the connection was told when it was ended.
#[track_caller]
fn end(wire: &mut Wire) -> u32 {
    wire.set_patience(Duration::from_secs(20));
    wire.wait_for_goaway()
        .expect("the gateway ends the connection and says why")
}

#[test]
fn rapid_reset() {
    attack("rapid reset", |scene, upstream| {
        let mut wire = connect(scene);
        let block = get(scene, "/hang");
        let mut bytes = Vec::new();
        for number in 0..20_000 {
            let stream = 2 * number + 1;
            bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &block));
            bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        }
        // It is ended before all is out.
        wire.send_bytes(&bytes).ok();
        assert_eq!(end(&mut wire), CALM);
        eventually("nothing is left of it upstream", || {
            upstream.in_flight() <= 1
        });
        assert!(
            upstream.count_of("/hang") < 1_000,
            "{}",
            upstream.count_of("/hang")
        );
    });
}

#[test]
fn made_you_reset() {
    attack("made you reset", |scene, _| {
        let mut wire = connect(scene);
        let mut reader = wire.try_clone();
        let reading = std::thread::spawn(move || end(&mut reader));
        let block = get(scene, "/hang");
        for number in 0..5_000 {
            let stream = 2 * number + 1;
            let mut bytes = frame(HEADERS, END_HEADERS | END_STREAM, stream, &block);
            // A window beyond all bounds is an error of the stream.
            bytes.extend(frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff]));
            if wire.send_bytes(&bytes).is_err() {
                break;
            }
        }
        assert_eq!(reading.join().unwrap(), CALM);
    });
}

#[test]
fn a_head_that_never_ends() {
    attack("CONTINUATION", |scene, upstream| {
        let seen = upstream.count_of("/flood");
        let mut wire = connect(scene);
        wire.send(HEADERS, END_STREAM, 1, &get(scene, "/flood"))
            .unwrap();
        let piece = frame(CONTINUATION, 0, 1, &block(&[("x-a", "b".repeat(1_000))]));
        let sent = flood(&mut wire, &piece, 64 << 20);
        assert!(sent < 8 << 20, "{sent}");
        assert!(matches!(end(&mut wire), CALM | PROTOCOL_ERROR | 9));
        // Without any content, too.
        let mut wire = connect(scene);
        wire.send(HEADERS, END_STREAM, 1, &get(scene, "/flood"))
            .unwrap();
        let sent = flood(&mut wire, &frame(CONTINUATION, 0, 1, &[]), 16 << 20);
        assert!(sent < 8 << 20, "{sent}");
        assert_eq!(upstream.count_of("/flood"), seen);
    });
}

#[test]
fn heads_that_are_too_long() {
    attack("long heads", |scene, upstream| {
        // One entry of the table, and one byte for each time that it is meant.
        let mut bomb = get(scene, "/flood");
        bomb.extend([0x40, 3, b'x', b'-', b'a', 127, 0xe1, 0x1e]);
        bomb.extend(vec![b'b'; 4_000]);
        bomb.extend(vec![0xbe; 12_000]);
        for _ in 0..50 {
            let mut wire = connect(scene);
            wire.send_headers(1, true, &bomb).unwrap();
            let frames = wire.wait_for_stream(1);
            let last = frames.last().expect("an answer");
            let is_refused = last.kind != HEADERS || status(&last.payload) == Some(431);
            assert!(is_refused, "{frames:?}");
        }
        let many = [("x-api-key", scene.tenant.key.as_str())];
        let mut fields: Vec<(&str, &str)> = many.to_vec();
        fields.extend([("x-a", "b"); 400]);
        let mut wire = connect(scene);
        wire.send_headers(1, true, &request("GET", "/flood", &fields))
            .unwrap();
        let frames = wire.wait_for_stream(1);
        let refused = frames
            .iter()
            .find(|frame| frame.kind == HEADERS)
            .and_then(|frame| status(&frame.payload));
        assert!(matches!(refused, Some(400 | 431)), "{frames:?}");
        assert_eq!(upstream.count_of("/flood"), 0);
    });
}

#[test]
fn frames_that_want_an_answer_which_nobody_reads() {
    attack("pings", |scene, _| {
        flood(&mut connect(scene), &frame(PING, 0, 0, &[7; 8]), 32 << 20);
    });
    attack("settings", |scene, _| {
        let payload = settings_payload(&[(4, 70_000), (1, 0), (1, 4_096)]);
        flood(
            &mut connect(scene),
            &frame(SETTINGS, 0, 0, &payload),
            32 << 20,
        );
    });
}

#[test]
fn frames_that_say_nothing() {
    attack("priorities", |scene, _| {
        flood(
            &mut connect(scene),
            &frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 7]),
            16 << 20,
        );
    });
    attack("unknown frames", |scene, _| {
        flood(&mut connect(scene), &frame(0x77, 0, 1, &[7; 100]), 32 << 20);
    });
    attack("window updates", |scene, _| {
        flood(
            &mut connect(scene),
            &frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
            16 << 20,
        );
    });
    attack("empty data", |scene, _| {
        let mut wire = connect(scene);
        let block = request("POST", "/hang", &[("x-api-key", &scene.tenant.key)]);
        wire.send_headers(1, false, &block).unwrap();
        let sent = flood(&mut wire, &frame(DATA, 0, 1, &[]), 16 << 20);
        assert!(sent < 8 << 20, "{sent}");
        assert_eq!(end(&mut wire), CALM);
    });
    attack("data that is all padding", |scene, _| {
        let mut wire = connect(scene);
        let block = request("POST", "/hang", &[("x-api-key", &scene.tenant.key)]);
        wire.send_headers(1, false, &block).unwrap();
        let mut padding = vec![0; 256];
        padding[0] = 255;
        flood(&mut wire, &frame(DATA, 8, 1, &padding), 4 << 20);
    });
}

#[test]
fn streams_beyond_the_limit_are_refused_and_those_within_are_served() {
    attack("a thousand streams", |scene, upstream| {
        let mut wire = connect(scene);
        let block = get(scene, "/hang");
        let mut bytes = Vec::new();
        for number in 0..1_000 {
            bytes.extend(frame(
                HEADERS,
                END_HEADERS | END_STREAM,
                2 * number + 1,
                &block,
            ));
        }
        wire.send_bytes(&bytes).unwrap();
        let mut refused = 0;
        while refused < 900 {
            let reset = wire
                .wait(|frame| matches!(frame.kind, RST_STREAM | GOAWAY))
                .expect("an answer for each");
            assert_eq!((reset.kind, reset.code()), (RST_STREAM, 7), "{reset:?}");
            refused += 1;
        }
        eventually("the others are upstream", || upstream.in_flight() >= 100);
        assert!(upstream.in_flight() <= 101, "{}", upstream.in_flight());
    });
}

#[test]
fn bodies_that_nobody_takes() {
    let impatient = one_worker().arg("--send-timeout", "1s");
    attack_with("windows of zero", impatient, |scene, upstream| {
        // SETTINGS_INITIAL_WINDOW_SIZE
        let mut wire = Wire::connect(scene.gateway.public, &[(4, 0)]);
        let block = get(scene, "/long");
        for number in 0..50 {
            wire.send_headers(2 * number + 1, true, &block).unwrap();
        }
        let mut heads = 0;
        let mut resets = 0;
        while resets < 50 {
            let frame = wire
                .wait(|frame| matches!(frame.kind, HEADERS | RST_STREAM))
                .expect("each comes to an end");
            heads += usize::from(frame.kind == HEADERS);
            resets += usize::from(frame.kind == RST_STREAM);
        }
        assert_eq!(heads, 50);
        eventually("nothing is left of them upstream", || {
            upstream.in_flight() <= 1
        });
    });
}

#[test]
fn connections_that_say_nothing_more() {
    attack("silent connections", |scene, _| {
        let wires: Vec<Wire> = (0..300).map(|_| connect(scene)).collect();
        let answer = Client::connect(scene.gateway.public).call(&Request::get("/health"));
        answer.expect(200);
        drop(wires);
    });
}
