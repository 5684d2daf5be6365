//! Request heads, as read from the wire.

use std::fmt;

use crate::connection::{self, Upgrade, Version};
use crate::error::{FieldError, RequestError};
use crate::field::{Field, Span};
use crate::framing::{self, Declared};
use crate::head::{Head, Stage, field_accessors};
use crate::known::Known;
use crate::limits::Limits;
use crate::method::Method;
use crate::request_line;
use crate::target::{self, Form, Parts, TargetForm};

/// How the body of a request is framed (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RequestBody {
    /// There is none.
    #[default]
    None,
    /// So many bytes; may be 0.
    Length(u64),
    /// Chunks; over HTTP/2, a body of unknown length.
    Chunked,
}

/// The head of a request: read from HTTP/1.1 by [`RequestHead::parse`], or built from the parts of an
/// HTTP/2 request by [`RequestHead::from_parts`].
///
/// It owns its bytes and is meant to be reused: after the first few requests reading one allocates
/// nothing. Everything is checked before it is handed out, and there is one reading of it: one host, one
/// body framing, one set of fields to forward.
#[derive(Clone, Default)]
pub struct RequestHead {
    pub(crate) head: Head,
    pub(crate) method: Span,
    pub(crate) kind: Method,
    pub(crate) target: Span,
    pub(crate) parts: Parts,
    pub(crate) version: Version,
    pub(crate) body: RequestBody,
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
    pub(crate) upgrade: Upgrade,
    /// For a head built from parts.
    pub(crate) limits: Limits,
}

impl RequestHead {
    /// An empty head without buffers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the request and keeps the buffers.
    pub fn clear(&mut self) {
        self.head.clear();
        self.method = Span::default();
        self.kind = Method::default();
        self.target = Span::default();
        self.parts = Parts::default();
        self.version = Version::default();
        self.body = RequestBody::None;
        self.keep_alive = false;
        self.expects_continue = false;
        self.upgrade = Upgrade::None;
    }

    /// Reads a head from the start of `input`.
    ///
    /// `None` means that it is not complete: call again with the same bytes and more behind them. How
    /// the input is cut has no influence on the outcome, and the work stays linear in its length even
    /// when it comes byte by byte. `Some(n)` means that the head is complete and took `n` bytes; what
    /// follows them is the body, or the next request. The next call starts a new head; to give up an
    /// incomplete one, call [`clear`](Self::clear).
    ///
    /// # Errors
    ///
    /// [`RequestError`] says why; the connection must be closed after the answer, and the accessors
    /// below mean nothing. [`RequestError::Http2Preface`] leaves the input to an HTTP/2 server.
    pub fn parse(&mut self, input: &[u8], limits: &Limits) -> Result<Option<usize>, RequestError> {
        if self.head.stage == Stage::Done || input.len() < self.head.at {
            self.clear();
        }
        let (window, full) = self.head.window(input, limits)?;
        let in_start_line = self.head.stage == Stage::StartLine;
        // That line has a limit of its own.
        let line_full =
            full || in_start_line && window.len() - self.head.at > request_line::max_len(limits);
        if !self.head.has_news(window, line_full) {
            return Ok(None);
        }
        let complete = (!in_start_line || self.read_start_line(window, limits)?)
            && self.head.read_fields::<RequestError>(window, limits)?;
        if !complete {
            self.head.pause(window, full)?;
            return Ok(None);
        }
        self.settle()?;
        Ok(Some(self.head.at))
    }

    #[inline]
    fn read_start_line(&mut self, window: &[u8], limits: &Limits) -> Result<bool, RequestError> {
        if self.head.at == 0 {
            match window {
                [b'\r', b'\n', ..] => self.head.at = 2,
                [b'\r', _, ..] => return Err(FieldError::BareCr.into()),
                _ => {}
            }
        }
        if self.head.at == 2 && window[2..].starts_with(b"\r\n") {
            return Err(RequestError::LeadingEmptyLines);
        }
        let Some(line) = request_line::parse(window, self.head.at, limits)? else {
            return Ok(false);
        };
        self.method = line.method;
        self.kind = Method::of(line.method.of(window));
        self.target = line.target;
        self.version = line.version;
        self.parts = target::parts(window, line.target, self.kind)?;
        self.head.at = line.next;
        self.head.stage = Stage::Fields;
        Ok(true)
    }

    /// Decides what the fields of a complete head mean.
    #[inline]
    fn settle(&mut self) -> Result<(), RequestError> {
        self.settle_host()?;
        let http10 = self.version == Version::Http10;
        self.body = match framing::declared(&mut self.head, http10, false)? {
            Declared::Nothing => RequestBody::None,
            Declared::Length(length) => RequestBody::Length(length),
            Declared::Chunked => RequestBody::Chunked,
        };
        let options = connection::options(&mut self.head)?;
        self.keep_alive = options.persists(self.version);
        self.upgrade = connection::upgrade(&self.head, self.version, options);
        self.settle_expectation()
    }

