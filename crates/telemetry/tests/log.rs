//! Lines as they leave the process.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bastide_telemetry::lines::Lines;
use bastide_telemetry::log::{LogLayer, Redaction, Style};
use jiff::Timestamp;
use serde_json::{Value, json};
use tracing_subscriber::layer::SubscriberExt;

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `work` logs.
fn logged(style: Style, work: impl FnOnce()) -> String {
    let memory = Memory::default();
    let lines = Lines::start(memory.clone(), 1 << 20).unwrap();
    let clock = || Timestamp::from_millisecond(1_700_000_000_123).unwrap();
    let layer = LogLayer::new(style, Redaction::standard(), lines.source()).with_clock(clock);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), work);
    assert!(lines.flush(Duration::from_secs(10)));
    String::from_utf8(memory.0.lock().unwrap().clone()).unwrap()
}

fn logged_json(work: impl FnOnce()) -> Vec<Value> {
    let text = logged(Style::Json, work);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_line_is_one_json_object_with_its_spans_fields() {
    let lines = logged_json(|| {
        let request =
            tracing::info_span!("request", request_id = "r1", status = tracing::field::Empty);
        let _in_request = request.enter();
        request.record("status", 200);
        let _in_call = tracing::info_span!("call", attempt = 2, request_id = "inner").entered();
        tracing::warn!(took_ms = 1.5, ok = true, "slow {}", "upstream");
    });
    assert_eq!(
        lines,
        [json!({
            "timestamp": "2023-11-14T22:13:20.123Z",
            "level": "warn",
            "target": "log",
            "message": "slow upstream",
            "request_id": "inner",
            "status": 200,
            "attempt": 2,
            "took_ms": 1.5,
            "ok": true,
        })]
    );
}

#[test]
fn a_field_cannot_take_the_place_of_the_lines_own() {
    let lines = logged_json(|| tracing::info!(level = "fake", timestamp = 0, "m"));
    assert_eq!(lines[0]["level"], "info");
    assert_eq!(lines[0]["field.level"], "fake");
    assert_eq!(lines[0]["field.timestamp"], 0);
}

#[test]
fn nothing_gets_around_redaction() {
    #[derive(Debug)]
    #[expect(dead_code, reason = "read through Debug")]
    struct Login {
        user: &'static str,
        password: &'static str,
    }
    let work = || {
        let headers = std::collections::BTreeMap::from([
            ("authorization", "Bearer s3cr3t"),
            ("accept", "shown"),
        ]);
        let body = json!({"creditCard": {"number": "s3cr3t"}, "name": "shown"});
        let _span =
            tracing::info_span!("s", cookie = "s3cr3t", token = tracing::field::Empty).entered();
        tracing::Span::current().record("token", "s3cr3t");
        tracing::info!(
            headers.authorization = "s3cr3t",
            ?headers,
            %body,
            text = body.to_string(),
            login = ?Login { user: "shown", password: "s3cr3t" },
            url = "redis://:s3cr3t@host",
            error = &io::Error::other("postgres://u:s3cr3t@h refused") as &dyn std::error::Error,
            "password=s3cr3t, {:?}",
            Login { user: "shown", password: "s3cr3t" },
        );
    };
    for style in [Style::Json, Style::Pretty { color: false }] {
        let text = logged(style, work);
        assert!(!text.contains("s3cr3t"), "{text}");
        assert!(text.matches("shown").count() >= 5, "{text}");
    }
}

#[test]
fn pretty_lines_are_compact_and_cannot_be_forged() {
    let text = logged(Style::Pretty { color: false }, || {
        tracing::info!(
            path = "/a b",
            id = "r1",
            count = 3,
            "one\n22:00:00 ERROR two \u{1b}[2J"
        );
    });
    assert_eq!(
        text,
        "22:13:20.123 INFO  log: one\\n22:00:00 ERROR two \\u{1b}[2J path=\"/a b\" id=r1 count=3\n"
    );
    let text = logged(Style::Pretty { color: true }, || tracing::error!("x"));
    assert_eq!(text, "22:13:20.123 \u{1b}[31mERROR\u{1b}[0m log: x\n");
}

#[test]
fn an_error_is_told_with_its_causes() {
    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);
    let lines = logged_json(|| {
        let error = Outer(io::Error::other("inner"));
        tracing::error!(error = &error as &dyn std::error::Error, "failed");
    });
    assert_eq!(lines[0]["error"], "outer: inner");
}

#[test]
fn records_of_the_log_crate_keep_their_target() {
    let lines = logged_json(|| {
        tracing::info!(
            target: "log",
            { log.target = "rustls::conn", log.module_path = "rustls::conn", log.line = 3 },
            "hello"
        );
    });
    assert_eq!(lines[0]["target"], "rustls::conn");
    assert_eq!(lines[0].as_object().unwrap().len(), 4);
}
