//! From a call's outcome to an HTTP response.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use bastide_limit::Quota;
use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method as Verb, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::{Body as _, Frame, SizeHint};
use tracing::instrument::Instrumented;
use tracing::{Instrument as _, Span};

use super::response::leave_out_the_servers;
use crate::problem::Problem;

/// The body of a response: whole, or in pieces as they come.
pub type Body = Either<Full<Bytes>, UnsyncBoxBody<Bytes, Broken>>;

/// Why a body in pieces ended early. The connection is closed, so that what was cut looks cut.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Broken(#[from] pub Box<dyn std::error::Error + Send + Sync>);

// Names that are checked when this is compiled, not for every response.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
const STATE: HeaderName = HeaderName::from_static("ratelimit");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

pub(super) enum Answer {
    Outcome {
        result: Result<Bytes, Problem>,
        quota: Option<Quota>,
    },
    Problem(Problem),
    NotAllowed(String),
    /// To `OPTIONS`: what the path takes.
    Options(String),
    /// What a route gave.
    Own {
        response: Response<Body>,
        quota: Option<Quota>,
    },
    /// Server-sent events, as they come.
    Events {
        events: UnsyncBoxBody<Bytes, Broken>,
        quota: Option<Quota>,
    },
    /// From here on the connection is a WebSocket; with the proof that the request was understood.
    WebSocket {
        accept: HeaderValue,
    },
    /// Only a WebSocket is at this path.
    WebSocketOnly(Problem),
}

impl Answer {
    /// To a request whose path takes other HTTP methods than its own: these.
    pub(super) fn other_verb<'a>(verb: &Verb, others: impl IntoIterator<Item = &'a Verb>) -> Self {
        let mut allowed: Vec<_> = others.into_iter().map(Verb::as_str).collect();
        // What answers GET answers HEAD, and every path answers OPTIONS.
        if allowed.contains(&"GET") && !allowed.contains(&"HEAD") {
            allowed.push("HEAD");
        }
        allowed.push("OPTIONS");
        let allowed = allowed.join(", ");
        if verb == Verb::OPTIONS {
            Self::Options(allowed)
        } else {
            Self::NotAllowed(allowed)
        }
    }

    pub(super) fn json(json: Bytes) -> Self {
        Self::Outcome {
            result: Ok(json),
            quota: None,
        }
    }

    pub(super) fn into_response(self, id: &str, is_head: bool) -> Response<Body> {
        let mut fields = HeaderMap::with_capacity(8);
        if let Ok(id) = HeaderValue::from_str(id) {
            fields.insert(REQUEST_ID, id);
        }
        // What is for one caller is not for a cache between.
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let result = match self {
            Self::Own { response, quota } => return own(response, quota.as_ref(), fields, is_head),
            Self::Options(allowed) => {
                put_allow(&mut fields, &allowed);
                let mut response = Response::new(Body::Left(Full::default()));
                *response.status_mut() = StatusCode::NO_CONTENT;
                *response.headers_mut() = fields;
                return response;
            }
            Self::Events { events, quota } => {
                if let Some(quota) = quota {
                    put_quota(&mut fields, &quota);
                }
                let kind = HeaderValue::from_static("text/event-stream");
                fields.insert(header::CONTENT_TYPE, kind);
                let body = if is_head {
                    Body::Left(Full::default())
                } else {
                    Body::Right(events)
                };
                return response(200, fields, body);
            }
            Self::WebSocket { accept } => {
                put_upgrade(&mut fields);
                fields.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
                return response(101, fields, Body::Left(Full::default()));
            }
            Self::WebSocketOnly(problem) => {
                put_upgrade(&mut fields);
                let version = HeaderValue::from_static("13");
                fields.insert(header::SEC_WEBSOCKET_VERSION, version);
                Err(problem)
            }
            Self::Outcome { result, quota } => {
                if let Some(quota) = quota {
                    put_quota(&mut fields, &quota);
                }
                result
            }
            Self::Problem(problem) => Err(problem),
            Self::NotAllowed(allowed) => {
                put_allow(&mut fields, &allowed);
                Err(Problem::new(
                    405,
                    "method_not_allowed",
                    "the path takes another HTTP method; see `Allow`",
                ))
            }
        };
        let (status, kind, body) = match result {
            Ok(json) => (200, "application/json", json),
            Err(problem) => {
                put_problem(&mut fields, &problem);
                (
                    problem.status(),
                    "application/problem+json",
                    problem.to_json(id).into(),
                )
            }
        };
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        if is_head {
            fields.insert(header::CONTENT_LENGTH, body.len().into());
        }
        let body = if is_head { Bytes::new() } else { body };
        response(status, fields, Body::Left(Full::new(body)))
    }
}

