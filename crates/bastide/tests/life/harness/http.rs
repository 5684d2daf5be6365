//! A client that says what it got, broken connections included.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came back.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// The lines of the head, in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    /// The body, or null if it is no JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The code of a problem.
    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// A field of the head.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
    }
}

/// A connection of the test's own.
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a call of a method, and does not wait for its answer.
    pub(crate) fn send(&mut self, method: &str, token: &str, input: &str) -> io::Result<()> {
        let token = match token {
            "" => String::new(),
            token => format!("Authorization: Bearer {token}\r\n"),
        };
        let request = format!(
            "POST /rpc/{method} HTTP/1.1\r\nHost: probe\r\nContent-Type: application/json\r\n{token}Content-Length: {}\r\n\r\n{input}",
            input.len()
        );
        self.0.get_mut().write_all(request.as_bytes())
    }

    /// Sends bytes as they are.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    /// The next answer.
    pub(crate) fn receive(&mut self) -> io::Result<Response> {
        let (status, head) = self.receive_head()?;
        let mut response = Response {
            status,
            head,
            body: String::new(),
        };
        if let Some(length) = response.field("content-length") {
            let length = length.parse().map_err(io::Error::other)?;
            let mut bytes = vec![0; length];
            self.0.read_exact(&mut bytes)?;
            response.body = String::from_utf8_lossy(&bytes).into_owned();
        }
        Ok(response)
    }

    /// The head of an answer whose body the test reads.
    pub(crate) fn receive_head(&mut self) -> io::Result<(u16, String)> {
        let mut head = String::new();
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if line == "\r\n" {
                break;
            }
            head.push_str(&line.to_ascii_lowercase());
        }
        let status = head.split(' ').nth(1).and_then(|text| text.parse().ok());
        Ok((status.ok_or(io::ErrorKind::InvalidData)?, head))
    }

    /// So many bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Everything up to the end of the connection.
    pub(crate) fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest)?;
        Ok(rest)
    }
}

/// One call on a connection of its own.
pub(crate) fn call(
    address: SocketAddr,
    method: &str,
    token: &str,
    input: &str,
) -> io::Result<Response> {
    let mut connection = Connection::open(address)?;
    connection.send(method, token, input)?;
    connection.receive()
}

pub(crate) fn get(address: SocketAddr, path: &str) -> io::Result<Response> {
    let mut connection = Connection::open(address)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: probe\r\n\r\n");
    connection.send_raw(request.as_bytes())?;
    connection.receive()
}
