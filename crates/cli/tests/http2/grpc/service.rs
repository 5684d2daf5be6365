//! A gRPC service and its client, written by hand so that building them needs no compiler of protocol buffers.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::uri::PathAndQuery;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio_stream::{Stream, StreamExt as _};
use tonic::body::Body;
use tonic::client::Grpc as ClientGrpc;
use tonic::metadata::MetadataValue;
use tonic::server::Grpc as ServerGrpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::server::Server;

/// The one message there is.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Echo {
    #[prost(string, tag = "1")]
    pub(super) text: String,
}

impl Echo {
    pub(super) fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
        }
    }
}

type Echoes = Pin<Box<dyn Stream<Item = Result<Echo, Status>> + Send>>;

/// It ends when dropped.
pub(super) struct EchoServer {
    server: Server,
    books: Arc<Books>,
}

#[derive(Default)]
struct Books {
    connections: AtomicUsize,
    /// Calls that will never be answered.
    waiting: AtomicUsize,
    timeouts: Mutex<Vec<String>>,
}

impl EchoServer {
    pub(super) fn start() -> Self {
        let books = Arc::new(Books::default());
        let shared = Arc::clone(&books);
        let server = Server::start(|listener| async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let service = EchoService {
                    books: Arc::clone(&shared),
                };
                let service =
                    hyper::service::service_fn(move |request| service.clone().serve(request));
                let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(serving);
            }
        });
        Self { server, books }
    }

    pub(super) fn url(&self) -> String {
        self.server.url()
    }

    pub(super) fn connections(&self) -> usize {
        self.books.connections.load(Ordering::SeqCst)
    }

    /// How many calls wait for an answer that does not come.
    pub(super) fn waiting(&self) -> usize {
        self.books.waiting.load(Ordering::SeqCst)
    }

    /// Every `grpc-timeout` so far.
    pub(super) fn timeouts(&self) -> Vec<String> {
        self.books
            .timeouts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[derive(Clone)]
struct EchoService {
    books: Arc<Books>,
}

/// Each method of it, as the library wants to be given one.
macro_rules! method {
    ($name:ident: $request:ty => $response:ty, $function:ident) => {
        struct $name(EchoService);

        impl tower_service::Service<Request<$request>> for $name {
            type Response = Response<$response>;
            type Error = Status;
            type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
                Poll::Ready(Ok(()))
            }

            fn call(&mut self, request: Request<$request>) -> Self::Future {
                let service = self.0.clone();
                Box::pin(async move { service.$function(request).await })
            }
        }
    };
}

method!(Unary: Echo => Echo, unary);
method!(ServerStream: Echo => Echoes, server_stream);
method!(ClientStream: Streaming<Echo> => Echo, client_stream);
method!(Both: Streaming<Echo> => Echoes, both);

impl EchoService {
    async fn serve(
        self,
        request: http::Request<hyper::body::Incoming>,
    ) -> Result<http::Response<Body>, Infallible> {
        if let Some(timeout) = request.headers().get("grpc-timeout") {
            let text = String::from_utf8_lossy(timeout.as_bytes()).into_owned();
            self.books
                .timeouts
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(text);
        }
        let mut grpc = ServerGrpc::new(ProstCodec::<Echo, Echo>::default())
            .max_decoding_message_size(16 << 20);
        let path = request.uri().path().to_owned();
        Ok(match path.as_str() {
            "/test.Echo/Unary" => grpc.unary(Unary(self), request).await,
            "/test.Echo/ServerStream" => grpc.server_streaming(ServerStream(self), request).await,
            "/test.Echo/ClientStream" => grpc.client_streaming(ClientStream(self), request).await,
            "/test.Echo/Both" => grpc.streaming(Both(self), request).await,
            _ => Status::unimplemented("no such method").into_http(),
        })
    }

    async fn unary(self, request: Request<Echo>) -> Result<Response<Echo>, Status> {
        let text = request.get_ref().text.clone();
        self.obey(&text).await?;
        let mut answer = Response::new(Echo { text });
        for name in ["x-text", "x-raw-bin", "x-tenant-id", "x-api-key"] {
            let seen = match name {
                "x-tenant-id" => "seen-tenant",
                "x-api-key" => "seen-key",
                same => same,
            };
            let headers = request.metadata().clone().into_headers();
            if let Some(value) = headers.get(name) {
                let mut back = answer.metadata().clone().into_headers();
                back.insert(seen, value.clone());
                *answer.metadata_mut() = tonic::metadata::MetadataMap::from_headers(back);
            }
        }
        Ok(answer)
    }