/// A body that is made as it is read, within the call's span: that the head is gone does not end the call.
pub(super) fn within(span: Span, body: Body) -> Body {
    match body {
        Body::Right(pieces) if !span.is_disabled() => {
            Body::Right(InSpan(pieces.instrument(span)).boxed_unsync())
        }
        body => body,
    }
}

struct InSpan(Instrumented<UnsyncBoxBody<Bytes, Broken>>);

impl hyper::body::Body for InSpan {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let span = self.0.span().clone();
        let _entered = span.enter();
        Pin::new(self.0.inner_mut()).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.inner().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.inner().size_hint()
    }
}

fn response(status: u16, fields: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.headers_mut() = fields;
    response
}

fn put_upgrade(fields: &mut HeaderMap) {
    fields.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    fields.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

/// A route's response with the server's fields. Of its own it may say how long it is to be kept.
fn own(
    mut response: Response<Body>,
    quota: Option<&Quota>,
    servers: HeaderMap,
    is_head: bool,
) -> Response<Body> {
    let fields = response.headers_mut();
    for (name, value) in servers {
        let Some(name) = name else { continue };
        if name != header::CACHE_CONTROL || !fields.contains_key(&name) {
            fields.insert(name, value);
        }
    }
    if let Some(quota) = quota {
        put_quota(fields, quota);
    }
    if is_head {
        let length = response.body().size_hint().exact();
        if let Some(length) = length.filter(|_| !response.status().is_redirection())
            && !response.headers().contains_key(header::CONTENT_LENGTH)
            && response.status() != StatusCode::NO_CONTENT
        {
            response
                .headers_mut()
                .insert(header::CONTENT_LENGTH, length.into());
        }
        *response.body_mut() = Body::Left(Full::default());
    }
    response
}

fn put_allow(fields: &mut HeaderMap, allowed: &str) {
    if let Ok(value) = HeaderValue::from_str(allowed) {
        fields.insert(header::ALLOW, value);
    }
}

fn put_problem(fields: &mut HeaderMap, problem: &Problem) {
    if let Some(own) = problem.fields() {
        let mut own = own.clone();
        leave_out_the_servers(&mut own);
        fields.extend(own);
    }
    if let Some(seconds) = problem.retry_after_seconds() {
        fields.insert(header::RETRY_AFTER, seconds.into());
    }
    if let Some(challenge) = problem.challenge() {
        fields.insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static(challenge),
        );
    }
}

/// `X-RateLimit-*`, with the reset in Unix seconds, and the IETF's `RateLimit` and `RateLimit-Policy`.
fn put_quota(fields: &mut HeaderMap, quota: &Quota) {
    const SECOND: u64 = 1_000_000;
    let Quota {
        limit, remaining, ..
    } = *quota;
    let (reset, window) = (
        quota.reset_after.div_ceil(SECOND),
        quota.window.div_ceil(SECOND),
    );
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    fields.insert(LIMIT, number(limit.into()));
    fields.insert(REMAINING, number(remaining.into()));
    fields.insert(RESET, number(now + reset));
    fields.insert(STATE, default([(";r=", remaining.into()), (";t=", reset)]));
    fields.insert(POLICY, default([(";q=", limit.into()), (";w=", window)]));
}

/// As `HeaderValue::from`, which reserves room for the longest number and so has to allocate twice.
fn number(number: u64) -> HeaderValue {
    HeaderValue::from_str(itoa::Buffer::new().format(number)).expect("digits")
}

/// The one limit, which needs no name, and two numbers about it. Put together by hand: each answer to a caller has two.
fn default([(first, one), (second, other)]: [(&str, u64); 2]) -> HeaderValue {
    let mut digits = [itoa::Buffer::new(); 2];
    let [of_one, of_other] = &mut digits;
    let [one, other] = [of_one.format(one), of_other.format(other)];
    let text = ["\"default\"", first, one, second, other].concat();
    HeaderValue::try_from(text).expect("digits and letters")
}
