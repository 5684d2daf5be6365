//! Calls as spans in a collector: which, and what they say.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bastide_auth::Policy;
use bastide_context::{Cx, Known, Public};
use bastide_rpc::{Dispatcher, HttpEntry};
use bastide_rpc::{
    HttpOptions, Method, Problem, RawRequest, RawResponse, Registry, Route, Server, Service,
};
use bastide_telemetry::ids::Sampled;
use bastide_telemetry::metrics;
use bastide_telemetry::otlp::{Exporter, Otlp};
use bytes::Bytes;
use futures_util::stream;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};

use crate::connections::Client;
use crate::support::{App, Nothing, SERVICE_KEY, app_through, item, post, request};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// Takes spans as collectors do.
struct Collector {
    spans: Arc<Mutex<Vec<Value>>>,
    exporter: Exporter,
    _server: Server,
}

impl Collector {
    async fn start(ratio: f64) -> Self {
        let spans = Arc::new(Mutex::new(Vec::new()));
        let taken = spans.clone();
        let take = move |_: Cx<Public>, request: RawRequest| {
            let taken = taken.clone();
            async move {
                let body: Value = request.json().await?;
                let spans = &body["resourceSpans"][0]["scopeSpans"][0]["spans"];
                taken
                    .lock()
                    .unwrap()
                    .extend(spans.as_array().unwrap().clone());
                RawResponse::json(&json!({}))
            }
        };
        let route = Route::post("/v1/traces")
            .public("a test's own")
            .handler(take);
        let service = Service::new("collector", "1.0.0").unwrap().route(route);
        let registry = Registry::new([service]).unwrap();
        let dispatcher = Dispatcher::new(registry, &metrics::Registry::new(), None).unwrap();
        let entry = HttpEntry::new(Arc::new(dispatcher), HttpOptions::default());
        let mut server = Server::new(entry);
        let address = server.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let otlp = Otlp::new(&format!("http://{address}"), "test").unwrap();
        Self {
            spans,
            exporter: otlp.ratio(ratio).unwrap().start(),
            _server: server,
        }
    }

    /// All spans so far.
    async fn spans(&self) -> Vec<Value> {
        assert!(self.exporter.flush(Duration::from_secs(10)).await);
        std::mem::take(&mut self.spans.lock().unwrap())
    }

    fn app(&self) -> App {
        let options = HttpOptions {
            trusted_proxies: "10.0.0.0/8".parse().unwrap(),
            ..HttpOptions::default()
        };
        let exporter = self.exporter.clone();
        app_through(options, |_, _| vec![traced()], |one| one.exporter(exporter))
    }
}

/// Whether what the handler calls on is told to record.
fn flag(cx: &Cx<Known>) -> bool {
    cx.call().trace().sampled() == Sampled::Yes
}

fn traced() -> Service {
    let known = |name| Method::named(name).policy_without_tenant(Policy::identified());
    let flags = |cx: Cx<Known>, _: Nothing| async move {
        Ok::<_, Problem>(stream::iter([Ok(flag(&cx)), Ok(flag(&cx))]))
    };
    Service::new("traced", "1.0.0")
        .unwrap()
        .method(known("flag").handler(|cx, _: Nothing| async move { Ok::<_, Problem>(flag(&cx)) }))
        .method(known("flags").stream(flags))
        .method(known("broken").handler(|_, _: Nothing| async move {
            Err::<(), _>(Problem::new(503, "away", "it is away"))
        }))
        .route(
            Route::get("/traced/{secret}")
                .public("for tests")
                .handler(|_, _: RawRequest| async { Ok::<_, Problem>(RawResponse::empty()) }),
        )
}

/// A call whose caller recorded it, or not.
fn under(mut request: Request<Full<Bytes>>, sampled: bool) -> Request<Full<Bytes>> {
    let place = format!("00-{TRACE}-{PARENT}-0{}", u8::from(sampled));
    request
        .headers_mut()
        .insert("traceparent", place.parse().unwrap());
    request
}

fn attribute<'a>(span: &'a Value, name: &str) -> &'a Value {
    let attributes = span["attributes"].as_array().unwrap();
    let found = attributes.iter().find(|one| one["key"] == name);
    found.map_or(&Value::Null, |one| &one["value"])
}

#[tokio::test]
async fn s13_a_call_is_a_span_below_its_callers() {
    let collector = Collector::start(1.0).await;
    let app = collector.app();
    let token = app.ada().await;
    let ask = |path: &str| under(post(path, Some(&token), &json!({})), true);
    app.send(ask("/rpc/traced/flag")).await;
    app.send(ask("/rpc/traced/flags")).await;
    app.send(ask("/rpc/traced/broken")).await;
    app.send(under(post("/rpc/traced/flag", None, &json!({})), true))
        .await;
    app.send(under(
        request("GET", "/traced/secret?secret", None, Bytes::new()),
        true,
    ))
    .await;
    let spans = collector.spans().await;
    assert_eq!(spans.len(), 5);
    for span in &spans {
        assert_eq!(
            (&span["traceId"], &span["parentSpanId"]),
            (&json!(TRACE), &json!(PARENT))
        );
        assert_eq!(span["kind"], 2);
        let time = |name: &str| span[name].as_str().unwrap().parse::<u64>().unwrap();
        assert!(time("startTimeUnixNano") <= time("endTimeUnixNano"));
    }
    let said: Vec<_> = spans
        .iter()
        .map(|span| {
            let status = &attribute(span, "http.response.status_code")["intValue"];
            let code = &attribute(span, "error.type")["stringValue"];
            (
                span["name"].clone(),
                status.clone(),
                code.clone(),
                span["status"].clone(),
            )
        })
        .collect();
    let fine = json!({});
    let error = json!({"code": 2, "message": "it is away"});
    assert_eq!(
        said,
        [
            (
                json!("traced@1.0.0/flag"),
                json!("200"),
                Value::Null,
                fine.clone()
            ),
            (
                json!("traced@1.0.0/flags"),
                json!("200"),
                Value::Null,
                fine.clone()
            ),
            (
                json!("traced@1.0.0/broken"),
                json!("503"),
                json!("away"),
                error
            ),
            (
                json!("traced@1.0.0/flag"),
                json!("401"),
                json!("token_missing"),
                fine.clone()
            ),
            (
                json!("GET /traced/{secret}"),
                json!("204"),
                Value::Null,
                fine
            ),
        ]
    );
    assert_eq!(
        attribute(&spans[0], "rpc.service")["stringValue"],
        "traced@1.0.0"
    );
    assert_eq!(attribute(&spans[0], "rpc.method")["stringValue"], "flag");
    assert_eq!(
        attribute(&spans[4], "http.route")["stringValue"],
        "/traced/{secret}"
    );
}

