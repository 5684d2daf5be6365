//! HTTP/2 below any library: frames written by hand, for peers that a library would not let one be.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// The same bit says `END_STREAM` and, of SETTINGS and PING, ACK.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const INTERNAL_ERROR: u32 = 2;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The block `:status: 200`
pub(crate) const OK: &[u8] = &[0x88];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    /// The error code of `RST_STREAM` or GOAWAY.
    pub(crate) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        let bytes = self.payload[at..at + 4].try_into();
        u32::from_be_bytes(bytes.expect("four bytes are four bytes"))
    }
}

/// A connection that a test drives frame by frame.
pub(crate) struct Wire {
    stream: TcpStream,
}

impl Wire {
    /// A client's connection whose preface and settings are out.
    pub(crate) fn connect(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut wire = Self::bare(address);
        wire.send_bytes(PREFACE)
            .expect("a fresh connection takes bytes");
        wire.send(SETTINGS, 0, 0, &settings_payload(settings))
            .expect("a fresh connection takes a frame");
        wire
    }

    /// A connection on which nothing was said.
    pub(crate) fn bare(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the gateway listens");
        Self::over(stream)
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a socket can be set");
        let wire = Self { stream };
        wire.set_patience(Duration::from_secs(20));
        wire
    }

    /// How long a frame may be waited for, in either direction.
    pub(crate) fn set_patience(&self, patience: Duration) {
        for set in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
            set(&self.stream, Some(patience)).expect("a socket takes a time limit");
        }
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub(crate) fn send(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
    ) -> io::Result<()> {
        self.send_bytes(&frame(kind, flags, stream, payload))
    }

    /// HEADERS in one frame.
    pub(crate) fn send_headers(&mut self, stream: u32, ends: bool, block: &[u8]) -> io::Result<()> {
        let flags = END_HEADERS | if ends { END_STREAM } else { 0 };
        self.send(HEADERS, flags, stream, block)
    }

    /// The next frame; `None` when the connection is over, in order or not.
    pub(crate) fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).ok()?;
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]),
            payload,
        })
    }

    /// The next frame that is wanted; settings and pings are answered on the way.
    pub(crate) fn wait(&mut self, mut is_wanted: impl FnMut(&Frame) -> bool) -> Option<Frame> {
        loop {
            let frame = self.read()?;
            if matches!(frame.kind, SETTINGS | PING) && frame.flags & ACK == 0 {
                let echo = if frame.kind == PING {
                    &frame.payload[..]
                } else {
                    &[]
                };
                self.send(frame.kind, ACK, 0, echo).ok();
            }
            if is_wanted(&frame) {
                return Some(frame);
            }
        }
    }

    /// All that happens on one stream up to its end; empty if the connection ends before.
    pub(crate) fn wait_for_stream(&mut self, stream: u32) -> Vec<Frame> {
        let mut seen = Vec::new();
        while let Some(frame) = self.wait(|frame| frame.stream == stream || frame.kind == GOAWAY) {
            let is_last = frame.ends_stream() || matches!(frame.kind, RST_STREAM | GOAWAY);
            seen.push(frame);
            if is_last {
                break;
            }
        }
        seen
    }

    /// Reads to the end of the connection: what it was told when it was told to go.
    pub(crate) fn wait_for_goaway(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.read() {
            if frame.kind == GOAWAY {
                code = Some(frame.code());
            }
        }
        code
    }

    pub(crate) fn try_clone(&self) -> Self {
        Self {
            stream: self
                .stream
                .try_clone()
                .expect("a socket has a second handle"),
        }
    }
}

/// A frame's bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

pub(crate) fn settings_payload(settings: &[(u16, u32)]) -> Vec<u8> {
    let pair =
        |(name, value): &(u16, u32)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat();
    settings.iter().flat_map(pair).collect()
}

/// A block of literal fields that touches no table (RFC 7541 section 6.2.2).
pub(crate) fn block<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        put_string(&mut block, name.as_ref());
        put_string(&mut block, value.as_ref());
    }
    block
}

