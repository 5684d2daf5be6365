//! Bytes from one kind of socket to another, so that plain clients and plain upstreams can be used behind TLS and Unix sockets.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{Authority, Certificate};

/// Relays connections until it is dropped; then they are cut, too.
pub(crate) struct Relay {
    /// Where it listens, if that is not a Unix socket.
    address: Option<SocketAddr>,
    accepted: Arc<AtomicUsize>,
    _stop: oneshot::Sender<()>,
}

enum Door {
    Tcp(TcpListener),
    Tls(TcpListener, TlsAcceptor),
    Unix(UnixListener),
}

/// Where to, and whether by TLS.
#[derive(Clone)]
struct Way {
    address: SocketAddr,
    tls: Option<TlsConnector>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

impl Relay {
    /// TLS comes in, plain bytes go on: an upstream's `https` side.
    pub(crate) fn from_tls(to: SocketAddr, certificate: &Certificate) -> Self {
        Self::from_tls_offering(to, certificate, &[])
    }

    /// As [`Relay::from_tls`], for an upstream that speaks these protocols (ALPN).
    pub(crate) fn from_tls_offering(
        to: SocketAddr,
        certificate: &Certificate,
        protocols: &[&[u8]],
    ) -> Self {
        let acceptor = TlsAcceptor::from(certificate.server_offering(protocols));
        let (listener, address) = listen();
        let way = Way {
            address: to,
            tls: None,
        };
        Self::start(
            Some(address),
            move || Ok(Door::Tls(TcpListener::from_std(listener)?, acceptor)),
            way,
        )
    }

    /// Plain bytes come in, TLS goes on, to a server whose certificate is for `localhost`.
    pub(crate) fn into_tls(to: SocketAddr, authority: &Authority) -> Self {
        let tls = Some(TlsConnector::from(authority.client_config()));
        let (listener, address) = listen();
        let way = Way { address: to, tls };
        Self::start(
            Some(address),
            move || Ok(Door::Tcp(TcpListener::from_std(listener)?)),
            way,
        )
    }

    /// Comes in by a Unix socket, goes on by TCP.
    pub(crate) fn from_unix(path: &Path, to: SocketAddr) -> Self {
        let listener = StdUnixListener::bind(path).expect("nobody else has a socket there");
        listener
            .set_nonblocking(true)
            .expect("a socket can be told so");
        let way = Way {
            address: to,
            tls: None,
        };
        Self::start(
            None,
            move || Ok(Door::Unix(UnixListener::from_std(listener)?)),
            way,
        )
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address.expect("it listens on TCP")
    }

    /// How many connections it has taken so far.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    fn start(
        address: Option<SocketAddr>,
        door: impl FnOnce() -> io::Result<Door> + Send + 'static,
        way: Way,
    ) -> Self {
        let (stop, stopped) = oneshot::channel();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("the operating system gives an event queue");
            runtime.block_on(async {
                let door = door().expect("the socket can be watched");
                tokio::select! {
                    () = accept(&door, &way, &count) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            address,
            accepted,
            _stop: stop,
        }
    }
}

fn listen() -> (std::net::TcpListener, SocketAddr) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener
        .set_nonblocking(true)
        .expect("a socket can be told so");
    let address = listener
        .local_addr()
        .expect("a bound socket has an address");
    (listener, address)
}

async fn accept(door: &Door, way: &Way, count: &AtomicUsize) {
    loop {
        let way = way.clone();
        match door {
            Door::Tcp(listener) => {
                let Ok((stream, _)) = listener.accept().await else {
                    continue;
                };
                tokio::spawn(relay(stream, way));
            }
            Door::Tls(listener, acceptor) => {
                let Ok((stream, _)) = listener.accept().await else {
                    continue;
                };
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let stream = acceptor.accept(stream).await?;
                    relay(stream, way).await
                });
            }
            Door::Unix(listener) => {
                let Ok((stream, _)) = listener.accept().await else {
                    continue;
                };
                tokio::spawn(relay(stream, way));
            }
        }
        count.fetch_add(1, Ordering::SeqCst);
    }
}

/// Relays until both sides have ended. A side that breaks shows as a reset on the plain one behind.
async fn relay(mut from: impl Stream, way: Way) -> io::Result<()> {
    let to = TcpStream::connect(way.address).await?;
    to.set_nodelay(true)?;
    if let Some(connector) = way.tls {
        let name = ServerName::try_from("localhost").expect("it is a name");
        let mut to = connector.connect(name, to).await?;
        copy_bidirectional(&mut from, &mut to).await?;
        return Ok(());
    }
    let mut to = to;
    let copied = copy_bidirectional(&mut from, &mut to).await;
    if copied.is_err() {
        to.set_zero_linger()?;
    }
    Ok(())
}
