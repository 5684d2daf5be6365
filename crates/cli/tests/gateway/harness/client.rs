//! A client that does nothing by itself: bytes out, one response in.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::{Request, Response};

/// How long a byte may be waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection.
pub(crate) struct Client {
    pub(crate) stream: BufReader<TcpStream>,
}

impl Client {
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address)
            .unwrap_or_else(|error| panic!("no connection to {address}: {error}"))
    }

    pub(crate) fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Sends a request and reads its response; the connection stays open if the gateway leaves it so.
    #[track_caller]
    pub(crate) fn call(&mut self, request: &Request) -> Response {
        match self.try_call(request) {
            Ok(response) => response,
            Err(error) => panic!("{} {}: {error}", request.method, request.target),
        }
    }

    /// As [`Client::call`], for those that reckon with a broken connection.
    pub(crate) fn try_call(&mut self, request: &Request) -> io::Result<Response> {
        self.try_send(&request.bytes())?;
        self.try_read(request.is_head())
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes.as_ref())
            .unwrap_or_else(|error| panic!("sending: {error}"));
    }

    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Reads one response. `is_head` says that it answers HEAD.
    #[track_caller]
    pub(crate) fn read(&mut self, is_head: bool) -> Response {
        self.try_read(is_head)
            .unwrap_or_else(|error| panic!("reading a response: {error}"))
    }

    pub(crate) fn try_read(&mut self, is_head: bool) -> io::Result<Response> {
        Response::read(&mut self.stream, is_head)?.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the connection was closed without a response",
            )
        })
    }

    /// Reads the head of a response whose body the test reads itself.
    #[track_caller]
    pub(crate) fn read_head(&mut self) -> Response {
        let head = Response::read_head(&mut self.stream)
            .unwrap_or_else(|error| panic!("reading a head: {error}"));
        head.expect("the connection was closed without a response")
    }

    /// What can be read now, at least one byte; empty at the end.
    pub(crate) fn read_some(&mut self) -> io::Result<Vec<u8>> {
        let bytes = self.stream.fill_buf()?.to_vec();
        self.stream.consume(bytes.len());
        Ok(bytes)
    }

    /// Everything up to the end of the connection.
    pub(crate) fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Whether the gateway has closed the connection, or does so soon.
    pub(crate) fn is_closed(&mut self) -> bool {
        match self.stream.fill_buf() {
            Ok(bytes) => bytes.is_empty(),
            Err(error) => !matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
            ),
        }
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish_sending(&mut self) {
        self.stream.get_ref().shutdown(Shutdown::Write).ok();
    }

    /// How long a byte may be waited for from now on.
    pub(crate) fn set_patience(&mut self, patience: Duration) {
        self.stream
            .get_ref()
            .set_read_timeout(Some(patience))
            .expect("a socket takes a time limit");
    }
}
