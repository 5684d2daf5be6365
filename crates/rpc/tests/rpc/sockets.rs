//! A client for what must be seen over a real socket.

use std::net::SocketAddr;

use bastide_rpc::{HttpEntry, Server};
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// What came back, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The status and, of a problem, its code.
    pub(crate) fn verdict(&self) -> (u16, String) {
        let code = self.json()["code"].as_str().unwrap_or_default().to_owned();
        (self.status, code)
    }
}

/// Serves this on a free port.
pub(crate) async fn serve(entry: HttpEntry) -> (Server, SocketAddr) {
    let mut server = Server::new(entry);
    let address = server.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    (server, address)
}

/// Sends a request over a connection of its own, and gives the response as it begins.
pub(crate) async fn begin<B>(address: SocketAddr, request: Request<B>) -> http::Response<Incoming>
where
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    try_begin(address, request).await.unwrap()
}

/// The same where the connection may end before the response begins.
pub(crate) async fn try_begin<B>(
    address: SocketAddr,
    request: Request<B>,
) -> hyper::Result<http::Response<Incoming>>
where
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let stream = TcpStream::connect(address).await.unwrap();
    begin_over(stream, request).await
}

async fn begin_over<C, B>(
    connection: C,
    mut request: Request<B>,
) -> hyper::Result<http::Response<Incoming>>
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(connection)).await.unwrap();
    tokio::spawn(connection);
    request
        .headers_mut()
        .insert("host", "example.test".parse().unwrap());
    sender.send_request(request).await
}

/// Sends a request over a connection of its own, and gives the response once it is whole.
pub(crate) async fn send<B>(address: SocketAddr, request: Request<B>) -> Answer
where
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    whole(begin(address, request).await).await
}

/// The same over this connection.
pub(crate) async fn send_over<C>(connection: C, request: Request<Full<Bytes>>) -> Answer
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    whole(begin_over(connection, request).await.unwrap()).await
}

async fn whole(response: http::Response<Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    Answer {
        status: parts.status.as_u16(),
        fields: parts.headers,
        body: body.collect().await.unwrap().to_bytes(),
    }
}

/// A request with these fields.
pub(crate) fn with(
    verb: &str,
    path: &str,
    fields: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(verb).uri(path);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(Full::new(body.into())).unwrap()
}
