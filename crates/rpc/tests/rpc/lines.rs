//! Each line that is written for a call says which call that is, whatever brought it.

use bastide_context::{Cx, Public};
use bastide_rpc::{HttpOptions, Method, Problem, RawRequest, RawResponse, Route, Service};
use bastide_telemetry::log::Style;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::connections::Client;
use crate::observe::Lines;
use crate::support::{App, Nothing, app_of, item, post, request};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Everything here logs.
fn talkative() -> Service {
    let say = |_: Cx<Public>, _: Nothing| async {
        tracing::info!(token = "s3cr3t", "inside");
        tokio::task::yield_now().await;
        tracing::warn!("inside, later");
        Ok::<_, Problem>(())
    };
    let items = |_: Cx<Public>, _: Nothing| async {
        Ok::<_, Problem>(stream::iter([1, 2]).map(|number| {
            tracing::info!(number, "inside a stream");
            Ok(number)
        }))
    };
    let export = |_: Cx<Public>, _: RawRequest| async {
        let pieces = stream::iter([Bytes::from_static(b"a"), Bytes::from_static(b"b")]);
        let pieces = pieces.map(|piece| {
            tracing::info!("inside a body");
            Ok::<_, Problem>(piece)
        });
        Ok::<_, Problem>(RawResponse::stream("text/plain", pieces))
    };
    Service::new("talk", "1.0.0")
        .unwrap()
        .method(
            Method::named("say")
                .post("/say")
                .public("for tests")
                .handler(say),
        )
        .method(Method::named("items").public("for tests").stream(items))
        .route(Route::get("/export").public("for tests").handler(export))
}

fn app() -> App {
    app_of(HttpOptions::default(), |_, _| vec![talkative()])
}

/// The lines from inside the code behind entries.
fn inside(lines: &Lines) -> Vec<Value> {
    let is_inside = |line: &Value| line["message"].as_str().unwrap().starts_with("inside");
    let lines: Vec<_> = lines.all().into_iter().filter(is_inside).collect();
    assert!(!lines.is_empty());
    lines
}

#[tokio::test]
async fn s2_every_line_has_its_call() {
    let app = app();
    for ask in [
        || post("/rpc/talk/say", None, &json!({})),
        || post("/say", None, &json!({})),
        || post("/rpc/talk/items", None, &json!({})),
        || request("GET", "/export", None, Bytes::new()),
    ] {
        let (lines, _guard) = Lines::begin(Style::Json);
        let mut request = ask();
        let trace = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let fields = request.headers_mut();
        fields.insert("traceparent", trace.parse().unwrap());
        fields.insert(
            "x-request-id",
            "0123456789abcdef0123456789abcdef".parse().unwrap(),
        );
        let response = app.entry.answer(request, None).await;
        assert_eq!(
            response.headers()["x-request-id"],
            "0123456789abcdef0123456789abcdef"
        );
        response.into_body().collect().await.unwrap();
        let all = lines.all();
        assert!(all.len() >= 3 && inside(&lines).len() == 2, "{all:?}");
        for line in all {
            assert_eq!(
                line["request_id"], "0123456789abcdef0123456789abcdef",
                "{line}"
            );
            assert_eq!(line["trace_id"], TRACE, "{line}");
        }
        assert!(!lines.text().contains("s3cr3t"));
    }
}

#[tokio::test]
async fn s2_the_calls_of_a_batch_are_told_apart() {
    let app = app();
    let (lines, _guard) = Lines::begin(Style::Json);
    let say = item("talk/say", &json!({}));
    let reply = app.send(post("/rpc", None, &json!([say, say]))).await;
    let lines = inside(&lines);
    assert_eq!(lines.len(), 4);
    for line in &lines {
        assert_eq!(line["request_id"], reply.field("x-request-id"));
        assert_eq!(line["trace_id"].as_str().unwrap().len(), 32);
    }
    let of = |number: u32| lines.iter().filter(|line| line["item"] == number).count();
    assert_eq!((of(0), of(1)), (2, 2), "{lines:?}");
}

#[tokio::test]
async fn s2_the_calls_of_a_websocket_have_the_id_of_its_request_and_their_own() {
    let app = app();
    let (lines, _guard) = Lines::begin(Style::Json);
    let mut client = Client::open(app.entry, None).await;
    client.call(7, "talk/say", json!({})).await;
    assert_eq!(client.hear().await["id"], 7);
    client.call(8, "talk/items", json!({})).await;
    while client.hear().await["end"].is_null() {}
    client.call(9, "talk/none", json!({})).await;
    let refused = client.hear().await;
    let all = lines.all();
    let opened = all.iter().find(|line| line["route"] == "websocket");
    let opened = opened.unwrap()["request_id"].clone();
    assert_eq!(refused["problem"]["requestId"], opened);
    let lines = inside(&lines);
    let trace = |line: &Value| line["trace_id"].as_str().unwrap().to_owned();
    for line in &lines {
        assert_eq!(line["request_id"], opened, "{line}");
        let call = if line["message"] == "inside a stream" {
            8
        } else {
            7
        };
        assert_eq!(line["call"], call, "{line}");
    }
    assert_eq!(lines.len(), 4);
    assert_eq!(trace(&lines[0]), trace(&lines[1]));
    assert_ne!(
        trace(&lines[0]),
        trace(&lines[2]),
        "a trace is not as long as a socket lives"
    );
}

#[tokio::test]
async fn s2_lines_for_people_have_their_call_too() {
    let app = app();
    let (lines, _guard) = Lines::begin(Style::Pretty { color: false });
    let reply = app.rpc("talk/say", None, json!({})).await;
    let text = lines.text();
    let id = format!(" request_id={} trace_id=", reply.field("x-request-id"));
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.lines().all(|line| line.contains(&id)), "{text}");
}
