//! Lines arrive in order, or are counted as dropped; nobody waits.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bastide_telemetry::lines::Lines;

const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A terminal that hangs until it is let go: it tells when it begins to write, and waits for leave.
struct Terminal {
    begun: Sender<()>,
    leave: Receiver<()>,
    memory: Memory,
}

impl Write for Terminal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.begun.send(());
        let _ = self.leave.recv();
        self.memory.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn lines_of_each_source_keep_their_order() {
    const LINES: usize = 5_000;
    let memory = Memory::default();
    let lines = Lines::start(memory.clone(), 16 << 20).unwrap();
    thread::scope(|scope| {
        for worker in 0..4 {
            let source = lines.source();
            scope.spawn(move || {
                for number in 0..LINES {
                    assert!(source.write(format!("{worker} {number}").as_bytes()));
                }
            });
        }
    });
    assert!(lines.flush(PATIENCE));
    let text = memory.text();
    for worker in 0..4 {
        let own = text
            .lines()
            .filter_map(|line| line.strip_prefix(&format!("{worker} ")));
        let numbers: Vec<usize> = own.map(|number| number.parse().unwrap()).collect();
        assert_eq!(numbers, (0..LINES).collect::<Vec<_>>());
    }
}

#[test]
fn a_line_is_written_without_being_asked_for() {
    let (begun, hears) = channel();
    let (lets, leave) = channel();
    let lines = Lines::start(
        Terminal {
            begun,
            leave,
            memory: Memory::default(),
        },
        1024,
    )
    .unwrap();
    assert!(lines.source().write(b"one"));
    hears
        .recv_timeout(PATIENCE)
        .expect("the writer wakes up by itself");
    drop(lets);
}

#[test]
fn a_terminal_that_hangs_costs_lines_but_no_time() {
    let (begun, hears) = channel();
    let (lets, leave) = channel();
    let memory = Memory::default();
    let lines = Lines::start(
        Terminal {
            begun,
            leave,
            memory: memory.clone(),
        },
        100,
    )
    .unwrap();
    let source = lines.source();
    assert!(source.write(b"first"));
    hears.recv_timeout(PATIENCE).unwrap();

    // The writer hangs. Ten bytes each: nine lines fit below the capacity, the others are dropped at once.
    let kept = (0..1_000).filter(|_| source.write(b"123456789")).count();
    assert_eq!((kept, lines.dropped()), (10, 990));
    assert!(!lines.flush(Duration::from_millis(20)), "it still hangs");

    drop(lets);
    assert!(lines.flush(PATIENCE));
    assert_eq!(memory.text().lines().count(), 11);
    assert!(source.write(b"again"));
    assert!(lines.flush(PATIENCE));
    assert!(memory.text().ends_with("again\n"));
}

#[test]
fn lines_of_a_source_that_is_gone_are_written() {
    let memory = Memory::default();
    let lines = Lines::start(memory.clone(), 1024).unwrap();
    lines.source().write(b"last words");
    drop(lines);
    assert_eq!(memory.text(), "last words\n");
}

#[test]
fn failed_writes_are_counted() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::start(Full, 1024).unwrap();
    let dropped = lines.drop_counter();
    let source = lines.source();
    source.write(b"a");
    source.write(b"b");
    assert!(lines.flush(PATIENCE));
    assert_eq!(dropped(), 2);
}
