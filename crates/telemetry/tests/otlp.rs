//! Spans reach a collector, or are counted; nobody waits.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bastide_telemetry::ids::RequestId;
use bastide_telemetry::metrics::{Exposition, Registry};
use bastide_telemetry::otlp::{Counts, Exporter, Kind, Otlp, Span, Status};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Generous: what takes longer than this does not happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Answers with what it is told to, and keeps what it was sent.
#[derive(Clone)]
struct Collector {
    endpoint: String,
    got: Arc<Mutex<Vec<Got>>>,
    /// The next answers, the last one of which stays.
    answers: Arc<Mutex<Vec<(u16, &'static str)>>>,
    /// How many requests came in.
    arrived: Arc<AtomicUsize>,
    /// How many requests it may answer.
    leave: Arc<Semaphore>,
}

#[derive(Clone, Debug)]
struct Got {
    path: String,
    kind: String,
    authorization: String,
    json: Value,
}

impl Collector {
    async fn start(answers: &[(u16, &'static str)], leave: usize) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let collector = Self {
            endpoint: format!("http://{}", listener.local_addr().unwrap()),
            got: Arc::default(),
            answers: Arc::new(Mutex::new(answers.to_vec())),
            arrived: Arc::default(),
            leave: Arc::new(Semaphore::new(leave)),
        };
        let this = collector.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let this = this.clone();
                let service = service_fn(move |request| {
                    let this = this.clone();
                    async move { this.answer(request).await }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        collector
    }

    async fn answer(&self, request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
        let (parts, body) = request.into_parts();
        let field = |name: &str| {
            let value = parts.headers.get(name);
            value.map_or(String::new(), |value| value.to_str().unwrap().to_owned())
        };
        let (kind, authorization) = (field("content-type"), field("authorization"));
        let body = body.collect().await?.to_bytes();
        self.arrived.fetch_add(1, Ordering::Relaxed);
        self.leave.acquire().await.unwrap().forget();
        self.got.lock().unwrap().push(Got {
            path: parts.uri.path().to_owned(),
            kind,
            authorization,
            json: serde_json::from_slice(&body).unwrap(),
        });
        let mut answers = self.answers.lock().unwrap();
        let (status, text) = if answers.len() > 1 {
            answers.remove(0)
        } else {
            answers[0]
        };
        let response = Response::builder().status(status);
        Ok(response.body(Full::from(text)).unwrap())
    }

    fn otlp(&self) -> Otlp {
        Otlp::new(&self.endpoint, "media")
            .unwrap()
            .backoff(Duration::from_millis(1))
    }

    /// The names of the spans of each request.
    fn names(&self) -> Vec<Vec<String>> {
        let got = self.got.lock().unwrap();
        let each = got.iter().map(|got| {
            let spans = &got.json["resourceSpans"][0]["scopeSpans"][0]["spans"];
            let names = spans.as_array().unwrap().iter();
            names
                .map(|span| span["name"].as_str().unwrap().to_owned())
                .collect()
        });
        each.collect()
    }
}

fn span(number: u64) -> Span {
    Span {
        trace: RequestId::from_u128(7),
        id: number + 1,
        parent: Some(99),
        name: format!("span {number}").into(),
        kind: Kind::Server,
        start: Timestamp::from_second(1_800_000_000).unwrap(),
        end: Timestamp::from_second(1_800_000_001).unwrap(),
        attributes: vec![("rpc.method".into(), "find".into())],
        status: Status::Ok,
    }
}

fn record(exporter: &Exporter, spans: u64) {
    for number in 0..spans {
        exporter.record(span(number));
    }
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    assert!(waited.is_ok(), "{what}");
}

#[tokio::test]
async fn s13_spans_reach_the_collector_in_batches() {
    let collector = Collector::start(&[(200, "{}")], 100).await;
    let otlp = collector.otlp().batch(2).delay(Duration::from_secs(3_600));
    let otlp = otlp.field("authorization", "Bearer t").unwrap();
    let exporter = otlp.resource("service.version", "1.2.3").start();
    record(&exporter, 5);
    until("full batches go at once", || {
        exporter.counts().exported == 4
    })
    .await;
    assert!(exporter.flush(PATIENCE).await);
    assert_eq!(
        collector.names(),
        [
            vec!["span 0", "span 1"],
            vec!["span 2", "span 3"],
            vec!["span 4"]
        ]
    );
    let counts = Counts {
        exported: 5,
        dropped: 0,
        lost: 0,
    };
    assert_eq!(exporter.counts(), counts);
    let got = collector.got.lock().unwrap()[0].clone();
    assert_eq!(
        (
            got.path.as_str(),
            got.kind.as_str(),
            got.authorization.as_str()
        ),
        ("/v1/traces", "application/json", "Bearer t")
    );
    let resource = &got.json["resourceSpans"][0];
    let attributes = &resource["resource"]["attributes"];
    assert_eq!(attributes[0]["value"]["stringValue"], "media");
    assert_eq!(attributes[1]["key"], "service.version");
    let first = &resource["scopeSpans"][0]["spans"][0];
    assert_eq!(first["traceId"], "00000000000000000000000000000007");
    assert_eq!(first["spanId"], "0000000000000001");
    assert_eq!(first["parentSpanId"], "0000000000000063");
    assert_eq!(first["startTimeUnixNano"], "1800000000000000000");
    assert_eq!(
        (&first["kind"], &first["status"]["code"]),
        (&2.into(), &1.into())
    );
}

#[tokio::test]
async fn s13_a_batch_that_is_not_full_goes_when_it_is_due() {
    let collector = Collector::start(&[(200, "{}")], 100).await;
    let exporter = collector.otlp().delay(Duration::from_millis(5)).start();
    record(&exporter, 1);
    until("it goes by itself", || exporter.counts().exported == 1).await;
}

#[tokio::test]
async fn s13_what_waits_is_sent_when_the_last_one_is_dropped() {
    let collector = Collector::start(&[(200, "{}")], 100).await;
    let exporter = collector.otlp().delay(Duration::from_secs(3_600)).start();
    record(&exporter, 3);
    drop(exporter);
    until("they arrive", || {
        collector.names().iter().map(Vec::len).sum::<usize>() == 3
    })
    .await;
}

#[tokio::test]
async fn s13_a_slow_collector_costs_spans_and_no_time() {
    let collector = Collector::start(&[(200, "{}")], 0).await;
    let exporter = collector
        .otlp()
        .queue(10)
        .batch(4)
        .timeout(Duration::from_secs(3_600))
        .start();
    let metrics = Registry::new();
    exporter.register(&metrics);
    // The first batch hangs at the collector; behind it there is room for ten. Not one of these calls is a future.
    record(&exporter, 4);
    until("the batch is on its way", || {
        collector.arrived.load(Ordering::Relaxed) == 1
    })
    .await;
    record(&exporter, 1_000);
    assert_eq!(exporter.counts().dropped, 990);
    assert_eq!(exporter.counts().exported, 0);
    assert!(
        !exporter.flush(Duration::from_millis(20)).await,
        "it says that it is not done"
    );
    collector.leave.add_permits(100);
    assert!(exporter.flush(PATIENCE).await);
    let counts = Counts {
        exported: 14,
        dropped: 990,
        lost: 0,
    };
    assert_eq!(exporter.counts(), counts);
    let text = metrics.render(Exposition::Prometheus);
    assert!(
        text.contains("otlp_spans_total{outcome=\"dropped\"} 990"),
        "{text}"
    );
}

#[tokio::test]
async fn s13_a_dead_collector_costs_spans_and_no_time() {
    let endpoint = format!("http://127.0.0.1:{}", bastide_testkit::free_port());
    let exporter = Otlp::new(&endpoint, "media")
        .unwrap()
        .queue(10)
        .batch(4)
        .backoff(Duration::from_millis(1))
        .start();
    record(&exporter, 1_000);
    assert!(exporter.flush(PATIENCE).await);
    let counts = exporter.counts();
    assert_eq!((counts.exported, counts.dropped + counts.lost), (0, 1_000));
    assert!(counts.lost > 0, "{counts:?}");
}

#[tokio::test]
async fn s13_a_collector_that_never_answers_is_given_up() {
    let collector = Collector::start(&[(200, "{}")], 0).await;
    let exporter = collector.otlp().timeout(Duration::from_millis(10)).start();
    record(&exporter, 3);
    assert!(exporter.flush(PATIENCE).await);
    assert_eq!(exporter.counts().lost, 3);
}

#[tokio::test]
async fn s13_what_may_pass_is_tried_again_and_what_will_not_is_not() {
    let collector = Collector::start(&[(503, ""), (429, ""), (502, ""), (200, "")], 100).await;
    let exporter = collector.otlp().start();
    record(&exporter, 2);
    assert!(exporter.flush(PATIENCE).await);
    assert_eq!(
        (exporter.counts().exported, collector.names().len()),
        (2, 4)
    );

    for answer in [(400, ""), (401, ""), (404, ""), (307, "")] {
        let collector = Collector::start(&[answer], 100).await;
        let exporter = collector.otlp().start();
        record(&exporter, 2);
        assert!(exporter.flush(PATIENCE).await);
        assert_eq!(
            (exporter.counts().lost, collector.names().len()),
            (2, 1),
            "{answer:?}"
        );
    }

    let always = Collector::start(&[(503, "")], 100).await;
    let exporter = always.otlp().start();
    record(&exporter, 2);
    assert!(exporter.flush(PATIENCE).await);
    assert_eq!(
        (exporter.counts().lost, always.names().len()),
        (2, 5),
        "five times, then no more"
    );
}

#[tokio::test]
async fn s13_spans_that_a_collector_refuses_of_a_batch_are_lost() {
    let answer = r#"{"partialSuccess":{"rejectedSpans":"2","errorMessage":"too old"}}"#;
    let collector = Collector::start(&[(200, answer)], 100).await;
    let exporter = collector.otlp().start();
    record(&exporter, 5);
    assert!(exporter.flush(PATIENCE).await);
    let counts = Counts {
        exported: 3,
        dropped: 0,
        lost: 2,
    };
    assert_eq!(exporter.counts(), counts);
}
