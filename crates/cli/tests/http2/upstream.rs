//! An upstream that speaks HTTP/2 with prior knowledge and does as it is told.

use std::collections::HashSet;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::Response;
use http::request::Parts;
use tokio::net::TcpStream;
use tokio::sync::broadcast;

use crate::client::fields;
use crate::harness::Received;
use crate::server::Server;

type Handler = dyn Fn(Exchange) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

/// It ends when dropped.
pub(crate) struct Http2Upstream {
    server: Server,
    shared: Arc<Shared>,
    commands: broadcast::Sender<Command>,
}

#[derive(Default)]
struct Shared {
    received: Mutex<Vec<Received>>,
    connections: AtomicUsize,
    /// The numbers of those that are open.
    open: Mutex<HashSet<usize>>,
    /// Requests whose handlers run.
    in_flight: AtomicUsize,
}

/// What every open connection is told.
#[derive(Debug, Clone, Copy)]
enum Command {
    GoAway,
    Kill,
}

/// One request and the way to answer it.
pub(crate) struct Exchange {
    pub(crate) parts: Parts,
    pub(crate) body: RecvStream,
    pub(crate) respond: SendResponse<Bytes>,
    /// Counts the upstream's connections from 0.
    pub(crate) connection: usize,
    shared: Arc<Shared>,
}

impl Http2Upstream {
    /// Each request is a task of its own, done by `handler`.
    pub(crate) fn start<F>(handler: impl Fn(Exchange) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::with(|_| {}, handler)
    }

    /// As [`Http2Upstream::start`] with settings of its own.
    pub(crate) fn with<F>(
        settings: impl Fn(&mut Builder) + Send + Sync + 'static,
        handler: impl Fn(Exchange) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let shared = Arc::new(Shared::default());
        let (commands, _) = broadcast::channel(16);
        let handler: Arc<Handler> = Arc::new(move |exchange| Box::pin(handler(exchange)));
        let (books, orders) = (Arc::clone(&shared), commands.clone());
        let server = Server::start(|listener| async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).ok();
                let mut builder = Builder::new();
                settings(&mut builder);
                let number = books.connections.fetch_add(1, Ordering::SeqCst);
                lock(&books.open).insert(number);
                let (books, orders) = (Arc::clone(&books), orders.subscribe());
                let handler = Arc::clone(&handler);
                tokio::spawn(async move {
                    serve(stream, builder, number, &books, &handler, orders).await;
                    lock(&books.open).remove(&number);
                });
            }
        });
        Self {
            server,
            shared,
            commands,
        }
    }

    /// Answers 200 with `METHOD path?query`, to everything.
    pub(crate) fn echo() -> Self {
        Self::start(async |mut exchange: Exchange| {
            let request = exchange.receive().await;
            exchange.answer(200, &format!("{} {}", request.method, request.target));
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address
    }

    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// Every request that was received whole so far.
    pub(crate) fn requests(&self) -> Vec<Received> {
        lock(&self.shared.received).clone()
    }

    /// The only request so far; fails if there were none or more.
    #[track_caller]
    pub(crate) fn only(&self) -> Received {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.remove(0)
    }

    /// How many connections were opened so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many of them are open now.
    pub(crate) fn open(&self) -> usize {
        lock(&self.shared.open).len()
    }

    /// How many requests are being answered now.
    pub(crate) fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Ordering::SeqCst)
    }

    /// Tells every open connection to take no further requests.
    pub(crate) fn go_away(&self) {
        self.commands.send(Command::GoAway).ok();
    }

    /// Closes every open connection without a word.
    pub(crate) fn kill_connections(&self) {
        self.commands.send(Command::Kill).ok();
    }
}

async fn serve(
    stream: TcpStream,
    builder: Builder,
    number: usize,
    shared: &Arc<Shared>,
    handler: &Arc<Handler>,
    mut commands: broadcast::Receiver<Command>,
) {
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else {
        return;
    };
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                Ok(Command::GoAway) => connection.graceful_shutdown(),
                Ok(Command::Kill) | Err(_) => return,
            },
            accepted = connection.accept() => {
                let Some(Ok((request, respond))) = accepted else {
                    return;
                };
                let (parts, body) = request.into_parts();
                let shared = Arc::clone(shared);
                shared.in_flight.fetch_add(1, Ordering::SeqCst);
                let exchange = Exchange { parts, body, respond, connection: number, shared: Arc::clone(&shared) };
                let done = handler(exchange);
                tokio::spawn(async move {
                    done.await;
                    shared.in_flight.fetch_sub(1, Ordering::SeqCst);
                });
            }
        }
    }
}

impl Exchange {
    /// Path and query as they stood in `:path`.
    pub(crate) fn target(&self) -> &str {
        self.parts
            .uri
            .path_and_query()
            .map_or("", |path| path.as_str())
    }

    /// Reads the whole request and notes it. One that breaks off is noted without its body.
    pub(crate) async fn receive(&mut self) -> Received {
        let body = std::future::poll_fn(|cx| self.body.poll_data(cx));
        let mut whole = Vec::new();
        let mut next = body.await;
        while let Some(Ok(data)) = next {
            whole.extend_from_slice(&data);
            self.body.flow_control().release_capacity(data.len()).ok();
            next = self.body.data().await;
        }
        let trailers = self
            .body
            .trailers()
            .await
            .ok()
            .flatten()
            .unwrap_or_default();
        let received = Received {
            method: self.parts.method.to_string(),
            target: self.target().to_owned(),
            version: "HTTP/2".to_owned(),
            headers: fields(&self.parts.headers),
            body: whole,
            trailers: fields(&trailers),
            connection: self.connection,
        };
        lock(&self.shared.received).push(received.clone());
        received
    }

    /// Answers with a text.
    pub(crate) fn answer(&mut self, status: u16, body: &str) {
        let response = Response::builder().status(status);
        let response = response.header("content-length", body.len());
        let ends = body.is_empty();
        // Whoever cancelled does not hear it.
        if let Ok(mut stream) = self.respond.send_response(response.body(()).unwrap(), ends)
            && !ends
        {
            stream
                .send_data(Bytes::copy_from_slice(body.as_bytes()), true)
                .ok();
        }
    }

    /// Begins a response whose body follows.
    pub(crate) fn begin(&mut self, response: http::response::Builder) -> SendStream<Bytes> {
        self.respond
            .send_response(response.body(()).unwrap(), false)
            .expect("the request is still wanted")
    }

    /// Ends the request with `RST_STREAM`.
    pub(crate) fn reset(&mut self, reason: Reason) {
        self.respond.send_reset(reason);
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
