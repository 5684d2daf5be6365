//! One batch to the collector, again where that may help.

use std::sync::atomic::Ordering;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::Otlp;
use super::json;
use super::queue::Counters;
use super::span::Span;

/// How often one batch is sent, at most.
const ATTEMPTS: u32 = 5;
/// What is read of an answer.
const MAX_ANSWER: usize = 64 << 10;
/// The longest wait that a collector can ask for.
const MAX_WAIT: Duration = Duration::from_secs(30);

pub(super) struct Sending {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// The reason that the log was told, until it is over.
    told: Option<String>,
}

/// Why a batch was not taken.
struct Refusal {
    reason: String,
    again: Again,
}

/// Whether the same batch may be taken later.
enum Again {
    Never,
    /// After the back-off.
    Later,
    /// When the collector says.
    In(Duration),
}

impl Sending {
    pub(super) fn new(options: &Otlp) -> Self {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(options.timeout));
        let connector = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            told: None,
        }
    }

    /// Sends a batch, and counts what became of it. With nobody left to record, it is not tried again.
    pub(super) async fn send(
        &mut self,
        options: &Otlp,
        batch: &[Span],
        counters: &Counters,
        is_last: impl Fn() -> bool,
    ) {
        let body = Bytes::from(json::request(&options.resource, batch));
        let count = batch.len() as u64;
        let mut backoff = options.backoff;
        for attempt in 1..=ATTEMPTS {
            let refusal = match self.attempt(options, body.clone()).await {
                Ok(rejected) => {
                    let rejected = rejected.min(count);
                    counters
                        .exported
                        .fetch_add(count - rejected, Ordering::Relaxed);
                    counters.lost.fetch_add(rejected, Ordering::Relaxed);
                    if rejected == 0 {
                        self.succeeded();
                    } else {
                        self.failed("it refused some of them".to_owned());
                    }
                    return;
                }
                Err(refusal) => refusal,
            };
            self.failed(refusal.reason);
            let wait = match refusal.again {
                Again::Never => break,
                Again::Later => backoff,
                Again::In(wait) => wait,
            };
            if attempt == ATTEMPTS || is_last() {
                break;
            }
            tokio::time::sleep(wait).await;
            backoff = backoff.saturating_mul(2).min(MAX_WAIT);
        }
        counters.lost.fetch_add(count, Ordering::Relaxed);
    }

    /// How many spans the collector refused of those that it took.
    async fn attempt(&self, options: &Otlp, body: Bytes) -> Result<u64, Refusal> {
        let again = |reason: String| Refusal {
            reason,
            again: Again::Later,
        };
        let exchange = async {
            let mut request = Request::post(&options.uri)
                .header(CONTENT_TYPE, "application/json")
                .header(USER_AGENT, concat!("bastide/", env!("CARGO_PKG_VERSION")));
            for (name, value) in &options.fields {
                request = request.header(name, value);
            }
            let request = request.body(Full::new(body)).map_err(|error| Refusal {
                reason: error.to_string(),
                again: Again::Never,
            })?;
            let response = self.client.request(request).await;
            let (parts, body) = response.map_err(|error| again(chain(&error)))?.into_parts();
            match parts.status {
                StatusCode::OK => {
                    let body = Limited::new(body, MAX_ANSWER).collect().await;
                    let body = body.map_err(|error| again(error.to_string()))?;
                    Ok(rejected(&body.to_bytes()))
                }
                status => Err(Refusal {
                    reason: format!("it answers {status}"),
                    again: again_after(status, &parts.headers),
                }),
            }
        };
        tokio::time::timeout(options.timeout, exchange)
            .await
            .unwrap_or_else(|_| Err(again(format!("no answer within {:?}", options.timeout))))
    }

    /// Each new reason once, and its end.
    fn failed(&mut self, reason: String) {
        if self.told.as_ref() != Some(&reason) {
            tracing::warn!(
                reason,
                "the collector of spans does not take them; what has no room is dropped and counted"
            );
            self.told = Some(reason);
        }
    }

    fn succeeded(&mut self) {
        if self.told.take().is_some() {
            tracing::info!("the collector of spans takes them again");
        }
    }
}

/// The statuses that the protocol names are worth another attempt. `Retry-After` is read in seconds; a date is not worth a clock's
/// comparison here.
fn again_after(status: StatusCode, fields: &HeaderMap) -> Again {
    if !matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    ) {
        return Again::Never;
    }
    let field = fields
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok());
    match field.and_then(|seconds| seconds.parse().ok()) {
        Some(seconds) => Again::In(Duration::from_secs(seconds).min(MAX_WAIT)),
        None => Again::Later,
    }
}

/// From `partialSuccess`; the number may be a text.
fn rejected(answer: &[u8]) -> u64 {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let rejected = &answer["partialSuccess"]["rejectedSpans"];
    let number = || rejected.as_str().and_then(|text| text.parse().ok());
    rejected.as_u64().or_else(number).unwrap_or(0)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut inner = error.source();
    while let Some(error) = inner {
        text = format!("{text}: {error}");
        inner = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_collector_says_when_and_not_without_bound() {
        let after = |status: u16, field: Option<&str>| {
            let field = field.map(|value| (RETRY_AFTER, value.parse().unwrap()));
            let status = StatusCode::from_u16(status).unwrap();
            match again_after(status, &field.into_iter().collect()) {
                Again::Never => None,
                Again::Later => Some(None),
                Again::In(wait) => Some(Some(wait.as_secs())),
            }
        };
        assert_eq!(after(429, Some("7")), Some(Some(7)));
        assert_eq!(after(503, Some("86400")), Some(Some(30)));
        assert_eq!(
            after(503, Some("Fri, 31 Dec 1999 23:59:59 GMT")),
            Some(None)
        );
        assert_eq!(after(504, None), Some(None));
        assert_eq!(after(500, Some("7")), None);
    }

    #[test]
    fn refused_spans_are_counted_as_text_or_number() {
        for (answer, count) in [
            (r#"{"partialSuccess":{"rejectedSpans":"2"}}"#, 2),
            (r#"{"partialSuccess":{"rejectedSpans":3}}"#, 3),
            (r#"{"partialSuccess":{}}"#, 0),
            ("", 0),
            ("<html>", 0),
        ] {
            assert_eq!(rejected(answer.as_bytes()), count, "{answer}");
        }
    }
}
