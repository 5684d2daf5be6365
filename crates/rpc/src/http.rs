//! Calls over HTTP: `POST /rpc/{service}@{version}/{method}`, batches at `POST /rpc`, the paths that methods have of
//! their own, and the WebSocket.

mod answer;
mod batch;
mod body;
mod conditions;
mod content;
mod cors;
mod credentials;
mod drain;
mod entity_tag;
mod head;
mod observe;
mod opening;
mod own;
mod range;
mod request;
mod response;
mod serve;
mod sse;
mod stall;
mod websocket;

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bastide_auth::Policy;
use bastide_config::network::TrustedPeers;
use bastide_context::Call;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method as Verb, Request, Response, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as IncomingBody;
use serde_json::{Map, Value};
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::dispatch::{Dispatcher, Invocation, Outcome};
use crate::openapi::openapi;
use crate::ops::Ops;
use crate::problem::Problem;
use crate::rest::Rest;
use crate::service::{AtPath, Entry, RegistryError};
use crate::stream::{Items, Output};
use answer::Answer;
use drain::Draining;
use head::Head;
use observe::Seen;

pub use answer::{Body, Broken};
pub(crate) use body::Fault;
pub use body::{BodyStream, RawBody};
pub use content::Content;
pub use cors::{Cors, CorsError};
pub use credentials::CredentialFields;
pub use entity_tag::EntityTag;
pub(crate) use observe::HttpMetrics;
pub use request::{RawHead, RawRequest};
pub use response::RawResponse;
pub use serve::{Drain, ServeError, Server};

/// What one HTTP request may cost. An accepted option always has an effect.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Longest body in bytes that is held whole; 10 MiB. Bodies of routes that are read as they come have limits of their own.
    pub max_body: usize,
    /// How long a client is waited for that sends nothing of a route's body, or less than 256 bytes a second; 20 s.
    pub body_timeout: Duration,
    /// How long the head of a request may take to arrive; 60 s.
    pub header_timeout: Duration,
    /// How long a connection may stand idle between requests; 65 s, longer than the load balancers in front have.
    pub keep_alive_timeout: Duration,
    /// How long a client may take nothing of what waits for it; 60 s. Then its connection is closed.
    pub write_timeout: Duration,
    /// How many calls a batch may have; 50.
    pub max_batch: usize,
    /// How many calls of a batch are under way at once; 8.
    pub batch_concurrency: usize,
    /// How often the caller of a stream is looked at again while it is read, so how long it may outlive its session; 5 s.
    pub stream_recheck: Duration,
    /// How long a stream of server-sent events may be silent before a comment says that it is alive; 15 s.
    pub sse_keep_alive: Duration,
    /// Where a WebSocket is opened; `/ws`. `None`: nowhere.
    pub websocket_path: Option<String>,
    /// Longest message of a WebSocket's client in bytes; 1 MiB.
    pub max_frame: usize,
    /// How many calls of one WebSocket are under way at once; 32.
    pub socket_concurrency: usize,
    /// How often a WebSocket's client is asked for a sign of life; 15 s.
    pub ping_interval: Duration,
    /// How long a WebSocket's client may send nothing at all, not even the answer to a ping, and how long it may take over
    /// one frame, before it is given up; 45 s. Longer than `ping_interval`.
    pub ping_timeout: Duration,
    /// The proxies and load balancers in front, by their networks; none. The last address in `X-Forwarded-For` that is not one of
    /// theirs is the caller's, for limits and for the log, and they are believed about which traces are recorded. From
    /// everybody else the field says nothing.
    pub trusted_proxies: TrustedPeers,
    /// Whether a proxy is what connects to Unix sockets, so that its `X-Forwarded-For` is read too; no. Otherwise calls from
    /// there are this machine's own, and have no address.
    pub proxy_on_unix_socket: bool,
    /// Which pages of other origins a browser lets call; none, and then no response has a field of CORS. The same pages may open a
    /// WebSocket, beside those of the own host; programs that are no browsers name no origin and are not asked for one.
    pub cors: Option<Cors>,
    /// From which time on the log line of a request is a warning; 1 s. `None`: none is.
    pub slow_request: Option<Duration>,
    /// Where callers show who they are.
    pub credentials: CredentialFields,
    /// Who may learn what is not there: unknown paths, and other HTTP methods at paths without a public entry, are told to those
    /// alone whom this policy admits. `None`: to everybody.
    pub closed: Option<Policy>,
    /// How a request is called in `X-Request-Id` of its answer, in its problem document and in its line of the log, made of its
    /// head; for programs in front that have ids of another form. Items of batches and streams have the id of their call all the
    /// same. `None`: by its id, 32 hexadecimal digits.
    pub request_name: Option<fn(&HeaderMap) -> String>,
    /// Fields that stand on every response which has none of their name; none.
    pub fields: HeaderMap,
    /// Whether HTTP/2 is spoken with clients that begin with it; yes.
    pub http2: bool,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            max_body: 10 << 20,
            body_timeout: Duration::from_secs(20),
            header_timeout: Duration::from_secs(60),
            keep_alive_timeout: Duration::from_secs(65),
            write_timeout: Duration::from_secs(60),
            max_batch: 50,
            batch_concurrency: 8,
            stream_recheck: Items::RECHECK,
            sse_keep_alive: Duration::from_secs(15),
            websocket_path: Some("/ws".to_owned()),
            max_frame: 1 << 20,
            socket_concurrency: 32,
            ping_interval: Duration::from_secs(15),
            ping_timeout: Duration::from_secs(45),
            trusted_proxies: TrustedPeers::default(),
            proxy_on_unix_socket: false,
            cors: None,
            slow_request: Some(Duration::from_secs(1)),
            credentials: CredentialFields::default(),
            closed: None,
            request_name: None,
            fields: HeaderMap::new(),
            http2: true,
        }
    }
}

