//! Request heads built from the parts of an HTTP/2 request (RFC 9113 section 8.3).

use crate::charset;
use crate::connection::Version;
use crate::error::{FieldError, FramingError, RequestError};
use crate::field::Field;
use crate::framing;
use crate::head::Stage;
use crate::known::Known;
use crate::limits::Limits;
use crate::method::Method;
use crate::request::{RequestBody, RequestHead};
use crate::target::{self, Form};

impl RequestHead {
    /// A new head from the parts of a request; see [`begin`](Self::begin), [`push`](Self::push) and
    /// [`finish`](Self::finish), which do the same with a head that is reused.
    ///
    /// # Errors
    ///
    /// The faults that [`parse`](Self::parse) refuses, and those of HTTP/2 (RFC 9113 section 8.2).
    pub fn from_parts<'a>(
        method: &[u8],
        scheme: &[u8],
        authority: Option<&[u8]>,
        path: &[u8],
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        has_body: bool,
        limits: &Limits,
    ) -> Result<Self, RequestError> {
        let mut head = Self::new();
        head.begin(method, scheme, authority, path, limits)?;
        for (name, value) in fields {
            head.push(name, value)?;
        }
        head.finish(has_body)?;
        Ok(head)
    }

    /// Starts a head from the pseudo-fields of a request. `path` is `:path` with its query; it is empty
    /// for a plain `CONNECT`.
    ///
    /// The head then looks like one of absolute-form: with an authority it also gets a `Host` field.
    ///
    /// # Errors
    ///
    /// When a part is not valid or too long.
    pub fn begin(
        &mut self,
        method: &[u8],
        scheme: &[u8],
        authority: Option<&[u8]>,
        path: &[u8],
        limits: &Limits,
    ) -> Result<(), RequestError> {
        self.clear();
        self.limits = *limits;
        self.version = Version::Http2;
        self.keep_alive = true;
        if !charset::is_valid_name(method) {
            return Err(RequestError::InvalidMethod);
        }
        self.kind = Method::of(method);
        if path.len() > limits.target_bytes {
            return Err(RequestError::TargetTooLong);
        }
        if charset::target(path) != path.len() {
            return Err(RequestError::InvalidTarget);
        }
        let plain_connect = self.kind == Method::Connect && path.is_empty();
        self.parts.form = match path {
            [] if plain_connect && authority.is_some() => Form::Authority,
            [b'/', ..] => Form::Absolute,
            b"*" if self.kind == Method::Options => Form::Asterisk,
            b"*" => return Err(RequestError::TargetForm),
            _ => return Err(RequestError::InvalidTarget),
        };
        if !plain_connect && !target::is_scheme(scheme) {
            return Err(RequestError::InvalidTarget);
        }
        if let Some(authority) = authority
            && target::split_authority(authority).is_none()
        {
            return Err(RequestError::InvalidHost);
        }
        let authority = authority.unwrap_or_default();
        if method.len() + scheme.len() + authority.len() + path.len() > limits.head() {
            return Err(FramingError::HeadTooLarge.into());
        }

        self.method = self.head.store(method);
        self.parts.scheme = self.head.store(scheme);
        self.parts.path = self.head.store(path);
        self.target = self.parts.path;
        if !authority.is_empty() {
            self.parts.authority = self.head.store(authority);
            if self.parts.form == Form::Authority {
                self.target = self.parts.authority;
            }
            let name = self.head.store(Known::Host.name().as_bytes());
            self.head.index(Field {
                name,
                value: self.parts.authority,
                known: Known::Host,
                hop: false,
            });
        }
        self.head.stage = Stage::Fields;
        Ok(())
    }

    /// Adds a field. Pieces of a split cookie are joined (RFC 9113 section 8.2.3).
    ///
    /// # Errors
    ///
    /// When name or value is not valid, belongs to HTTP/1.1 connections, or exceeds the limits.
    pub fn push(&mut self, name: &[u8], value: &[u8]) -> Result<(), RequestError> {
        if Known::of(name) == Known::Host {
            let value = charset::trim(value);
            if !self.parts.authority.is_empty() {
                let authority = self.parts.authority.of(&self.head.bytes);
                return if authority.eq_ignore_ascii_case(value) {
                    Ok(())
                } else {
                    Err(RequestError::HostConflict)
                };
            }
            if self.head.first_index(Known::Host).is_some() {
                return Err(RequestError::RepeatedHost);
            }
            if target::split_authority(value).is_none() {
                return Err(RequestError::InvalidHost);
            }
        }
        let limits = self.limits;
        self.head.push::<RequestError>(name, value, &limits)
    }

    /// Ends the head. `has_body` says whether anything follows it: for HTTP/2, whether the stream is
    /// still open.
    ///
    /// # Errors
    ///
    /// When the host is missing or the content length does not fit.
    pub fn finish(&mut self, has_body: bool) -> Result<(), RequestError> {
        if self.head.stage != Stage::Fields {
            return Err(FieldError::EmptyName.into());
        }
        if self.head.first_index(Known::Host).is_none() {
            return Err(RequestError::MissingHost);
        }
        if self.head.is_repeated(Known::ContentLength) {
            return Err(FramingError::RepeatedContentLength.into());
        }
        let length = match self.head.find(Known::ContentLength) {
            Some(value) => Some(framing::content_length(value)?),
            None => None,
        };
        self.body = match (length, has_body) {
            (Some(length), true) => RequestBody::Length(length),
            (Some(0), false) => RequestBody::Length(0),
            (Some(_), false) => return Err(FramingError::MissingBody.into()),
            (None, true) => RequestBody::Chunked,
            (None, false) => RequestBody::None,
        };
        self.head.stage = Stage::Done;
        self.settle_expectation()
    }
}
