//! Whether a connection leads to the server itself, or to a pooler that may give each transaction another one.
//!
//! The server tells a client the process that serves it, so that statements can be cancelled. A pooler tells something of its
//! own, as it does not know yet which process that will be. So the two are compared: what was told, and what the server says
//! when it is asked. What was told is known to the driver alone; it writes it into a request to cancel, which is made here
//! and sent to nobody.

use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf,
};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_postgres::{Client, Error};

/// More than a request for TLS and one to cancel.
const ENOUGH: usize = 64;
/// The answer to a request for TLS: yes.
const TLS_GRANTED: u8 = b'S';
/// The end of a request to cancel: the process and its secret, of four bytes each.
const PROCESS_AND_SECRET: usize = 8;

pub(super) async fn is_direct(client: &Client) -> Result<bool, Error> {
    let rows = client.query_typed("SELECT pg_backend_pid()", &[]).await?;
    let asked: Option<i32> = rows.first().and_then(|row| row.try_get(0).ok());
    let told = told(client).await;
    Ok(told.is_some() && asked == told)
}

/// `None` where the driver writes it in another way than is known here.
async fn told(client: &Client) -> Option<i32> {
    let (near, mut far) = tokio::io::duplex(ENOUGH);
    far.write_all(&[TLS_GRANTED]).await.ok()?;
    let token = client.cancel_token();
    token.cancel_query_raw(near, Plain).await.ok()?;
    let mut request = Vec::new();
    far.read_to_end(&mut request).await.ok()?;
    let from = request.len().checked_sub(PROCESS_AND_SECRET)?;
    let process = request.get(from..from + 4)?;
    Some(i32::from_be_bytes(process.try_into().ok()?))
}

/// In place of TLS: nothing leaves the program.
struct Plain;

struct PlainStream(DuplexStream);

impl TlsConnect<DuplexStream> for Plain {
    type Stream = PlainStream;
    type Error = io::Error;
    type Future = Ready<io::Result<PlainStream>>;

    fn connect(self, stream: DuplexStream) -> Self::Future {
        ready(Ok(PlainStream(stream)))
    }
}

impl TlsStream for PlainStream {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for PlainStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for PlainStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