/// Answers requests. It knows no sockets.
#[derive(Debug)]
pub struct HttpEntry {
    dispatcher: Arc<Dispatcher>,
    options: HttpOptions,
    document: Option<Bytes>,
    draining: Draining,
    ops: Option<Ops>,
}

impl HttpEntry {
    /// Answers with these methods.
    ///
    /// # Panics
    /// If what the options say about a WebSocket cannot hold: its path is no path, or that of something else, which could never
    /// be called there; or a client would be given up before it is asked for a sign of life.
    pub fn new(dispatcher: Arc<Dispatcher>, options: HttpOptions) -> Self {
        if let Err(why) = websocket::check(&options, dispatcher.registry()) {
            panic!("{why}");
        }
        Self {
            dispatcher,
            options,
            document: None,
            draining: Draining::default(),
            ops: None,
        }
    }

    /// Serves the operator's endpoints beside the methods.
    ///
    /// # Errors
    /// [`RegistryError::Reserved`] if a method or a route is at one of their paths.
    pub fn with_ops(self, ops: Ops) -> Result<Self, RegistryError> {
        Ops::check(self.dispatcher.registry())?;
        Ok(self.put_ops(ops))
    }

    pub(crate) fn put_ops(mut self, ops: Ops) -> Self {
        self.ops = Some(ops);
        self
    }

    /// Describes the methods at `GET /openapi.json`, for everybody, under this title and version.
    pub fn described(mut self, title: &str, version: &str) -> Self {
        let mut document = openapi(self.dispatcher.registry(), title, version);
        self.options.credentials.describe_in(&mut document);
        self.document = Some(document.to_string().into());
        self
    }

    /// The answer to one request. `peer` is the address of who connected; `None`: over a Unix socket.
    pub async fn answer<B>(&self, request: Request<B>, peer: Option<IpAddr>) -> Response<Body>
    where
        B: IncomingBody<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
            + Send
            + 'static,
    {
        let begun = Instant::now();
        let (parts, body) = request.into_parts();
        let head = Head::read(&parts, peer, &self.options);
        let call = head.call(self.dispatcher.deadline_from(begun, head.granted));
        let span = call.span();
        let answering = self.answer_to(&parts, &head, call, body, begun);
        let response = answering.instrument(span.clone()).await;
        response.map(|body| answer::within(span, body))
    }

