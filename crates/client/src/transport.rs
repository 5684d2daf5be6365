//! Connections, kept and used again.

use std::error::Error as _;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::UnixStream;

use crate::address::Address;
use crate::error::CallError;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a connection is kept without a call: less than servers keep theirs, so that it is this side that ends it.
const IDLE: Duration = Duration::from_secs(45);
/// How many connections are kept without a call.
const MAX_IDLE: usize = 32;

#[derive(Debug)]
pub(crate) struct Transport {
    address: Address,
    connections: Connections,
}

#[derive(Debug)]
enum Connections {
    Tcp(Client<HttpConnector, Full<Bytes>>),
    Unix(Client<UnixConnector, Full<Bytes>>),
}

impl Transport {
    pub(crate) fn new(address: Address) -> Self {
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MAX_IDLE);
        let connections = match &address {
            Address::Tcp { .. } => {
                let mut connector = HttpConnector::new();
                connector.set_connect_timeout(Some(CONNECT));
                connector.set_nodelay(true);
                Connections::Tcp(builder.build(connector))
            }
            Address::Unix(path) => {
                let path = path.as_path().into();
                Connections::Unix(builder.build(UnixConnector(path)))
            }
        };
        Self {
            address,
            connections,
        }
    }

    pub(crate) fn uri(&self, path: &str) -> Option<Uri> {
        self.address.uri(path)
    }

    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, CallError> {
        let sent = match &self.connections {
            Connections::Tcp(client) => client.request(request).await,
            Connections::Unix(client) => client.request(request).await,
        };
        sent.map_err(|error| self.failed(&error))
    }

    /// The connection ended in the midst of an answer.
    pub(crate) fn broken_off(&self, reason: &dyn std::fmt::Display) -> CallError {
        CallError::BrokenOff {
            address: self.address.to_string(),
            reason: reason.to_string(),
        }
    }

    fn failed(&self, error: &Error) -> CallError {
        // Its own text says only which step failed.
        let mut reason = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            reason = inner.to_string();
            source = inner.source();
        }
        if error.is_connect() {
            CallError::Unreachable {
                address: self.address.to_string(),
                reason,
            }
        } else {
            self.broken_off(&reason)
        }
    }
}

/// Connects to one socket whatever the URI says.
#[derive(Debug, Clone)]
struct UnixConnector(Arc<Path>);

type Connecting = Pin<Box<dyn Future<Output = std::io::Result<TokioIo<UnixStream>>> + Send>>;

impl tower_service::Service<Uri> for UnixConnector {
    type Response = TokioIo<UnixStream>;
    type Error = std::io::Error;
    type Future = Connecting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Connecting {
        let path = self.0.clone();
        Box::pin(async move { UnixStream::connect(&path).await.map(TokioIo::new) })
    }
}
