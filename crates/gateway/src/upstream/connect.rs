//! Making a connection to an origin.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::origin::Origin;
use crate::data::stream::Stream;
use crate::model::UpstreamAddress;

/// Connects to the first address of the origin that answers. The caller bounds the time.
pub(crate) async fn connect(
    origin: &Origin,
    tls: &Arc<rustls::ClientConfig>,
) -> io::Result<Stream> {
    match &origin.address {
        UpstreamAddress::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix),
        UpstreamAddress::Tcp {
            host, tls: false, ..
        } => connect_tcp(origin, host).await.map(Stream::Tcp),
        UpstreamAddress::Tcp {
            host, tls: true, ..
        } => {
            let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
            let tcp = connect_tcp(origin, host).await?;
            let stream = TlsConnector::from(Arc::clone(tls))
                .connect(name, tcp)
                .await?;
            Ok(Stream::TlsClient(Box::new(stream)))
        }
    }
}

async fn connect_tcp(origin: &Origin, host: &str) -> io::Result<TcpStream> {
    let mut last = None;
    for address in origin.addresses().await? {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Heads and small bodies are written whole; waiting for more would only delay them.
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::other(format!("the name {host} has no address"))))
}

/// TLS towards upstreams: the roots that browsers trust, and no protocol but what is asked for.
pub(crate) fn client_config(alpn: &[&[u8]]) -> Arc<rustls::ClientConfig> {
    let roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let mut config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}