    async fn answer_to<B>(
        &self,
        parts: &Parts,
        head: &Head,
        call: Call,
        body: B,
        begun: Instant,
    ) -> Response<Body>
    where
        B: IncomingBody<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
            + Send
            + 'static,
    {
        let id = call.request_id().to_text();
        let id = head.name.as_deref().unwrap_or(id.as_str());
        let is_head = parts.method == Verb::HEAD;
        let cors = self.options.cors.as_ref();
        // Asked by a browser and not by its user, so without credentials and before any policy.
        if let Some(response) = cors.and_then(|cors| cors.preflight(parts)) {
            return Answer::Own {
                response,
                quota: None,
            }
            .into_response(id, is_head);
        }
        let mut seen = Seen::default();
        let answer = if self.options.websocket_path.as_deref() == Some(parts.uri.path()) {
            seen = Seen::WebSocket;
            websocket::open(self, parts, head.clone())
        } else {
            self.route(parts, head, call, body, &mut seen).await
        };
        let answer = answer.unwrap_or_else(Answer::Problem);
        let mut response = answer.into_response(id, is_head);
        if let Some(cors) = cors {
            cors.put(parts.headers.get(header::ORIGIN), response.headers_mut());
        }
        for (name, value) in &self.options.fields {
            if !response.headers().contains_key(name) {
                response.headers_mut().append(name, value.clone());
            }
        }
        let (status, slow) = (response.status().as_u16(), self.options.slow_request);
        let metrics = self.dispatcher.http_metrics();
        metrics.observe(
            seen,
            &parts.method,
            status,
            begun.elapsed(),
            head.peer,
            slow,
        );
        response
    }

    /// Futures of inputs are pinned where they are made: they are large, and would else be copied from station to station.
    async fn route<B>(
        &self,
        parts: &Parts,
        head: &Head,
        call: Call,
        body: B,
        seen: &mut Seen,
    ) -> Result<Answer, Problem>
    where
        B: IncomingBody<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
            + Send
            + 'static,
    {
        let path = parts.uri.path();
        let registry = self.dispatcher.registry();
        let has_methods = !registry.entries().is_empty();
        if let Some(name) = path.strip_prefix("/rpc/").filter(|_| has_methods) {
            let Some(entry) = registry.find(name) else {
                self.lets_learn(head, &call).await?;
                return Err(Problem::new(
                    404,
                    "method_not_found",
                    "no method of this name",
                ));
            };
            *seen = Seen::Rpc(entry.number());
            if parts.method != Verb::POST {
                return Ok(Answer::other_verb(&parts.method, [&Verb::POST]));
            }
            let input = pin!(self.json(head, &call, body));
            return Ok(self.call(entry, input, head, call.clone()).await);
        }
        if let (Some(document), "/openapi.json") = (&self.document, path) {
            *seen = Seen::Server("/openapi.json");
            return Ok(match parts.method {
                Verb::GET | Verb::HEAD => Answer::json(document.clone()),
                _ => Answer::other_verb(&parts.method, [&Verb::GET]),
            });
        }
        if let (Some(ops), Some(path)) = (&self.ops, Ops::path(path)) {
            *seen = Seen::Server(path);
            return self.ops(ops, path, parts).await;
        }
        if path == "/rpc" && has_methods {
            *seen = Seen::Batch;
            if parts.method != Verb::POST {
                return Ok(Answer::other_verb(&parts.method, [&Verb::POST]));
            }
            let input = self.json(head, &call, body).await?;
            return batch::answer(self, &input, head, &call).await;
        }
        match registry.find_path(&parts.method, path) {
            Ok((AtPath::Route(entry), params)) => {
                *seen = Seen::Path(entry.number());
                // On the heap, so that calls of methods do not carry its size.
                Ok(Box::pin(own::answer(self, entry, &params, parts, head, body)).await)
            }
            Ok((AtPath::Method(entry), params)) => {
                *seen = Seen::Path(entry.number());
                let has_body = entry.method().rest().is_some_and(Rest::has_body);
                let input = pin!(async {
                    let body = if has_body {
                        self.json(head, &call, body).await?
                    } else {
                        Bytes::new()
                    };
                    rest_input(entry, &params, parts.uri.query(), &body)
                });
                Ok(self.call(entry, input, head, call.clone()).await)
            }
            Err(others) => {
                if !others.is_public {
                    self.lets_learn(head, &call).await?;
                }
                if others.verbs.is_empty() {
                    return Err(Problem::new(404, "not_found", "nothing is at this path"));
                }
                Ok(Answer::other_verb(&parts.method, others.verbs))
            }
        }
    }