    /// RFC 9112 section 3.2: one valid `Host`, optional in HTTP/1.0 alone; the authority of the target
    /// replaces it.
    #[inline]
    fn settle_host(&mut self) -> Result<(), RequestError> {
        if self.head.is_repeated(Known::Host) {
            return Err(RequestError::RepeatedHost);
        }
        match self.head.first_index(Known::Host) {
            Some(index) => {
                let host = self.head.fields[index].value.of(&self.head.bytes);
                if target::split_authority(host).is_none() {
                    return Err(RequestError::InvalidHost);
                }
                if self.parts.form == Form::Absolute {
                    self.head.fields[index].value = self.parts.authority;
                }
            }
            None if self.version == Version::Http11 => return Err(RequestError::MissingHost),
            None => {}
        }
        if self.parts.form == Form::Absolute && self.parts.path.is_empty() {
            self.parts.path = self.missing_path();
        }
        Ok(())
    }

    /// The path of an absolute-form target without one: `/`, or for `OPTIONS` the server as a whole
    /// (RFC 9112 sections 3.2.1 and 3.2.4).
    #[cold]
    fn missing_path(&mut self) -> Span {
        let (query_at, end) = (self.parts.authority.end as usize, self.target.end as usize);
        if query_at == end && self.kind == Method::Options {
            return self.head.store(b"*");
        }
        let start = self.head.store(b"/").start as usize;
        self.head.bytes.extend_from_within(query_at..end);
        Span::new(start, self.head.bytes.len())
    }

    /// RFC 9110 section 10.1.1. An HTTP/1.0 expectation is ignored, as is one without a body to hold
    /// back.
    pub(crate) fn settle_expectation(&mut self) -> Result<(), RequestError> {
        if self.version == Version::Http10 || self.head.first_index(Known::Expect).is_none() {
            return Ok(());
        }
        if !self
            .head
            .all(Known::Expect)
            .all(|value| value.eq_ignore_ascii_case(b"100-continue"))
        {
            return Err(RequestError::UnknownExpectation);
        }
        self.expects_continue = !matches!(self.body, RequestBody::None | RequestBody::Length(0));
        Ok(())
    }

    field_accessors!();

    /// The method as it came.
    #[inline]
    pub fn method(&self) -> &[u8] {
        self.method.of(&self.head.bytes)
    }

    /// Which method it is.
    #[inline]
    pub fn method_kind(&self) -> Method {
        self.kind
    }

    /// The target as it came.
    #[inline]
    pub fn target(&self) -> &[u8] {
        self.target.of(&self.head.bytes)
    }

    /// The form of the target and, for absolute-form, its parts.
    pub fn target_form(&self) -> TargetForm<'_> {
        let of = |span: Span| span.of(&self.head.bytes);
        match self.parts.form {
            Form::Origin => TargetForm::Origin,
            Form::Absolute => TargetForm::Absolute {
                scheme: of(self.parts.scheme),
                authority: of(self.parts.authority),
                path: of(self.parts.path),
            },
            Form::Asterisk => TargetForm::Asterisk,
            Form::Authority => TargetForm::Authority,
        }
    }

    /// Path and query whatever the target's form: what goes to an origin server. Starts with `/`, or is
    /// `*` for `OPTIONS`, or is empty for `CONNECT`. Not decoded and not normalised.
    #[inline]
    pub fn path_and_query(&self) -> &[u8] {
        self.parts.path.of(&self.head.bytes)
    }

    /// The version it came in.
    #[inline]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The host with its port, if one was given: the target's authority if it has one, else `Host`. For
    /// an absolute-form target the `Host` field reads the same (RFC 9112 section 3.2.2). `None` only in
    /// HTTP/1.0.
    #[inline]
    pub fn host(&self) -> Option<&[u8]> {
        if self.parts.authority.is_empty() {
            self.head.find(Known::Host)
        } else {
            Some(self.parts.authority.of(&self.head.bytes))
        }
    }

    /// Host and port apart. An IPv6 address keeps its brackets.
    pub fn host_and_port(&self) -> Option<(&[u8], Option<u16>)> {
        self.host().and_then(target::split_authority)
    }

    /// How the body is framed.
    #[inline]
    pub fn body(&self) -> RequestBody {
        self.body
    }

    /// Whether the client will use the connection again (RFC 9112 section 9.3).
    #[inline]
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// Whether the client waits for `100 Continue` before it sends the body.
    #[inline]
    pub fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// What the client asks the connection to become.
    #[inline]
    pub fn upgrade(&self) -> Upgrade {
        self.upgrade
    }
}

/// Method, size and number of fields: targets and fields may hold secrets.
impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("method", &self.kind)
            .field("version", &self.version)
            .field("body", &self.body)
            .field("fields", &self.head.fields.len())
            .finish_non_exhaustive()
    }
}
