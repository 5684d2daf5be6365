//! `[http]`: the listener for callers, and that for operators.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bastide_config::parse;
use bastide_config::read::Fields;

use super::{ANY_TIME, SOME_TIME, count};

/// Where callers come in, and what one request may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// `keep_alive_timeout`: how long a connection may stand idle; 65 s.
    pub keep_alive_timeout: Duration,
    /// `max_body`: the longest input of a method; 10 MiB, up to 10 GiB.
    pub max_body: u64,
    /// `max_batch`: how many calls a batch may have; 50.
    pub max_batch: usize,
    /// `batch_concurrency`: how many of them are under way at once; 8.
    pub batch_concurrency: usize,
    /// `openapi`: whether `/openapi.json` describes the methods; on.
    pub openapi: bool,
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
    let mut listen = fields.or("listen", ([127, 0, 0, 1], 3000).into(), address);
    if let Some(port) = fields.optional("port", parse::integer(0..=65_535_u16)) {
        listen.set_port(port);
    }
    Some(HttpSettings {
        listen,
        socket: fields
            .optional("socket", parse::string(1..=100))
            .map(PathBuf::from),
        ops: fields.or("ops", OpsListen::Same, ops),
        request_timeout: fields.or("request_timeout", seconds(30), parse::duration(SOME_TIME)),
        header_timeout: fields.or("header_timeout", seconds(60), parse::duration(SOME_TIME)),
        keep_alive_timeout: fields.or("keep_alive_timeout", seconds(65), parse::duration(ANY_TIME)),
        max_body: fields.or("max_body", 10 << 20, parse::bytes(1..=10 << 30)),
        max_batch: fields.or("max_batch", 50, count),
        batch_concurrency: fields.or("batch_concurrency", 8, count),
        openapi: fields.or("openapi", true, parse::boolean),
    })
}
