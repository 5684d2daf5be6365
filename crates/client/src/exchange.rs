//! One call on the wire: its attempts, and what decides whether there is another.

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::client::Client;
use crate::credentials::Shown;
use crate::error::CallError;

const TIMEOUT: HeaderName = HeaderName::from_static("x-request-timeout-ms");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(crate) const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");

/// What is to be sent, once or more often.
#[derive(Debug)]
pub(crate) struct Outgoing {
    verb: Method,
    path: String,
    body: Bytes,
    accept: HeaderValue,
    deadline: Instant,
    pub(crate) is_idempotent: bool,
}

impl Outgoing {
    pub(crate) fn call(method: &str, body: Bytes, deadline: Instant) -> Self {
        Self::post(format!("/rpc/{method}"), body, deadline)
    }

    pub(crate) fn batch(body: Bytes, deadline: Instant) -> Self {
        Self::post("/rpc".to_owned(), body, deadline)
    }

    pub(crate) fn description(deadline: Instant) -> Self {
        Self {
            verb: Method::GET,
            is_idempotent: true,
            ..Self::post("/openapi.json".to_owned(), Bytes::new(), deadline)
        }
    }

    pub(crate) fn of_items(mut self) -> Self {
        self.accept = EVENTS;
        self
    }

    fn post(path: String, body: Bytes, deadline: Instant) -> Self {
        Self {
            verb: Method::POST,
            path,
            body,
            accept: JSON,
            deadline,
            is_idempotent: false,
        }
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

impl Client {
    /// The whole body of an answer with status 200.
    pub(crate) async fn collected(&self, outgoing: &Outgoing) -> Result<Bytes, CallError> {
        Ok(self.attempts(outgoing, Self::body).await?.0)
    }

    /// What `read` makes of an answer with status 200, until the deadline; with as many attempts as are safe and allowed.
    /// And what was shown by the last of them.
    pub(crate) async fn attempts<T>(
        &self,
        outgoing: &Outgoing,
        read: impl AsyncFn(&Self, Response<Incoming>) -> Result<T, CallError>,
    ) -> Result<(T, Shown), CallError> {
        let attempts = async {
            self.budget.deposit(self.now());
            let (mut retry, mut is_renewed) = (0, false);
            loop {
                let mut fields = self.fields(outgoing)?;
                let shown = self.credentials.show(&mut fields).await?;
                let failure = match self.attempt(outgoing, fields, &read).await {
                    Ok(output) => return Ok((output, shown)),
                    Err(failure) => failure,
                };
                if !is_renewed
                    && failure.code() == "token_expired"
                    && self.credentials.renew(&shown)
                {
                    is_renewed = true;
                    continue;
                }
                let Some(wait) = self.wait(outgoing, &failure, retry) else {
                    return Err(failure);
                };
                tokio::time::sleep(wait).await;
                retry += 1;
            }
        };
        tokio::time::timeout_at(outgoing.deadline, attempts)
            .await
            .unwrap_or(Err(CallError::TimedOut))
    }

    async fn attempt<T>(
        &self,
        outgoing: &Outgoing,
        fields: HeaderMap,
        read: &impl AsyncFn(&Self, Response<Incoming>) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let Some(uri) = self.transport.uri(&outgoing.path) else {
            return Err(CallError::Unsendable {
                reason: format!("{:?} is no path", outgoing.path),
            });
        };
        let mut request = Request::new(Full::new(outgoing.body.clone()));
        *request.method_mut() = outgoing.verb.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = fields;
        let response = self.transport.send(request).await?;
        if response.status() == 200 {
            return read(self, response).await;
        }
        let status = response.status().as_u16();
        let retry_after = retry_after(response.headers());
        let body = self.body(response).await?;
        Err(CallError::read(status, retry_after, &body))
    }

    fn fields(&self, outgoing: &Outgoing) -> Result<HeaderMap, CallError> {
        // Rounded up: nothing at all would be refused before it was looked at.
        let left = outgoing.left().as_micros().div_ceil(1_000) as u64;
        if left == 0 {
            return Err(CallError::TimedOut);
        }
        let mut fields = HeaderMap::with_capacity(8);
        fields.insert(TIMEOUT, left.into());
        fields.insert(header::ACCEPT, outgoing.accept.clone());
        if !outgoing.body.is_empty() {
            fields.insert(header::CONTENT_TYPE, JSON);
        }
        if let Some(call) = &self.call {
            let mut put = |name, text: &[u8]| {
                let value = HeaderValue::from_bytes(text).expect("hexadecimal digits");
                fields.insert(name, value);
            };
            put(REQUEST_ID, call.request_id().to_text().as_bytes());
            put(TRACE_PARENT, &call.trace().to_text());
        }
        Ok(fields)
    }

    /// How long to wait before the call is sent again; `None` if it is not.
    fn wait(&self, outgoing: &Outgoing, failure: &CallError, retry: u32) -> Option<Duration> {
        let retry_after = match failure {
            CallError::Unreachable { .. } => None,
            CallError::BrokenOff { .. } if outgoing.is_idempotent => None,
            CallError::Problem(problem)
                if outgoing.is_idempotent && matches!(problem.status, 429 | 503) =>
            {
                Some(
                    problem
                        .retry_after
                        .filter(|asked| *asked <= self.backoff.max)?,
                )
            }
            _ => return None,
        };
        if retry >= self.retries {
            return None;
        }
        let wait = self
            .backoff
            .with_retry_after(retry, fastrand::u64(..), retry_after);
        // Who could only wait until the end learns at once why.
        (wait < outgoing.left() && self.budget.withdraw(self.now())).then_some(wait)
    }

    pub(crate) async fn body(&self, response: Response<Incoming>) -> Result<Bytes, CallError> {
        let (parts, body) = response.into_parts();
        match Limited::new(body, self.max_answer).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => {
                let reason = format!("it has more than {} bytes", self.max_answer);
                Err(CallError::malformed(parts.status.as_u16(), &reason))
            }
            Err(error) => Err(self.transport.broken_off(&error)),
        }
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }
}

/// An answer that is a stream of items.
pub(crate) async fn items(
    _: &Client,
    response: Response<Incoming>,
) -> Result<Response<Incoming>, CallError> {
    let kind = response.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("text/event-stream") {
        Ok(response)
    } else {
        let reason = format!("expected a stream of items, found {essence:?}");
        Err(CallError::malformed(200, &reason))
    }
}

/// In seconds; a date, which needs a clock that agrees, is taken for none.
fn retry_after(fields: &HeaderMap) -> Option<Duration> {
    let seconds = fields
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}
