//! What requests leave behind: times by route, and lines in the log.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bastide_context::{Cx, Public};
use bastide_rpc::{HttpOptions, Problem, RawRequest, RawResponse, Route, Service};
use bastide_telemetry::lines;
use bastide_telemetry::log::{CALLS, LogLayer, Redaction, Style};
use bastide_telemetry::metrics::Exposition;
use bytes::Bytes;
use serde_json::{Value, json};
use tracing::Level;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::support::{App, app_of, app_with, post, request, users};

#[tokio::test]
async fn s13_every_request_is_timed_by_route() {
    let app = app_with(HttpOptions::default());
    let token = app.ada().await;
    app.rpc("users/find", Some(&token), json!({"id": 7})).await;
    app.rpc("users@1/find", Some(&token), json!({"id": 7}))
        .await;
    app.get("/users/7?tags=secret", Some(&token)).await;
    app.get("/users/8", None).await;
    app.send(request("HEAD", "/users/9", Some(&token), Bytes::new()))
        .await;
    app.get("/own/find", Some(&token)).await;
    app.send(post("/rpc", Some(&token), &json!([]))).await;
    for path in ["/nothing", "/nothing/else", "/rpc/users/none"] {
        app.get(path, None).await;
    }
    for verb in ["PURGE", "BREW"] {
        app.send(request(verb, "/nothing", None, Bytes::new()))
            .await;
    }
    let text = app.metrics.render(Exposition::Prometheus);
    let count = |labels: &str| {
        let line = format!("http_request_duration_seconds_count{{{labels}}} ");
        let found = text.lines().find_map(|one| one.strip_prefix(&line));
        found.map_or(0, |count| count.parse().unwrap())
    };
    for (labels, expected) in [
        (
            r#"method="POST",route="/rpc/users@1.2.0/find",status="200""#,
            2,
        ),
        (r#"method="GET",route="/users/{id}",status="200""#, 1),
        (r#"method="GET",route="/users/{id}",status="401""#, 1),
        (r#"method="HEAD",route="/users/{id}",status="200""#, 1),
        (r#"method="GET",route="/own/find",status="200""#, 1),
        (r#"method="POST",route="/rpc",status="400""#, 1),
        (r#"method="GET",route="other",status="404""#, 3),
        (r#"method="other",route="other",status="404""#, 2),
    ] {
        assert_eq!(count(labels), expected, "{labels} in\n{text}");
    }
    // A client makes no series.
    assert!(!text.contains("secret") && !text.contains("nothing") && !text.contains("PURGE"));
}

/// The lines that this thread's log has from now on.
#[derive(Clone)]
pub(crate) struct Lines {
    memory: Memory,
    written: Arc<lines::Lines>,
}

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

impl Lines {
    pub(crate) fn begin(style: Style) -> (Self, DefaultGuard) {
        let memory = Memory::default();
        let written = lines::Lines::start(memory.clone(), 1 << 20).unwrap();
        let layer = LogLayer::new(style, Redaction::standard(), written.source());
        // What other crates say while they serve is of no interest here.
        let filter = Targets::new()
            .with_target("bastide_rpc", Level::DEBUG)
            .with_target("rpc", Level::DEBUG)
            .with_target(CALLS, Level::ERROR);
        let subscriber = tracing_subscriber::registry().with(filter).with(layer);
        let written = Arc::new(written);
        let lines = Self { memory, written };
        (lines, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn text(&self) -> String {
        assert!(self.written.flush(Duration::from_secs(10)));
        String::from_utf8(self.memory.0.lock().unwrap().clone()).unwrap()
    }

    pub(crate) fn all(&self) -> Vec<Value> {
        let text = self.text();
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn of_requests(&self) -> Vec<Value> {
        let is_of_request = |line: &Value| {
            let message = line["message"].as_str();
            message.is_some_and(|message| message.ends_with("request"))
        };
        self.all().into_iter().filter(is_of_request).collect()
    }
}

fn app() -> App {
    let options = HttpOptions {
        slow_request: Some(Duration::from_secs(3)),
        ..HttpOptions::default()
    };
    let slow = Route::get("/sleep/{secret}").public("for tests").handler(
        |_: Cx<Public>, _: RawRequest| async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            Ok::<_, Problem>(RawResponse::empty())
        },
    );
    let own = Service::new("slow", "1.0.0").unwrap().route(slow);
    app_of(options, |ran, _| vec![users(ran), own])
}

#[tokio::test(start_paused = true)]
async fn s2_every_request_has_a_line_and_a_slow_one_a_warning() {
    let app = app();
    let (lines, _guard) = Lines::begin(Style::Json);
    let mut health = request("GET", "/users-health", None, Bytes::new());
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    health
        .headers_mut()
        .insert("traceparent", trace.parse().unwrap());
    let reply = app.send(health).await;
    app.get("/sleep/secret?token=secret", Some("secret")).await;
    app.send(post("/rpc/users/find", None, &json!({"secret": 1})))
        .await;
    let lines = lines.of_requests();
    assert_eq!(lines.len(), 3, "{lines:?}");
    let line = &lines[0];
    assert_eq!(line["level"], "info");
    assert_eq!(
        (&line["method"], &line["route"], &line["status"]),
        (&json!("GET"), &json!("/users-health"), &json!(200))
    );
    assert_eq!(line["request_id"], reply.field("x-request-id"));
    assert_eq!(line["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert!(line["millis"].as_f64().unwrap() < 3_000.0);
    let slow = &lines[1];
    assert_eq!(
        (&slow["level"], &slow["message"]),
        (&json!("warn"), &json!("slow request"))
    );
    assert_eq!(
        (&slow["route"], &slow["status"]),
        (&json!("/sleep/{secret}"), &json!(204))
    );
    assert!(slow["millis"].as_f64().unwrap() >= 4_000.0);
    assert_eq!(lines[2]["status"], 401);
    // Neither query, path, credentials nor body.
    let text = json!(lines).to_string().replace("{secret}", "");
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test]
async fn s2_the_operators_questions_are_for_who_looks_closely() {
    let health = Arc::new(bastide_health::Health::new("1.0.0"));
    let ops = bastide_rpc::Ops::new(health, bastide_telemetry::metrics::Registry::new());
    let entry = ops.entry();
    let (lines, _guard) = Lines::begin(Style::Json);
    entry
        .answer(request("GET", "/healthz", None, Bytes::new()), None)
        .await;
    let lines = lines.of_requests();
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (&lines[0]["level"], &lines[0]["route"]),
        (&json!("debug"), &json!("/healthz"))
    );
}
