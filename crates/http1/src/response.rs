//! Response heads.

use std::fmt;

use crate::charset;
use crate::connection::{self, Upgrade, Version};
use crate::error::{FieldError, FramingError, ResponseError};
use crate::field::{Field, Span};
use crate::framing::{self, Declared};
use crate::head::{Head, Stage, field_accessors};
use crate::known::Known;
use crate::limits::Limits;
use crate::method::Method;
use crate::request::RequestBody;

/// How the body of a response is framed (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResponseBody {
    /// There is none.
    #[default]
    None,
    /// So many bytes; may be 0.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Everything until the server closes the connection.
    UntilClose,
}

impl From<RequestBody> for ResponseBody {
    fn from(body: RequestBody) -> Self {
        match body {
            RequestBody::None => Self::None,
            RequestBody::Length(length) => Self::Length(length),
            RequestBody::Chunked => Self::Chunked,
        }
    }
}

/// The head of a response. It owns its bytes and is meant to be reused.
#[derive(Clone, Default)]
pub struct ResponseHead {
    head: Head,
    version: Version,
    status: u16,
    reason: Span,
    body: ResponseBody,
    content_length: Option<u64>,
    keep_alive: bool,
    upgrade: Upgrade,
}

impl ResponseHead {
    /// An empty head without buffers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the response and keeps the buffers.
    pub fn clear(&mut self) {
        self.head.clear();
        self.version = Version::default();
        self.status = 0;
        self.reason = Span::default();
        self.body = ResponseBody::None;
        self.content_length = None;
        self.keep_alive = false;
        self.upgrade = Upgrade::None;
    }

    /// Reads a head from the start of `input`, the answer to a request of method `to_method`. Works
    /// like [`RequestHead::parse`](crate::RequestHead::parse).
    ///
    /// After an informational response (see [`is_informational`](Self::is_informational)) call it again
    /// for the next one.
    ///
    /// # Errors
    ///
    /// [`ResponseError`] says why; the connection must be closed.
    pub fn parse(
        &mut self,
        input: &[u8],
        limits: &Limits,
        to_method: Method,
    ) -> Result<Option<usize>, ResponseError> {
        if self.head.stage == Stage::Done || input.len() < self.head.at {
            self.clear();
        }
        let (window, full) = self.head.window(input, limits)?;
        if !self.head.has_news(window, full) {
            return Ok(None);
        }
        let complete = (self.head.stage != Stage::StartLine || self.read_status_line(window)?)
            && self.head.read_fields::<ResponseError>(window, limits)?;
        if !complete {
            self.head.pause(window, full)?;
            return Ok(None);
        }
        self.settle(to_method)?;
        Ok(Some(self.head.at))
    }

    /// RFC 9112 section 4. The space before an empty reason may be missing, as many servers leave it
    /// out and nothing else can be meant.
    #[inline]
    fn read_status_line(&mut self, window: &[u8]) -> Result<bool, ResponseError> {
        const HEAD: usize = "HTTP/1.1 200".len();
        let Some((start, rest)) = window.split_at_checked(HEAD) else {
            return refuse_early(window);
        };
        let (version, status) = start.split_at(9);
        self.version = match version {
            b"HTTP/1.1 " => Version::Http11,
            b"HTTP/1.0 " => Version::Http10,
            _ => return Err(refuse_start(start)),
        };
        if status[0] == b'0' || !status.iter().all(u8::is_ascii_digit) {
            return Err(refuse_start(start));
        }
        self.status = status
            .iter()
            .fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
        let from = match rest {
            [b' ', ..] => 1,
            [b'\r', ..] => 0,
            [] => return Ok(false),
            [b'\n', ..] => return Err(FieldError::BareLf.into()),
            _ => return Err(ResponseError::InvalidStatusLine),
        };
        let len = charset::value(&rest[from..]);
        match &rest[from + len..] {
            [b'\r', b'\n', ..] => {}
            [] | [b'\r'] => return Ok(false),
            [b'\r', ..] => return Err(FieldError::BareCr.into()),
            [b'\n', ..] => return Err(FieldError::BareLf.into()),
            _ => return Err(ResponseError::InvalidStatusLine),
        }
        self.reason = Span::new(HEAD + from, HEAD + from + len);
        self.head.at = HEAD + from + len + 2;
        self.head.stage = Stage::Fields;
        Ok(true)
    }

