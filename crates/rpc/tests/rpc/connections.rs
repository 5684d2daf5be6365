//! Connections in memory and a WebSocket on one, so that a test may hold the clock.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bastide_rpc::HttpEntry;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::credentials;

/// How many bytes fit into a connection in memory, each way.
pub(crate) const ROOM: usize = 16 << 10;

/// A connection to this entry.
pub(crate) fn connect(entry: HttpEntry) -> DuplexStream {
    let (near, far) = tokio::io::duplex(ROOM);
    let entry = Arc::new(entry);
    let service = service_fn(move |request| {
        let entry = entry.clone();
        let peer = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        async move { Ok::<_, std::convert::Infallible>(entry.answer(request, peer).await) }
    });
    let connection = http1::Builder::new()
        .serve_connection(TokioIo::new(far), service)
        .with_upgrades();
    tokio::spawn(connection);
    near
}

/// A client's end of a WebSocket.
pub(crate) struct Client<C = DuplexStream>(pub(crate) WebSocketStream<C>);

impl Client {
    /// On a connection in memory.
    pub(crate) async fn open(entry: HttpEntry, token: Option<&str>) -> Self {
        Self::over(connect(entry), token).await
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> Client<C> {
    pub(crate) async fn over(connection: C, token: Option<&str>) -> Self {
        Self::from(connection, token, &[]).await
    }

    /// With more fields in the request that opens it.
    pub(crate) async fn from(
        connection: C,
        token: Option<&str>,
        fields: &[(&'static str, &str)],
    ) -> Self {
        let mut request = "ws://x/ws".into_client_request().unwrap();
        for (name, value) in credentials(token) {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        for (name, value) in fields {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (socket, agreed) = client_async(request, connection).await.unwrap();
        assert_eq!(agreed.status(), 101);
        assert_eq!(agreed.headers()["x-request-id"].len(), 32);
        Self(socket)
    }

    pub(crate) async fn say(&mut self, frame: Value) {
        self.0.send(Message::text(frame.to_string())).await.unwrap();
    }

    pub(crate) async fn call(&mut self, id: u32, method: &str, input: Value) {
        self.say(json!({"id": id, "call": method, "input": input}))
            .await;
    }

    /// The next frame that says something.
    pub(crate) async fn hear(&mut self) -> Value {
        loop {
            match self.0.next().await.unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The code with which the other side closes, after frames that may still come. `None`: it does so without a word.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                Some(Ok(_)) => {}
                None | Some(Err(Error::Io(_) | Error::Protocol(_))) => return None,
                Some(Err(error)) => panic!("{error}"),
            }
        }
    }
}

/// The id, status and code of a last frame.
pub(crate) fn verdict(frame: &Value) -> (Option<u64>, u64, &str) {
    (
        frame["id"].as_u64(),
        frame["status"].as_u64().unwrap_or_default(),
        frame["problem"]["code"].as_str().unwrap_or_default(),
    )
}
