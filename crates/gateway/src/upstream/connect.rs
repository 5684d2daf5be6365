//! Making a connection to an origin.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::origin::Origin;
use crate::data::socket::{Socket, watch_for_death};
use crate::http2::{self, SharedConnection};
use crate::model::{Protocol, UpstreamAddress};

/// A new connection, by what is spoken on it.
pub(crate) enum Connected {
    Http1(Socket),
    Http2(SharedConnection),
}

/// Connects to the first address of the origin that answers. The caller bounds the time.
pub(crate) async fn connect(
    origin: &Origin,
    protocol: Protocol,
    tls: &UpstreamTls,
) -> io::Result<Connected> {
    let socket = match &origin.address {
        UpstreamAddress::Unix(path) => Socket::Unix(UnixStream::connect(path).await?),
        UpstreamAddress::Tcp {
            host, tls: false, ..
        } => Socket::Tcp(connect_tcp(origin, host).await?),
        UpstreamAddress::Tcp {
            host, tls: true, ..
        } => {
            let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
            let tcp = connect_tcp(origin, host).await?;
            let connector = TlsConnector::from(Arc::clone(tls.of(protocol)));
            Socket::TlsClient(Box::new(connector.connect(name, tcp).await?))
        }
    };
    // Without TLS nobody can be asked: `http2` is then prior knowledge (RFC 9113 section 3.3).
    if protocol == Protocol::Http2 || socket.agreed_on_http2() {
        http2::handshake(socket).await.map(Connected::Http2)
    } else {
        Ok(Connected::Http1(socket))
    }
}

async fn connect_tcp(origin: &Origin, host: &str) -> io::Result<TcpStream> {
    let mut last = None;
    for address in origin.addresses().await? {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Heads and small bodies are written whole; waiting for more would only delay them.
                stream.set_nodelay(true)?;
                watch_for_death(&stream)?;
                return Ok(stream);
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::other(format!("the name {host} has no address"))))
}

/// TLS towards upstreams, by what is offered to be spoken in it.
#[derive(Clone)]
pub(crate) struct UpstreamTls {
    auto: Arc<rustls::ClientConfig>,
    http1: Arc<rustls::ClientConfig>,
    http2: Arc<rustls::ClientConfig>,
}

impl UpstreamTls {
    /// Certificates are believed by these roots.
    pub(crate) fn new(roots: &Arc<rustls::RootCertStore>) -> Self {
        let offering = |protocols: &[&[u8]]| {
            let mut config = rustls::ClientConfig::builder()
                .with_root_certificates(Arc::clone(roots))
                .with_no_client_auth();
            config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            Arc::new(config)
        };
        Self {
            auto: offering(&[b"h2", b"http/1.1"]),
            http1: offering(&[b"http/1.1"]),
            http2: offering(&[b"h2"]),
        }
    }

    fn of(&self, protocol: Protocol) -> &Arc<rustls::ClientConfig> {
        match protocol {
            Protocol::Auto => &self.auto,
            Protocol::Http1 => &self.http1,
            Protocol::Http2 => &self.http2,
        }
    }
}
