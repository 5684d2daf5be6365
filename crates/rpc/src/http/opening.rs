//! The first bytes of a connection, which say whether HTTP/2 or HTTP/1.1 is spoken: they have to come in time.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;

/// With what a client begins that speaks HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Watches a connection until it is known what is spoken on it. hyper's own clock begins only then.
pub(super) struct Opening {
    seen: usize,
    timer: Pin<Box<Sleep>>,
    http2: bool,
}

impl Opening {
    /// Waits so long; `http2`: whether that may be spoken.
    pub(super) fn new(patience: Duration, http2: bool) -> Self {
        Self {
            seen: 0,
            timer: Box::pin(tokio::time::sleep(patience)),
            http2,
        }
    }

    /// Whether it is over with these bytes.
    pub(super) fn is_over(&mut self, bytes: &[u8]) -> io::Result<bool> {
        let left = &PREFACE[self.seen..];
        let begins = bytes.len().min(left.len());
        if bytes.is_empty() || bytes[..begins] != left[..begins] {
            return Ok(true);
        }
        self.seen += begins;
        match self.seen == PREFACE.len() {
            true if !self.http2 => {
                let error = "HTTP/2 is not spoken here";
                Err(io::Error::new(io::ErrorKind::InvalidData, error))
            }
            is_whole => Ok(is_whole),
        }
    }

    /// Ready when it has taken too long.
    pub(super) fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.timer.as_mut().poll(cx).map(|()| {
            let error = "nothing came that says what is spoken";
            io::Error::new(io::ErrorKind::TimedOut, error)
        })
    }
}
