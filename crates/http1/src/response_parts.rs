//! Response heads built from the parts of an HTTP/2 response (RFC 9113 section 8.3.2).

use crate::connection::Version;
use crate::error::{FramingError, ResponseError};
use crate::framing::{self, Declared};
use crate::head::Stage;
use crate::limits::Limits;
use crate::method::Method;
use crate::response::{ResponseBody, ResponseHead};

impl ResponseHead {
    /// A new head from the status and fields of an HTTP/2 response (RFC 9113 section 8.3.2).
    /// `has_body` says whether the stream is still open. [`begin`](Self::begin), [`push`](Self::push)
    /// and [`finish`](Self::finish) do the same with a head that is reused.
    ///
    /// # Errors
    ///
    /// The faults that [`parse`](Self::parse) refuses, and those of HTTP/2 (RFC 9113 section 8.2).
    pub fn from_parts<'a>(
        status: u16,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        to_method: Method,
        has_body: bool,
        limits: &Limits,
    ) -> Result<Self, ResponseError> {
        let mut head = Self::new();
        head.begin(status, limits)?;
        for (name, value) in fields {
            head.push(name, value)?;
        }
        head.finish(to_method, has_body)?;
        Ok(head)
    }

    /// Starts a head from the status of an HTTP/2 response.
    ///
    /// # Errors
    ///
    /// When the status is not from 100 to 999, or is 101, which HTTP/2 does not have.
    pub fn begin(&mut self, status: u16, limits: &Limits) -> Result<(), ResponseError> {
        self.clear();
        if !matches!(status, 100 | 102..=999) {
            return Err(ResponseError::InvalidStatus);
        }
        self.limits = *limits;
        self.status = status;
        self.version = Version::Http2;
        self.keep_alive = true;
        self.head.stage = Stage::Fields;
        Ok(())
    }

    /// Adds a field.
    ///
    /// # Errors
    ///
    /// When name or value is not valid, belongs to HTTP/1.1 connections, or exceeds the limits.
    pub fn push(&mut self, name: &[u8], value: &[u8]) -> Result<(), ResponseError> {
        let limits = self.limits;
        self.head.push::<ResponseError>(name, value, &limits)
    }

    /// Ends the head.
    ///
    /// # Errors
    ///
    /// When the content length does not fit.
    pub fn finish(&mut self, to_method: Method, has_body: bool) -> Result<(), ResponseError> {
        let declared = framing::declared(&mut self.head, false, true)?;
        if let Declared::Length(length) = declared {
            self.content_length = Some(length);
        }
        let bodiless = to_method == Method::Head || self.status == 304;
        if self.must_not_frame(to_method) {
            self.drop_framing(declared)?;
            self.keep_alive = true;
        } else if !bodiless {
            self.body = match (declared, has_body) {
                (Declared::Length(0), _) => ResponseBody::Length(0),
                (Declared::Length(length), true) => ResponseBody::Length(length),
                (Declared::Length(_), false) => return Err(FramingError::MissingBody.into()),
                (_, true) => ResponseBody::UntilClose,
                (_, false) => ResponseBody::Length(0),
            };
        }
        self.head.stage = Stage::Done;
        Ok(())
    }
}
