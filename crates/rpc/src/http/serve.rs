//! Sockets: TCP for callers from anywhere, Unix sockets for siblings on this machine.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::HttpEntry;
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
    stop: watch::Sender<bool>,
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

/// Accepting fails for a while when descriptors are used up; asking again at once would keep a core busy.
const PAUSE: Duration = Duration::from_millis(20);

impl Server {
    /// Serves this entry; nothing listens yet.
    pub fn new(entry: HttpEntry) -> Self {
        Self {
            entry: Arc::new(entry),
            stop: watch::Sender::new(false),
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
        self.stop.send_replace(true);
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
        let mut stopped = self.stop.subscribe();
        let entry = self.entry.clone();
        self.listeners.push(tokio::spawn(async move {
            let connections = GracefulShutdown::new();
            let builder = builder(&entry);
            let patience = entry.options.write_timeout;
            let draining = &entry.draining;
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    _ = stopped.wait_for(|stopped| *stopped) => return connections,
                };
                let (stream, peer) = match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::warn!(%error, "a connection was not accepted");
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                };
                let entry = entry.clone();
                let service = service_fn(move |request| {
                    let entry = entry.clone();
                    async move { Ok::<_, std::convert::Infallible>(entry.answer(request, peer).await) }
                });
                let connection = builder.serve_connection_with_upgrades(TokioIo::new(Stalling::new(stream, patience)), service).into_owned();
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