    #[expect(clippy::unused_async, reason = "all methods have one form")]
    async fn server_stream(self, request: Request<Echo>) -> Result<Response<Echoes>, Status> {
        let words: Vec<String> = request
            .get_ref()
            .text
            .split(' ')
            .map(str::to_owned)
            .collect();
        let words = tokio_stream::iter(words).then(move |word| {
            let this = self.clone();
            async move {
                this.obey(&word).await?;
                Ok(Echo { text: word })
            }
        });
        Ok(Response::new(Box::pin(words)))
    }

    async fn client_stream(
        self,
        request: Request<Streaming<Echo>>,
    ) -> Result<Response<Echo>, Status> {
        let mut messages = request.into_inner();
        let mut texts = Vec::new();
        while let Some(message) = messages.message().await? {
            texts.push(message.text);
        }
        Ok(Response::new(Echo {
            text: texts.join(" "),
        }))
    }

    #[expect(clippy::unused_async, reason = "all methods have one form")]
    async fn both(self, request: Request<Streaming<Echo>>) -> Result<Response<Echoes>, Status> {
        Ok(Response::new(Box::pin(request.into_inner())))
    }

    /// Does what some words say.
    async fn obey(&self, word: &str) -> Result<(), Status> {
        struct Waiting<'a>(&'a AtomicUsize);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        match word {
            "fail" => {
                let details = Bytes::from_static(b"\0\x01details");
                let mut status =
                    Status::with_details(Code::FailedPrecondition, "as told: \u{fc}", details);
                status
                    .metadata_mut()
                    .insert("x-why", MetadataValue::from_static("because"));
                Err(status)
            }
            "hang" => {
                self.books.waiting.fetch_add(1, Ordering::SeqCst);
                let _waiting = Waiting(&self.books.waiting);
                std::future::pending().await
            }
            _ => Ok(()),
        }
    }
}

/// A client of it through a gateway. Copies share its connection.
#[derive(Clone)]
pub(super) struct EchoClient {
    grpc: ClientGrpc<Channel>,
    key: String,
}

impl EchoClient {
    pub(super) async fn connect(gateway: SocketAddr, key: &str) -> Self {
        let endpoint =
            Endpoint::from_shared(format!("http://{gateway}")).expect("an address makes a URL");
        let channel = endpoint.connect().await.expect("the gateway listens");
        Self {
            grpc: ClientGrpc::new(channel).max_decoding_message_size(16 << 20),
            key: key.to_owned(),
        }
    }

    fn sign<T>(&self, mut request: Request<T>) -> Request<T> {
        if !self.key.is_empty() {
            request
                .metadata_mut()
                .insert("x-api-key", self.key.parse().expect("a key is ASCII"));
        }
        request
    }

    async fn ready(&mut self) -> Result<(), Status> {
        self.grpc
            .ready()
            .await
            .map_err(|error| Status::unknown(error.to_string()))
    }

    pub(super) async fn unary(&mut self, text: &str) -> Result<Response<Echo>, Status> {
        self.unary_with(Request::new(Echo::new(text))).await
    }

    pub(super) async fn unary_with(
        &mut self,
        request: Request<Echo>,
    ) -> Result<Response<Echo>, Status> {
        self.ready().await?;
        let request = self.sign(request);
        self.grpc
            .unary(request, path("Unary"), ProstCodec::default())
            .await
    }

    pub(super) async fn call_unknown(&mut self) -> Result<Response<Echo>, Status> {
        self.ready().await?;
        let request = self.sign(Request::new(Echo::new("")));
        self.grpc
            .unary(request, path("Unknown"), ProstCodec::default())
            .await
    }

    pub(super) async fn server_stream(
        &mut self,
        text: &str,
    ) -> Result<Response<Streaming<Echo>>, Status> {
        self.ready().await?;
        let request = self.sign(Request::new(Echo::new(text)));
        self.grpc
            .server_streaming(request, path("ServerStream"), ProstCodec::default())
            .await
    }

    pub(super) async fn client_stream(
        &mut self,
        messages: impl Stream<Item = Echo> + Send + 'static,
    ) -> Result<Response<Echo>, Status> {
        self.ready().await?;
        let request = self.sign(Request::new(messages));
        self.grpc
            .client_streaming(request, path("ClientStream"), ProstCodec::default())
            .await
    }

    pub(super) async fn both(
        &mut self,
        messages: impl Stream<Item = Echo> + Send + 'static,
    ) -> Result<Response<Streaming<Echo>>, Status> {
        self.ready().await?;
        let request = self.sign(Request::new(messages));
        self.grpc
            .streaming(request, path("Both"), ProstCodec::default())
            .await
    }
}

fn path(method: &str) -> PathAndQuery {
    format!("/test.Echo/{method}")
        .parse()
        .expect("a name makes a path")
}