#[tokio::test]
async fn s13_a_call_that_ended_before_anybody_was_known_is_a_span_too() {
    let collector = Collector::start(1.0).await;
    let app = collector.app();
    for mut ask in [
        post("/rpc/traced/flag", None, &json!({})),
        request("GET", "/traced/x", None, Bytes::new()),
    ] {
        let fields = ask.headers_mut();
        fields.insert("x-request-timeout-ms", "0".parse().unwrap());
        assert_eq!(app.send(ask).await.status, 504);
    }
    let spans = collector.spans().await;
    let codes: Vec<_> = spans
        .iter()
        .map(|span| attribute(span, "error.type")["stringValue"].clone())
        .collect();
    assert_eq!(codes, ["deadline_passed", "deadline_passed"]);
}

#[tokio::test]
async fn s13_calls_of_one_request_are_spans_of_their_own() {
    let collector = Collector::start(1.0).await;
    let app = collector.app();
    let token = app.ada().await;
    let flag = item("traced/flag", &json!({}));
    app.send(post("/rpc", Some(&token), &json!([flag, flag])))
        .await;
    let spans = collector.spans().await;
    assert_eq!(spans.len(), 2);
    assert_eq!(spans[0]["traceId"], spans[1]["traceId"]);
    assert_ne!(spans[0]["spanId"], spans[1]["spanId"]);
    assert!(spans[0]["parentSpanId"].is_null());

    let mut client = Client::open(app.entry, Some(&token)).await;
    for id in [1, 2] {
        client.call(id, "traced/flag", json!({})).await;
        assert_eq!(client.hear().await["output"], true);
    }
    let spans = collector.spans().await;
    assert_eq!(spans.len(), 2);
    assert_ne!(spans[0]["traceId"], spans[1]["traceId"]);
}

#[tokio::test]
async fn s13_only_who_is_trusted_decides_what_is_recorded() {
    let stranger: Option<IpAddr> = Some("192.0.2.1".parse().unwrap());
    let proxy: Option<IpAddr> = Some("10.0.0.1".parse().unwrap());
    for (peer, is_service, is_believed) in [
        (stranger, false, false),
        (stranger, true, true),
        (proxy, false, true),
        (None, false, true),
    ] {
        for (ratio, sampled) in [(0.0, true), (1.0, false)] {
            let collector = Collector::start(ratio).await;
            let app = collector.app();
            let token = app.ada().await;
            let token = (!is_service).then_some(token.as_str());
            let mut ask = under(post("/rpc/traced/flag", token, &json!({})), sampled);
            if is_service {
                ask.headers_mut()
                    .insert("x-service-key", SERVICE_KEY.parse().unwrap());
            }
            let response = app.entry.answer(ask, peer).await;
            assert_eq!(response.status(), 200);
            let told = response.into_body().collect().await.unwrap().to_bytes();
            let is_recorded = sampled == is_believed;
            let case = format!("{peer:?} {is_service} {ratio}");
            assert_eq!(
                collector.spans().await.len(),
                usize::from(is_recorded),
                "{case}"
            );
            assert_eq!(told, is_recorded.to_string(), "what goes along, {case}");
        }
    }
}

#[tokio::test]
async fn s13_who_names_a_trace_does_not_choose_that_it_is_recorded() {
    // The sampler takes low ids first: this one would be recorded at every ratio but 0.
    let low = "00000000000000000000000000000001";
    let collector = Collector::start(1e-9).await;
    let app = collector.app();
    let token = app.ada().await;
    for number in 0..64 {
        let mut ask = post("/rpc/traced/flag", Some(&token), &json!({}));
        let (name, value) = if number % 2 == 0 {
            ("traceparent", format!("00-{low}-{PARENT}-01"))
        } else {
            ("x-request-id", low.to_owned())
        };
        ask.headers_mut().insert(name, value.parse().unwrap());
        assert_eq!(app.send(ask).await.json, json!(false), "{name}");
    }
    assert!(collector.spans().await.is_empty());
}

#[tokio::test]
async fn s13_without_a_collector_strangers_flags_go_nowhere() {
    let app = app_through(HttpOptions::default(), |_, _| vec![traced()], |one| one);
    let token = app.ada().await;
    let ask = || under(post("/rpc/traced/flag", Some(&token), &json!({})), true);
    assert_eq!(app.send(ask()).await.json, false);
    let response = app.entry.answer(ask(), None).await;
    let told = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(told, "true", "a sibling's goes along");
}
