//! What the log says of work that the program does by itself.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bastide_context::{Call, Cx, DeadlinePassed};
use bastide_telemetry::lines::Lines;
use bastide_telemetry::log::{LogLayer, Redaction, Style};
use tracing_subscriber::layer::SubscriberExt as _;

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn s2_the_programs_own_work_has_ids_and_a_name_on_every_line() {
    let memory = Memory::default();
    let lines = Lines::start(memory.clone(), 1 << 20).unwrap();
    let layer = LogLayer::new(
        Style::Pretty { color: false },
        Redaction::standard(),
        lines.source(),
    );
    let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    let call = Call::within(Duration::from_secs(5));
    let ids = format!(
        " request_id={} trace_id={} work=nightly",
        call.request_id(),
        call.trace().trace()
    );
    let ended = Cx::system("nightly", call)
        .run(async |cx| {
            tracing::info!("begun by {}", cx.actor().unwrap());
            tokio::time::sleep(Duration::from_secs(1)).await;
            tracing::error!("still there");
            tokio::time::sleep(Duration::from_secs(60)).await;
            tracing::error!("past the deadline");
        })
        .await;
    assert_eq!(ended, Err(DeadlinePassed));
    tracing::info!("outside");
    drop(guard);
    assert!(lines.flush(Duration::from_secs(10)));
    let text = String::from_utf8(memory.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(
        lines[0].ends_with(&format!("begun by system:nightly{ids}")),
        "{text}"
    );
    assert!(lines[1].ends_with(&format!("still there{ids}")), "{text}");
    assert!(!lines[2].contains("request_id"), "{text}");
}