    /// RFC 9112 section 6.3, rules 1, 2, 4, 6 and 8.
    fn settle(&mut self, to_method: Method) -> Result<(), ResponseError> {
        let http10 = self.version == Version::Http10;
        let declared = framing::declared(&mut self.head, http10, true)?;
        let options = connection::options(&mut self.head)?;
        self.keep_alive = options.persists(self.version);
        self.upgrade = connection::upgrade(&self.head, self.version, options);
        if let Declared::Length(length) = declared {
            self.content_length = Some(length);
        }
        if self.must_not_frame(to_method) {
            self.drop_framing(declared)?;
            self.body = ResponseBody::None;
        } else if to_method == Method::Head || self.status == 304 {
            self.body = ResponseBody::None;
        } else {
            self.body = match declared {
                Declared::Length(length) => ResponseBody::Length(length),
                Declared::Chunked => ResponseBody::Chunked,
                Declared::Nothing => ResponseBody::UntilClose,
            };
        }
        self.keep_alive &= self.body != ResponseBody::UntilClose && !self.is_tunnel(to_method);
        Ok(())
    }

    /// Responses that have no body and must not have framing fields either (RFC 9110 section 8.6, RFC
    /// 9112 section 6.1): informational ones, 204, and a successful answer to `CONNECT`.
    fn must_not_frame(&self, to_method: Method) -> bool {
        self.is_informational() || self.status == 204 || self.is_tunnel(to_method)
    }

    fn is_tunnel(&self, to_method: Method) -> bool {
        self.status == 101 || (to_method == Method::Connect && matches!(self.status, 200..=299))
    }

    /// Such fields are not forwarded. When they announce a body, the server may send one all the same,
    /// so nothing that follows on this connection can be trusted to be a response. Behind an
    /// informational response the real one is still to come: then nothing is left to be had.
    fn drop_framing(&mut self, declared: Declared) -> Result<(), ResponseError> {
        self.head.stop(Known::ContentLength);
        self.content_length = None;
        if !matches!(declared, Declared::Nothing | Declared::Length(0)) {
            if self.status < 200 {
                return Err(FramingError::UnexpectedBody.into());
            }
            self.keep_alive = false;
        }
        Ok(())
    }

    field_accessors!();

    /// The status, from 100 to 999.
    #[inline]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase; may be empty, always is over HTTP/2.
    #[inline]
    pub fn reason(&self) -> &[u8] {
        self.reason.of(&self.head.bytes)
    }

    /// The version it came in.
    #[inline]
    pub fn version(&self) -> Version {
        self.version
    }

    /// How the body is framed, given the request it answers.
    #[inline]
    pub fn body(&self) -> ResponseBody {
        self.body
    }

    /// The `Content-Length` it declares, also where no body follows (`HEAD`, 304).
    #[inline]
    pub fn content_length(&self) -> Option<u64> {
        self.content_length
    }

    /// Whether the connection can carry another request after this response: the server keeps it open,
    /// the body has an end, and nothing in the head casts doubt on where that is.
    #[inline]
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// Whether another response to the same request follows: 1xx but not 101, which is final and turns
    /// the connection over to another protocol.
    #[inline]
    pub fn is_informational(&self) -> bool {
        matches!(self.status, 100 | 102..=199)
    }

    /// What the connection becomes after a 101, or what the server would offer.
    #[inline]
    pub fn upgrade(&self) -> Upgrade {
        self.upgrade
    }

    /// For how many seconds the server keeps an idle connection, if it says so
    /// (`Keep-Alive: timeout=N`).
    pub fn keep_alive_timeout(&self) -> Option<u32> {
        self.head
            .find(Known::KeepAlive)
            .and_then(connection::keep_alive_timeout)
    }
}

/// Judges a start that is too short for a status line: it may still grow unless its line has ended.
#[cold]
fn refuse_early(window: &[u8]) -> Result<bool, ResponseError> {
    if window.contains(&b'\n') {
        Err(ResponseError::InvalidStatusLine)
    } else {
        Ok(false)
    }
}

/// Says what is wrong with the version and status that a line starts with.
#[cold]
fn refuse_start(start: &[u8]) -> ResponseError {
    if start.contains(&b'\n') {
        return ResponseError::InvalidStatusLine;
    }
    match start {
        [
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            b'1',
            b'.',
            b'0' | b'1',
            b' ',
            ..,
        ] => ResponseError::InvalidStatus,
        [
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            b'0'..=b'9',
            b'.',
            b'0'..=b'9',
            b' ',
            ..,
        ]
        | [b'H', b'T', b'T', b'P', b'/', b'2'..=b'9', b' ', ..] => {
            ResponseError::UnsupportedVersion
        }
        _ => ResponseError::InvalidStatusLine,
    }
}

/// Status, size and number of fields: fields may hold secrets.
impl fmt::Debug for ResponseHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseHead")
            .field("status", &self.status)
            .field("version", &self.version)
            .field("body", &self.body)
            .field("fields", &self.head.fields.len())
            .finish_non_exhaustive()
    }
}