    /// Whether this caller may learn what is not here.
    async fn lets_learn(&self, head: &Head, call: &Call) -> Result<(), Problem> {
        let Some(policy) = self.options.closed else {
            return Ok(());
        };
        let admitted = self
            .dispatcher
            .admit(policy, &head.credentials, call.clone(), head.peer);
        admitted.await
    }

    async fn ops(&self, ops: &Ops, path: &str, parts: &Parts) -> Result<Answer, Problem> {
        if !Ops::takes(&parts.method) {
            return Ok(Answer::other_verb(&parts.method, [&Verb::GET]));
        }
        let response = Box::pin(ops.response(path, parts)).await?;
        Ok(Answer::Own {
            response: response.into_response(&parts.method, &parts.headers),
            quota: None,
        })
    }

    async fn call<I>(&self, entry: &Entry, input: I, head: &Head, call: Call) -> Answer
    where
        I: Future<Output = Result<Bytes, Problem>> + Send,
    {
        let id = call.request_id();
        let invocation = Invocation {
            entry,
            input,
            credentials: &head.credentials,
            call,
            peer: head.peer,
        };
        let Outcome { result, quota } = self.dispatcher.dispatch(invocation).await;
        let result = match result {
            Ok(Output::Whole(json)) => Ok(json),
            Err(problem) => Err(problem),
            Ok(Output::Stream(items)) => {
                let items = items.recheck(self.options.stream_recheck);
                let keep_alive = self.options.sse_keep_alive;
                let events = sse::events(items, id, keep_alive, self.draining.notice());
                return Answer::Events { events, quota };
            }
        };
        Answer::Outcome { result, quota }
    }

    /// The body whole, within its limit and the call's deadline, if it says that it is JSON.
    async fn json<B>(&self, head: &Head, call: &Call, body: B) -> Result<Bytes, Problem>
    where
        B: IncomingBody<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send,
    {
        let limit = self.options.max_body;
        let collected = call.run(Limited::new(body, limit).collect()).await;
        match collected {
            Ok(Ok(body)) => {
                let body = body.to_bytes();
                head.expect_json(&body)?;
                Ok(body)
            }
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                let detail = format!("the body has more than {limit} bytes");
                Err(Problem::new(413, "body_too_large", detail))
            }
            Ok(Err(_)) => Err(Problem::new(400, "malformed_body", "the body broke off")),
            Err(_) => Err(Problem::new(
                408,
                "body_timeout",
                "the body did not arrive in time",
            )),
        }
    }
}

/// The input of a method called by its own path.
fn rest_input(
    entry: &Entry,
    params: &matchit::Params<'_, '_>,
    query: Option<&str>,
    body: &[u8],
) -> Result<Bytes, Problem> {
    let body = if body.is_empty() {
        Map::new()
    } else {
        match crate::input::read(body)? {
            Value::Object(members) => members,
            Value::Null => Map::new(),
            _ => {
                return Err(Problem::new(
                    400,
                    "malformed_body",
                    "the body is not a JSON object",
                ));
            }
        }
    };
    let undecodable = || {
        Problem::new(
            400,
            "malformed_path",
            "the path is not UTF-8 once its escapes are decoded",
        )
    };
    let mut decoded = Vec::with_capacity(params.len());
    for (name, text) in params.iter() {
        decoded.push((name, head::percent_decoded(text).ok_or_else(undecodable)?));
    }
    let query = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned();
    Ok(entry
        .members()
        .input(body, query, decoded.into_iter())?
        .into())
}
