//! A client that speaks TLS itself, for what a relay would hide: certificates, handshakes, and how a connection ends.

use std::io::{self, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::{Authority, Request, Response};

/// How long a byte may be waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection after its handshake.
pub(crate) struct TlsClient {
    pub(crate) stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
}

impl TlsClient {
    /// Connects to `localhost` at this address and trusts the authority alone.
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr, authority: &Authority) -> Self {
        Self::try_connect(address, authority.client_config())
            .unwrap_or_else(|error| panic!("no TLS with {address}: {error}"))
    }

    pub(crate) fn try_connect(address: SocketAddr, config: Arc<ClientConfig>) -> io::Result<Self> {
        let mut tcp = TcpStream::connect_timeout(&address, PATIENCE)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").expect("it is a name");
        let mut tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        Ok(Self {
            stream: BufReader::new(StreamOwned::new(tls, tcp)),
        })
    }

    /// Sends a request and reads its response.
    #[track_caller]
    pub(crate) fn call(&mut self, request: &Request) -> Response {
        self.send(request.bytes());
        self.read(request.is_head())
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream
            .get_mut()
            .write_all(bytes.as_ref())
            .unwrap_or_else(|error| panic!("sending: {error}"));
    }

    #[track_caller]
    pub(crate) fn read(&mut self, is_head: bool) -> Response {
        Response::read(&mut self.stream, is_head)
            .unwrap_or_else(|error| panic!("reading a response: {error}"))
            .expect("the connection was closed without a response")
    }

    /// Everything up to the end, which is an error unless the other side announced it.
    pub(crate) fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// What the server showed.
    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        let shown = self.stream.get_ref().conn.peer_certificates();
        shown.expect("a server shows its certificate")[0]
            .clone()
            .into_owned()
    }
}
