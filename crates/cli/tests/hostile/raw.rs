//! Peers below HTTP: sockets that a test drives by hand, and what they saw byte by byte.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Longer than any answer takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A listener whose connections are served by a function, a thread each. It ends when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stopping: Arc<AtomicBool>,
}

impl Server {
    /// `serve` gets each connection and its number from 0.
    pub(crate) fn start(
        serve: impl Fn(TcpStream, usize) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let stopping = Arc::new(AtomicBool::new(false));
        let (serve, stop) = (Arc::new(serve), Arc::clone(&stopping));
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().flatten().enumerate() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                stream.set_nodelay(true).ok();
                stream.set_read_timeout(Some(Duration::from_mins(2))).ok();
                let serve = Arc::clone(&serve);
                // Connections that break are what these tests are about.
                std::thread::spawn(move || serve(stream, number).ok());
            }
        });
        Self { address, stopping }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        TcpStream::connect(self.address).ok();
    }
}

/// Every byte that an upstream was sent, by connection.
#[derive(Clone, Default)]
pub(crate) struct Tape(Arc<Mutex<Vec<Vec<u8>>>>);

impl Tape {
    fn open(&self) -> usize {
        let mut connections = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        connections.push(Vec::new());
        connections.len() - 1
    }

    fn write(&self, connection: usize, bytes: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[connection].extend_from_slice(bytes);
    }

    /// What was written on each connection that was written on; forgets it.
    pub(crate) fn take(&self) -> Vec<Vec<u8>> {
        let mut connections = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Their numbers are still in use.
        connections
            .iter_mut()
            .map(std::mem::take)
            .filter(|bytes| !bytes.is_empty())
            .collect()
    }
}

/// An upstream that tapes what it gets, and answers `200 ok` to each request that is whole.
pub(crate) fn recorder() -> (Server, Tape) {
    let tape = Tape::default();
    let writer = tape.clone();
    let server = Server::start(move |mut stream, _| {
        let connection = writer.open();
        let (mut seen, mut answered) = (Vec::new(), 0);
        let mut buffer = [0; 16 * 1024];
        loop {
            let count = stream.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            writer.write(connection, &buffer[..count]);
            seen.extend_from_slice(&buffer[..count]);
            let whole = requests(&seen)
                .iter()
                .filter(|request| request.is_whole)
                .count();
            for _ in answered..whole {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
            }
            answered = whole;
        }
    });
    (server, tape)
}

/// A request on a tape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taped {
    pub(crate) line: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether the tape holds all of it.
    pub(crate) is_whole: bool,
}

impl Taped {
    pub(crate) fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.fields
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }
}

/// The requests on a tape, read as strictly as can be.
///
/// # Panics
/// If the bytes could mean different things to different servers.
pub(crate) fn requests(tape: &[u8]) -> Vec<Taped> {
    let mut requests = Vec::new();
    let mut rest = tape;
    while !rest.is_empty() {
        let Some(end) = find(rest, b"\r\n\r\n") else {
            requests.push(Taped {
                line: text(rest),
                fields: Vec::new(),
                body: Vec::new(),
                is_whole: false,
            });
            return requests;
        };
        let head = text(&rest[..end]);
        assert!(
            !head.replace("\r\n", "").contains(['\r', '\n', '\0']),
            "a bare control byte in {head:?}"
        );
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        assert!(
            line.ends_with(" HTTP/1.1") && line.split(' ').count() == 3,
            "a bad request line: {line:?}"
        );
        let fields: Vec<_> = lines.map(field).collect();
        let mut request = Taped {
            line,
            fields,
            body: Vec::new(),
            is_whole: false,
        };
        let consumed = match (
            request.all("content-length").as_slice(),
            request.all("transfer-encoding").as_slice(),
        ) {
            ([], []) => Some((0, Vec::new())),
            ([length], []) => {
                let length: usize = length
                    .parse()
                    .unwrap_or_else(|_| panic!("a bad length in {head:?}"));
                let body = rest.get(end + 4..end + 4 + length);
                body.map(|body| (length, body.to_vec()))
            }
            ([], ["chunked"]) => chunked(&rest[end + 4..]),
            _ => panic!("two framings in {head:?}"),
        };
        assert_eq!(request.all("host").len(), 1, "{head:?}");
        let Some((length, body)) = consumed else {
            requests.push(request);
            return requests;
        };
        (request.body, request.is_whole) = (body, true);
        requests.push(request);
        rest = &rest[end + 4 + length..];
    }
    requests
}

fn field(line: &str) -> (String, String) {
    let (name, value) = line
        .split_once(':')
        .unwrap_or_else(|| panic!("no colon in {line:?}"));
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    assert!(
        !name.is_empty() && name.bytes().all(is_token),
        "a bad name in {line:?}"
    );
    (name.to_owned(), value.trim_matches([' ', '\t']).to_owned())
}

/// The length of a chunked body and its data, if it is whole.
fn chunked(bytes: &[u8]) -> Option<(usize, Vec<u8>)> {
    let mut data = Vec::new();
    let mut at = 0;
    loop {
        let end = at + find(bytes.get(at..)?, b"\r\n")?;
        let digits = text(&bytes[at..end]);
        assert!(
            !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit()),
            "a bad chunk: {digits:?}"
        );
        let size = usize::from_str_radix(&digits, 16).expect("hexadecimal digits are a number");
        at = end + 2;
        if size == 0 {
            let trailers = bytes.get(at..)?;
            let length = if trailers.starts_with(b"\r\n") {
                2
            } else {
                find(trailers, b"\r\n\r\n")? + 4
            };
            return Some((at + length, data));
        }
        data.extend_from_slice(bytes.get(at..at + size)?);
        assert_eq!(
            bytes.get(at + size..at + size + 2)?,
            b"\r\n",
            "a chunk without its end"
        );
        at += size + 2;
    }
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

pub(crate) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// In order.
    Closed,
    /// By a reset.
    Reset,
    /// Not at all while the test waited.
    Open,
}

/// Sends bytes over a connection of their own and reads until it ends or `patience` is over.
pub(crate) fn exchange(address: SocketAddr, bytes: &[u8], patience: Duration) -> (Vec<u8>, End) {
    let mut stream = TcpStream::connect(address).expect("the gateway listens");
    stream
        .set_read_timeout(Some(patience))
        .expect("a socket takes a time limit");
    // A gateway that has refused already may not take the rest.
    stream.write_all(bytes).ok();
    read_to_end(&mut stream)
}

/// Reads until the connection ends, or nothing comes for as long as its time limit says.
pub(crate) fn read_to_end(stream: &mut TcpStream) -> (Vec<u8>, End) {
    let mut read = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (read, End::Closed),
            Ok(count) => read.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                return (read, End::Open);
            }
            Err(_) => return (read, End::Reset),
        }
    }
}

/// The status codes of the responses that follow each other in `bytes`, all of which have a length.
pub(crate) fn statuses(bytes: &[u8]) -> Vec<u16> {
    let mut input = bytes;
    let mut statuses = Vec::new();
    while let Ok(Some(response)) = crate::harness::Response::read(&mut input, false) {
        statuses.push(response.status);
    }
    statuses
}

/// Reads a request's head from a connection: up to the empty line, not a byte further.
pub(crate) fn read_head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(head)
}
