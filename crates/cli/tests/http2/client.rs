//! A client that speaks HTTP/2 with prior knowledge.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::request::Builder as RequestBuilder;
use http::{HeaderMap, Request};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::harness::Response;

/// Longer than any test takes that does not hang.
const PATIENCE: Duration = Duration::from_mins(2);

/// Runs a test's futures. What they spawn goes on while the test itself blocks.
pub(crate) fn run<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("the operating system gives a test its event queue");
    let result = runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await });
    runtime.shutdown_background();
    result.expect("the test comes to its end")
}

/// One connection. Copies share it.
#[derive(Clone)]
pub(crate) struct Http2 {
    sender: SendRequest<Bytes>,
    /// How the connection ended, once it has.
    ended: watch::Receiver<Option<Result<(), String>>>,
    /// Scheme and authority.
    origin: String,
}

impl Http2 {
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> impl Future<Output = Self> {
        Self::connect_with(address, |_| {})
    }

    /// As [`Http2::connect`] with settings of its own.
    pub(crate) async fn connect_with(
        address: SocketAddr,
        settings: impl FnOnce(&mut Builder),
    ) -> Self {
        let stream = TcpStream::connect(address)
            .await
            .expect("the gateway listens");
        stream.set_nodelay(true).expect("a socket can be set");
        Self::over(stream, &format!("http://{address}"), settings).await
    }

    /// On a connection that is there.
    pub(crate) async fn over(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        origin: &str,
        settings: impl FnOnce(&mut Builder),
    ) -> Self {
        let mut builder = Builder::new();
        settings(builder.enable_push(false));
        let (sender, connection) = builder
            .handshake(stream)
            .await
            .expect("the gateway speaks HTTP/2");
        let (end, ended) = watch::channel(None);
        tokio::spawn(async move {
            let result = connection.await.map_err(|error| error.to_string());
            end.send(Some(result)).ok();
        });
        Self {
            sender,
            ended,
            origin: origin.to_owned(),
        }
    }

    /// The beginning of a request to this path.
    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.origin))
    }

    /// Sends a request whose body follows, unless `ends`.
    pub(crate) async fn open(
        &self,
        request: RequestBuilder,
        ends: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let request = request.body(()).expect("a request that can be sent");
        self.sender
            .clone()
            .ready()
            .await?
            .send_request(request, ends)
    }

    /// One request with a body and its whole response.
    pub(crate) async fn try_call(
        &self,
        request: RequestBuilder,
        body: impl Into<Bytes>,
    ) -> Result<Response, h2::Error> {
        let body = body.into();
        let (response, mut stream) = self.open(request, body.is_empty()).await?;
        if !body.is_empty() {
            // A refusal may come before all of it is out.
            send(&mut stream, body, true).await.ok();
        }
        read(response).await
    }

    pub(crate) async fn call(&self, request: RequestBuilder, body: impl Into<Bytes>) -> Response {
        self.try_call(request, body)
            .await
            .unwrap_or_else(|error| panic!("no response: {error}"))
    }

    /// GET with a tenant's key.
    pub(crate) async fn get(&self, path: &str, key: &str) -> Response {
        self.call(self.request("GET", path).header("x-api-key", key), "")
            .await
    }

    /// Waits for the connection's end: what went wrong, if anything did.
    pub(crate) async fn ended(&self) -> Result<(), String> {
        let mut ended = self.ended.clone();
        let end = ended.wait_for(Option::is_some).await;
        end.expect("the connection's task has its say")
            .clone()
            .expect("it was waited for")
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }
}

/// Sends all of a body's piece as the other side permits it.
pub(crate) async fn send(
    stream: &mut SendStream<Bytes>,
    mut data: Bytes,
    ends: bool,
) -> Result<(), h2::Error> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        while stream.capacity() == 0 {
            match poll_fn(|cx| stream.poll_capacity(cx)).await {
                Some(permitted) => drop(permitted?),
                None => return Err(h2::Reason::CANCEL.into()),
            }
        }
        let piece = data.split_to(stream.capacity().min(data.len()));
        stream.send_data(piece, ends && data.is_empty())?;
    }
    Ok(())
}

/// Reads a whole response.
pub(crate) async fn read(response: ResponseFuture) -> Result<Response, h2::Error> {
    let (parts, body) = response.await?.into_parts();
    let (body, trailers) = read_body(body).await?;
    Ok(Response {
        version: "HTTP/2".to_owned(),
        status: parts.status.as_u16(),
        headers: fields(&parts.headers),
        body,
        trailers: fields(&trailers),
        until_close: false,
    })
}

/// Reads a whole body and its trailers.
pub(crate) async fn read_body(mut body: RecvStream) -> Result<(Vec<u8>, HeaderMap), h2::Error> {
    let mut whole = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        whole.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len())?;
    }
    Ok((whole, body.trailers().await?.unwrap_or_default()))
}

/// Names and values in order. Values that are not UTF-8 are read as Latin-1.
pub(crate) fn fields(map: &HeaderMap) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| {
        String::from_utf8(bytes.to_vec())
            .unwrap_or_else(|_| bytes.iter().map(|&byte| char::from(byte)).collect())
    };
    map.iter()
        .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
        .collect()
}
