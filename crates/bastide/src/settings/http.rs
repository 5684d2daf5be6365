//! `[http]`: the listener for callers, and that for operators.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bastide_config::read::Fields;
use bastide_config::{Shown, parse};
use bastide_rpc::{Cors, HttpOptions};
use serde_json::Value;

use super::{ANY_TIME, SOME_TIME, cors, count, websocket};

/// Where callers come in, and what one request may cost.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// `listen`: `127.0.0.1:3000` unless said otherwise; `port`, and so `PORT`, changes the port alone.
    pub listen: SocketAddr,
    /// `socket`: a Unix socket beside it, for siblings on this machine.
    pub socket: Option<PathBuf>,
    /// `ops`: where `/healthz`, `/readyz` and `/metrics` are: `same`, which is the default, an address of their own, or `off`.
    pub ops: OpsListen,
    /// `request_timeout`: how long a call may take, whatever its caller asks for; 30 s.
    pub request_timeout: Duration,
    /// `header_timeout`: how long a request's head may take to arrive; 60 s.
    pub header_timeout: Duration,
    /// `body_timeout`: how long a client is waited for that sends nothing of a route's body, or less than 256 bytes a second; 20 s.
    pub body_timeout: Duration,
    /// `write_timeout`: how long a client may take nothing of what waits for it; 60 s.
    pub write_timeout: Duration,
    /// `keep_alive_timeout`: how long a connection may stand idle; 65 s.
    pub keep_alive_timeout: Duration,
    /// `slow_request`: from which time on the log line of a request is a warning; 1 s. `0s`: none is.
    pub slow_request: Duration,
    /// `max_body`: the longest input of a method; 10 MiB, up to 10 GiB.
    pub max_body: u64,
    /// `max_batch`: how many calls a batch may have; 50.
    pub max_batch: usize,
    /// `batch_concurrency`: how many of them are under way at once; 8.
    pub batch_concurrency: usize,
    /// `openapi`: whether `/openapi.json` describes the methods; on.
    pub openapi: bool,
    /// `cors = {origins = ["https://app.example.com"], credentials = true, max_age = "10m"}`: which pages of other origins a
    /// browser lets call, and open a WebSocket; none. `origins = ["*"]` is any, and goes without credentials. Answers are kept for 10 min.
    pub cors: Option<Cors>,
    /// `websocket`: calls over one connection.
    pub websocket: WebSocketSettings,
}

/// `[http.websocket]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSocketSettings {
    /// `enabled`: whether one can be opened; on.
    pub enabled: bool,
    /// `path`: where it is opened; `/ws`.
    pub path: String,
    /// `max_frame`: the longest message of a client; 1 MiB.
    pub max_frame: u64,
    /// `concurrency`: how many calls of one connection are under way at once; 32.
    pub concurrency: usize,
    /// `ping_interval`: how often a client is asked for a sign of life; 15 s.
    pub ping_interval: Duration,
    /// `ping_timeout`: how long one may give none before it is given up; 45 s.
    pub ping_timeout: Duration,
}

/// Where the operator's endpoints are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpsListen {
    /// Beside the methods.
    Same,
    /// On an address of their own.
    At(SocketAddr),
    /// Nowhere.
    Off,
}

impl Shown for OpsListen {
    fn shown(&self) -> Value {
        match self {
            Self::Same => "same".into(),
            Self::At(address) => address.shown(),
            Self::Off => "off".into(),
        }
    }
}

impl HttpSettings {
    /// The options of the crate `rpc`.
    pub(crate) fn options(&self) -> HttpOptions {
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let socket = &self.websocket;
        HttpOptions {
            max_body: size(self.max_body),
            body_timeout: self.body_timeout,
            header_timeout: self.header_timeout,
            keep_alive_timeout: self.keep_alive_timeout,
            write_timeout: self.write_timeout,
            max_batch: self.max_batch,
            batch_concurrency: self.batch_concurrency,
            websocket_path: socket.enabled.then(|| socket.path.clone()),
            max_frame: size(socket.max_frame),
            socket_concurrency: socket.concurrency,
            ping_interval: socket.ping_interval,
            ping_timeout: socket.ping_timeout,
            cors: self.cors.clone(),
            slow_request: (!self.slow_request.is_zero()).then_some(self.slow_request),
            ..HttpOptions::default()
        }
    }
}

pub(super) fn read(fields: &mut Fields<'_, '_>) -> Option<HttpSettings> {
    let address = parse::parsed::<SocketAddr>("an address and port such as 127.0.0.1:3000");
    let ops = parse::from_text(
        "`same`, `off`, or an address and port such as 127.0.0.1:9090",
        |text| match text {
            "same" => Some(OpsListen::Same),
            "off" => Some(OpsListen::Off),
            _ => text.parse().ok().map(OpsListen::At),
        },
    );
    let seconds = Duration::from_secs;
    let time = parse::duration(SOME_TIME);
    let mut listen = fields.setting("listen", ([127, 0, 0, 1], 3000).into(), address);
    if let Some(port) = fields.optional("port", parse::integer(0..=65_535_u16)) {
        listen.set_port(port);
    }
    let websocket = fields.object_or_empty("websocket", websocket::read);
    Some(HttpSettings {
        listen,
        socket: fields
            .optional("socket", parse::string(1..=100))
            .map(PathBuf::from),
        ops: fields.setting("ops", OpsListen::Same, ops),
        request_timeout: fields.setting("request_timeout", seconds(30), &time),
        header_timeout: fields.setting("header_timeout", seconds(60), &time),
        body_timeout: fields.setting("body_timeout", seconds(20), &time),
        write_timeout: fields.setting("write_timeout", seconds(60), &time),
        keep_alive_timeout: fields.setting(
            "keep_alive_timeout",
            seconds(65),
            parse::duration(ANY_TIME),
        ),
        slow_request: fields.setting("slow_request", seconds(1), parse::duration(ANY_TIME)),
        max_body: fields.setting("max_body", 10 << 20, parse::bytes(1..=10 << 30)),
        max_batch: fields.setting("max_batch", 50, count),
        batch_concurrency: fields.setting("batch_concurrency", 8, count),
        openapi: fields.setting("openapi", true, parse::boolean),
        cors: fields.object("cors", cors::read),
        websocket: websocket?,
    })
}
