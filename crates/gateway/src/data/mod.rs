//! The data plane: what happens to every request. [`mod@line`] shows the stations in order; each is a file here.

mod access_log;
pub(crate) mod body;
pub(crate) mod buffer;
mod call;
pub(crate) mod client;
mod clock;
pub(crate) mod connection;
pub(crate) mod deadline;
mod dial;
mod exchange;
mod fallback;
mod forward;
pub(crate) mod grpc;
mod handshake;
mod identity;
pub(crate) mod idle;
mod kernel;
mod last_good;
mod last_key;
mod limits;
pub(crate) mod line;
pub(crate) mod listen;
pub(crate) mod metrics;
pub(crate) mod outgoing;
mod own;
mod pace;
pub(crate) mod peer;
pub(crate) mod phase;
mod proxy_status;
mod rate_headers;
pub(crate) mod refusal;
mod replay;
mod request_head;
mod response_head;
pub(crate) mod room;
mod routes;
pub(crate) mod socket;
pub(crate) mod stream;
pub(crate) mod tls;
mod tunnel;
mod upload;
pub(crate) mod worker;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bastide_config::network::TrustedPeers;
use bastide_http1::Limits;
use bastide_limit::Limiter;

pub(crate) use clock::Clock;
pub(crate) use refusal::Refusal;

use crate::front::Front;
use crate::keys::Keys;
use crate::legacy_keys::LegacyVerifier;
use crate::maintenance::Maintenance;
use crate::snapshot::Snapshot;
use crate::upstream::connect::UpstreamTls;

/// A client must take a response of the gateway's own within this time.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// What all workers share: immutable, or changed from outside by one atomic step.
pub(crate) struct Shared {
    pub(crate) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(crate) keys: Keys,
    pub(crate) legacy: LegacyVerifier,
    pub(crate) limiter: Limiter,
    pub(crate) limits: Limits,
    pub(crate) room: room::Room,
    /// How long a client's connection is kept without a request.
    pub(crate) keep_alive: Duration,
    /// How long a client may take nothing of a response that waits for it.
    pub(crate) send_timeout: Duration,
    pub(crate) trusted: TrustedPeers,
    pub(crate) maintenance: Arc<Maintenance>,
    pub(crate) maintenance_page: Arc<str>,
    pub(crate) front: Front,
    /// Whether `/admin` and `/metrics` are served beside the routes.
    pub(crate) one_listener: bool,
    /// TLS on the public listener, if it speaks TLS.
    pub(crate) tls: Option<tokio_rustls::TlsAcceptor>,
    pub(crate) upstream_tls: UpstreamTls,
    pub(crate) metrics: Arc<metrics::Metrics>,
    pub(crate) phase: Arc<phase::PhaseCell>,
    pub(crate) clock: Clock,
}
