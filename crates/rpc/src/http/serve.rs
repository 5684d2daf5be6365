//! Sockets: TCP for callers from anywhere, Unix sockets for siblings on this machine.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, Version, header};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::HttpEntry;
use super::opening::Opening;
use super::stall::Stalling;

/// A socket could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct ServeError {
    address: String,
    source: io::Error,
}

/// Listens and serves until it is drained.
#[derive(Debug)]
pub struct Server {
    entry: Arc<HttpEntry>,
    stage: watch::Sender<Stage>,
    listeners: Vec<JoinHandle<GracefulShutdown>>,
}

/// What was left when the time for draining was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// Nothing: every request was answered.
    Complete,
    /// Requests that were cut off.
    CutOff,
}

/// Listeners and connections hold a receiver each, so that it is known when all are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Serving,
    /// Nothing is accepted, and every answer asks its client to connect anew.
    Leaving,
    Draining,
}

/// Accepting fails for a while when descriptors are used up; asking again at once would keep a core busy.
const PAUSE: Duration = Duration::from_millis(20);

impl Server {
    /// Serves this entry, which others may share; nothing listens yet.
    pub fn new(entry: impl Into<Arc<HttpEntry>>) -> Self {
        Self {
            entry: entry.into(),
            stage: watch::Sender::new(Stage::Serving),
            listeners: Vec::new(),
        }
    }

    /// Listens on a TCP address; with port 0 on a free one. Gives the address.
    pub async fn listen(&mut self, address: SocketAddr) -> Result<SocketAddr, ServeError> {
        let failed = |source| ServeError {
            address: address.to_string(),
            source,
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        self.serve(listener);
        Ok(bound)
    }

    /// Serves on a socket that listens already, such as one that another process has handed over.
    pub fn listen_on(&mut self, socket: std::net::TcpListener) -> Result<(), ServeError> {
        let address = socket.local_addr();
        let address = address.map_or("a socket".to_owned(), |address| address.to_string());
        let failed = |source| ServeError { address, source };
        let listening = socket.set_nonblocking(true);
        let listener = listening.and_then(|()| TcpListener::from_std(socket));
        self.serve(listener.map_err(failed)?);
        Ok(())
    }

    /// Leaves new connections to whoever else holds the sockets: accepts no more, and tells each client with the next answer to
    /// close. A connection that is closed while its client writes is a lost request, so idle ones are kept for that one request.
    /// Returns when all are gone; give it a time of its own, and [`drain`](Server::drain) after that.
    pub async fn leave(&self) {
        self.stage.send_replace(Stage::Leaving);
        self.stage.closed().await;
    }

    /// Listens on a Unix socket. One that nobody listens on any more is replaced.
    pub fn listen_unix(&mut self, path: &Path) -> Result<(), ServeError> {
        let path: PathBuf = path.into();
        let failed = |source| ServeError {
            address: path.display().to_string(),
            source,
        };
        if std::os::unix::net::UnixStream::connect(&path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
        {
            std::fs::remove_file(&path).map_err(failed)?;
        }
        let listener = UnixListener::bind(&path).map_err(failed)?;
        self.serve(listener);
        Ok(())
    }

    /// Accepts no more, lets the calls under way finish, and returns when all have or this time has passed. Streams end with
    /// the problem `draining`, so that their callers begin them elsewhere; a WebSocket is closed when its last call is
    /// answered. When the time has passed all connections are cut off, and the code behind their calls is dropped.
    pub async fn drain(mut self, limit: Duration) -> Drain {
        self.stage.send_replace(Stage::Draining);
        self.entry.draining.begin();
        let all = async {
            for listener in std::mem::take(&mut self.listeners) {
                if let Ok(connections) = listener.await {
                    connections.shutdown().await;
                }
            }
            self.entry.draining.finished().await;
        };
        if tokio::time::timeout(limit, all).await.is_ok() {
            return Drain::Complete;
        }
        self.entry.draining.cut();
        Drain::CutOff
    }

    fn serve(&mut self, listener: impl Accept) {
        let mut stage = self.stage.subscribe();
        let entry = self.entry.clone();
        self.listeners.push(tokio::spawn(async move {
            let connections = GracefulShutdown::new();
            let builder = builder(&entry);
            let patience = entry.options.write_timeout;
            let draining = &entry.draining;
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    _ = stage.wait_for(|stage| *stage > Stage::Serving) => return connections,
                };
                let (stream, peer) = match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::warn!(%error, "a connection was not accepted");
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                };
                let options = &entry.options;
                let opening = Opening::new(options.header_timeout, options.http2);
                let (entry, stage) = (entry.clone(), stage.clone());
                let service = service_fn(move |request: Request<_>| {
                    let (entry, stage) = (entry.clone(), stage.clone());
                    async move {
                        let version = request.version();
                        let mut response = entry.answer(request, peer).await;
                        if *stage.borrow() > Stage::Serving && version <= Version::HTTP_11 {
                            let close = HeaderValue::from_static("close");
                            let fields = response.headers_mut();
                            // A connection that becomes a WebSocket says so there.
                            fields.entry(header::CONNECTION).or_insert(close);
                        }
                        Ok::<_, std::convert::Infallible>(response)
                    }
                });
                let connection = builder
                    .serve_connection_with_upgrades(
                        TokioIo::new(Stalling::new(stream, opening, patience)),
                        service,
                    )
                    .into_owned();
                let connection = connections.watch(connection);
                let mut notice = draining.notice();
                tokio::spawn(async move {
                    tokio::select! {
                        biased;
                        ended = connection => if let Err(error) = ended {
                            tracing::debug!(error, "a connection ended with an error");
                        },
                        () = notice.cut() => {}
                    }
                });
            }
        }));
    }
}

/// A socket that gives connections, and from which address each came, if from one.
trait Accept: Send + Sync + 'static {
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Option<IpAddr>)>> + Send;
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, Option<IpAddr>)> {
        let (stream, peer) = Self::accept(self).await?;
        stream.set_nodelay(true)?;
        Ok((stream, Some(peer.ip())))
    }
}

impl Accept for UnixListener {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, Option<IpAddr>)> {
        Ok((Self::accept(self).await?.0, None))
    }
}

fn builder(entry: &HttpEntry) -> Builder<TokioExecutor> {
    let options = &entry.options;
    let mut builder = Builder::new(TokioExecutor::new());
    // hyper waits for a head from the end of the answer before: the shorter of the two ends an idle connection too.
    let header_timeout = options.header_timeout.min(options.keep_alive_timeout);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(options.keep_alive_timeout)
        .max_concurrent_streams(256);
    builder
}