fn put_string(block: &mut Vec<u8>, text: &[u8]) {
    // An integer with a prefix of seven bits (RFC 7541 section 5.1).
    if text.len() < 127 {
        block.push(text.len() as u8);
    } else {
        block.push(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            block.push((rest % 128) as u8 | 128);
            rest /= 128;
        }
        block.push(rest as u8);
    }
    block.extend_from_slice(text);
}

/// The status at the head of a block, if it is one that the static table knows or a literal.
pub(crate) fn status(block: &[u8]) -> Option<u16> {
    let mut block = block;
    // Changes of the table's size stand before all fields.
    while block.first().is_some_and(|byte| byte & 0xe0 == 0x20) {
        let is_long = block[0] & 0x1f == 0x1f;
        let rest = if is_long {
            block[1..]
                .iter()
                .take_while(|byte| **byte & 0x80 != 0)
                .count()
                + 1
        } else {
            0
        };
        block = &block[1 + rest..];
    }
    match *block {
        [indexed @ 0x88..=0x8e, ..] => {
            Some([200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)])
        }
        [0x48 | 0x08, length, ref text @ ..] if length & 0x80 == 0 => {
            std::str::from_utf8(&text[..length.into()])
                .ok()?
                .parse()
                .ok()
        }
        [0x48 | 0x08, length, ref text @ ..] => huffman_digits(&text[..usize::from(length & 0x7f)]),
        _ => None,
    }
}

/// Three digits in the code of RFC 7541 appendix B: five bits for 0 to 2, six for the others.
fn huffman_digits(bytes: &[u8]) -> Option<u16> {
    let bits: Vec<u8> = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1))
        .collect();
    let number = |bits: &[u8]| bits.iter().fold(0, |sum, bit| sum * 2 + u16::from(*bit));
    let (mut at, mut status) = (0, 0);
    for _ in 0..3 {
        let short = number(bits.get(at..at + 5)?);
        let digit = if short <= 2 {
            at += 5;
            short
        } else {
            at += 6;
            number(bits.get(at - 6..at)?).checked_sub(0b01_1001)? + 3
        };
        status = status * 10 + digit;
    }
    Some(status)
}

/// The block of an ordinary request.
pub(crate) fn request(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut fields = vec![
        (":method", method),
        (":scheme", "http"),
        (":path", path),
        (":authority", "gateway.test"),
    ];
    fields.extend_from_slice(more);
    block(&fields)
}

/// An upstream whose connections are driven frame by frame, a thread each. It ends when dropped.
pub(crate) struct WireUpstream {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    stopping: Arc<AtomicBool>,
}

impl WireUpstream {
    /// `serve` gets each connection, of which the preface was read and whose settings are out, and its number from 0.
    pub(crate) fn start(serve: impl Fn(Wire, usize) -> Option<()> + Send + Sync + 'static) -> Self {
        Self::bare(move |mut wire, number| {
            let mut preface = [0; 24];
            wire.stream.read_exact(&mut preface).ok()?;
            assert_eq!(preface, PREFACE);
            wire.send(SETTINGS, 0, 0, &[]).ok()?;
            serve(wire, number)
        })
    }

    /// As [`WireUpstream::start`] with nothing read or said.
    pub(crate) fn bare(serve: impl Fn(Wire, usize) -> Option<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let (connections, stopping) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (count, stop, serve) = (
            Arc::clone(&connections),
            Arc::clone(&stopping),
            Arc::new(serve),
        );
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let number = count.fetch_add(1, Ordering::SeqCst);
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || serve(Wire::over(stream), number));
            }
        });
        Self {
            address,
            connections,
            stopping,
        }
    }

    /// Answers each request by `answer`, which gets its stream and how many came before it on the connection.
    pub(crate) fn each(
        answer: impl Fn(&mut Wire, u32, usize) -> Option<()> + Send + Sync + 'static,
    ) -> Self {
        Self::start(move |mut wire, _| {
            let mut count = 0;
            loop {
                let request = wire.wait(|frame| frame.kind == HEADERS)?;
                answer(&mut wire, request.stream, count)?;
                count += 1;
            }
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections were opened so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for WireUpstream {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        TcpStream::connect(self.address).ok();
    }
}
