//! What is refused, by name.
//!
//! Each error has a stable `code()` for logs, metrics and problem documents, and a message that says
//! what the peer should do. None holds bytes of the message: what a peer sent may be secret.

use thiserror::Error;

/// A field line that is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FieldError {
    /// CR without LF (RFC 9112 section 2.2).
    #[error("a carriage return must be followed by a line feed")]
    BareCr,
    /// LF without CR. RFC 9112 section 2.2 allows a lenient reader to take it; readers that differ
    /// here can be played against each other.
    #[error("end lines with carriage return and line feed, not with a line feed alone")]
    BareLf,
    /// A line that starts with white space: obsolete folding (RFC 9112 section 5.2), or white space
    /// before the first field (section 2.2).
    #[error("put each field on one line; a line must not start with white space")]
    Folded,
    /// Nothing before the colon.
    #[error("a field needs a name before the colon")]
    EmptyName,
    /// White space in or after the name (RFC 9112 section 5.1).
    #[error("remove the white space between a field name and its colon")]
    SpaceBeforeColon,
    /// A line without a colon.
    #[error("a field line needs a colon after its name")]
    MissingColon,
    /// A byte in the name that is no `tchar` (RFC 9110 section 5.6.2).
    #[error("a field name holds a byte that names must not have")]
    InvalidName,
    /// A control byte in the value (RFC 9110 section 5.5).
    #[error("a field value holds a control byte")]
    InvalidValue,
    /// `Content_Length` or `Transfer_Encoding`: framing fields to programs that take `_` for `-`.
    #[error("spell content-length and transfer-encoding with a dash")]
    FramingAlias,
}

impl FieldError {
    /// A stable name for logs and problem documents.
    pub fn code(self) -> &'static str {
        match self {
            Self::BareCr => "bare_cr",
            Self::BareLf => "bare_lf",
            Self::Folded => "folded_field",
            Self::EmptyName => "empty_field_name",
            Self::SpaceBeforeColon => "space_before_colon",
            Self::MissingColon => "missing_colon",
            Self::InvalidName => "invalid_field_name",
            Self::InvalidValue => "invalid_field_value",
            Self::FramingAlias => "framing_alias",
        }
    }
}

/// Fields that do not say in one way where the message ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FramingError {
    /// Start line and fields exceed [`Limits::head_bytes`](crate::Limits::head_bytes).
    #[error("the head is too large; send fewer or shorter fields")]
    HeadTooLarge,
    /// More field lines than [`Limits::fields`](crate::Limits::fields).
    #[error("the head has too many fields; send fewer")]
    TooManyFields,
    /// More names in `Connection` than any honest peer nominates.
    #[error("connection names too many options")]
    TooManyConnectionOptions,
    /// `Content-Length` twice: in a request whatever the values, in a response when they differ.
    #[error("send content-length once")]
    RepeatedContentLength,
    /// Not a plain decimal number from 0 to 2^63 - 1 without leading zeros.
    #[error("content-length must be one plain decimal number")]
    InvalidContentLength,
    /// Both framing fields (RFC 9112 section 6.1).
    #[error("send either content-length or transfer-encoding, not both")]
    LengthAndTransferEncoding,
    /// `Transfer-Encoding` in more than one field line.
    #[error("send transfer-encoding once")]
    RepeatedTransferEncoding,
    /// A `Transfer-Encoding` that does not end in one `chunked` (RFC 9112 section 6.3).
    #[error("transfer-encoding must be exactly `chunked`")]
    InvalidTransferEncoding,
    /// Codings before the final `chunked` (RFC 9112 section 6.1).
    #[error("the only transfer coding taken here is `chunked`")]
    UnsupportedTransferCoding,
    /// HTTP/1.0 has no transfer codings (RFC 9112 section 6.1).
    #[error("transfer-encoding needs HTTP/1.1")]
    TransferEncodingInHttp10,
    /// A connection-specific field in a message that came over HTTP/2 (RFC 9113 section 8.2.2).
    #[error("a connection-specific field has no place in an HTTP/2 message")]
    ConnectionField,
    /// A message without a body that announces one by `Content-Length`.
    #[error("content-length announces a body, but the message ends with its head")]
    MissingBody,
    /// An informational response that announces a body (RFC 9110 section 8.6, RFC 9112 section 6.1).
    #[error("an informational response must not announce a body")]
    UnexpectedBody,
}

impl FramingError {
    /// A stable name for logs and problem documents.
    pub fn code(self) -> &'static str {
        match self {
            Self::HeadTooLarge => "head_too_large",
            Self::TooManyFields => "too_many_fields",
            Self::TooManyConnectionOptions => "too_many_connection_options",
            Self::RepeatedContentLength => "repeated_content_length",
            Self::InvalidContentLength => "invalid_content_length",
            Self::LengthAndTransferEncoding => "length_and_transfer_encoding",
            Self::RepeatedTransferEncoding => "repeated_transfer_encoding",
            Self::InvalidTransferEncoding => "invalid_transfer_encoding",
            Self::UnsupportedTransferCoding => "unsupported_transfer_coding",
            Self::TransferEncodingInHttp10 => "transfer_encoding_in_http10",
            Self::ConnectionField => "connection_field",
            Self::MissingBody => "missing_body",
            Self::UnexpectedBody => "unexpected_body",
        }
    }

    /// The status a server answers with.
    pub fn status(self) -> u16 {
        match self {
            Self::HeadTooLarge | Self::TooManyFields => 431,
            Self::UnsupportedTransferCoding => 501,
            _ => 400,
        }
    }
}

/// A request that is refused. After one the connection cannot be used: answer and close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RequestError {
    /// A bad field line.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// Ambiguous or oversized framing.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// The start of an HTTP/2 connection (RFC 9113 section 3.4). The input is untouched: hand it to an
    /// HTTP/2 server, or refuse it.
    #[error("this is HTTP/2 with prior knowledge")]
    Http2Preface,
    /// More than one empty line before the request (RFC 9112 section 2.2 tells servers to skip one).
    #[error("start with the request line; more than one empty line came first")]
    LeadingEmptyLines,
    /// Not `method SP target SP version`, each space single.
    #[error("the request line must be method, target and version with single spaces between")]
    InvalidRequestLine,
    /// The method is no token, or longer than 32 bytes.
    #[error("the method is not valid")]
    InvalidMethod,
    /// A byte that a target must not have, or a target of no known form (RFC 9112 section 3.2).
    #[error("the target is not valid; percent-encode what is not plain ASCII")]
    InvalidTarget,
    /// The target exceeds [`Limits::target_bytes`](crate::Limits::target_bytes).
    #[error("the target is too long")]
    TargetTooLong,
    /// A target form that belongs to another method (`*`: `OPTIONS`; `host:port`: `CONNECT`).
    #[error("the form of the target does not fit the method")]
    TargetForm,
    /// A request line that ends after the target, as in HTTP/0.9.
    #[error("the request line needs a version; HTTP/0.9 is not served")]
    MissingVersion,
    /// Not `HTTP/` with a digit, a dot and a digit, in capitals.
    #[error("the version is not valid; send HTTP/1.1")]
    InvalidVersion,
    /// A well-formed version other than 1.0 and 1.1.
    #[error("the version is not supported here; send HTTP/1.1")]
    UnsupportedVersion,
    /// HTTP/1.1 without `Host` (RFC 9112 section 3.2).
    #[error("send a host field")]
    MissingHost,
    /// `Host` more than once.
    #[error("send the host field once")]
    RepeatedHost,
    /// `Host`, or the authority of the target, is not a name or address with an optional port.
    #[error("the host must be a name or address with an optional port")]
    InvalidHost,
    /// `Host` and `:authority` of an HTTP/2 request differ (RFC 9113 section 8.3.1).
    #[error("host and :authority must agree")]
    HostConflict,
    /// An expectation other than `100-continue` (RFC 9110 section 10.1.1).
    #[error("the only expectation met here is 100-continue")]
    UnknownExpectation,
}

impl RequestError {
    /// A stable name for logs and problem documents.
    pub fn code(self) -> &'static str {
        match self {
            Self::Field(error) => error.code(),
            Self::Framing(error) => error.code(),
            Self::Http2Preface => "http2_preface",
            Self::LeadingEmptyLines => "leading_empty_lines",
            Self::InvalidRequestLine => "invalid_request_line",
            Self::InvalidMethod => "invalid_method",
            Self::InvalidTarget => "invalid_target",
            Self::TargetTooLong => "target_too_long",
            Self::TargetForm => "target_form",
            Self::MissingVersion => "missing_version",
            Self::InvalidVersion => "invalid_version",
            Self::UnsupportedVersion => "unsupported_version",
            Self::MissingHost => "missing_host",
            Self::RepeatedHost => "repeated_host",
            Self::InvalidHost => "invalid_host",
            Self::HostConflict => "host_conflict",
            Self::UnknownExpectation => "unknown_expectation",
        }
    }

    /// The status to answer with.
    pub fn status(self) -> u16 {
        match self {
            Self::Framing(error) => error.status(),
            Self::TargetTooLong => 414,
            Self::UnknownExpectation => 417,
            Self::UnsupportedVersion | Self::Http2Preface => 505,
            _ => 400,
        }
    }
}

/// A response that is refused. The connection it came on must be closed; a gateway answers 502.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ResponseError {
    /// A bad field line.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// Ambiguous or oversized framing.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// Not `version SP status [SP reason]`.
    #[error("the status line must be version, status and reason with single spaces between")]
    InvalidStatusLine,
    /// A version other than HTTP/1.0 and HTTP/1.1.
    #[error("the response's version is not HTTP/1.0 or HTTP/1.1")]
    UnsupportedVersion,
    /// Not three digits from 100 to 999.
    #[error("the status must be a number from 100 to 999")]
    InvalidStatus,
}

impl ResponseError {
    /// A stable name for logs and problem documents.
    pub fn code(self) -> &'static str {
        match self {
            Self::Field(error) => error.code(),
            Self::Framing(error) => error.code(),
            Self::InvalidStatusLine => "invalid_status_line",
            Self::UnsupportedVersion => "unsupported_version",
            Self::InvalidStatus => "invalid_status",
        }
    }
}

/// A body that is not framed as its head says. The connection cannot be used any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BodyError {
    /// A bad line in the trailer section.
    #[error(transparent)]
    Trailer(#[from] FieldError),
    /// Not 1 to 16 hex digits, or 2^63 and more (RFC 9112 section 7.1).
    #[error("a chunk size must be 1 to 16 hex digits and below 2^63")]
    InvalidChunkSize,
    /// A chunk extension that does not follow RFC 9112 section 7.1.1.
    #[error("a chunk extension is not valid")]
    InvalidChunkExtension,
    /// One chunk-size line, or all extensions together, exceed their limit.
    #[error("chunk extensions are too large")]
    ChunkLineTooLong,
    /// A chunk-size line or a chunk's data that does not end in CRLF.
    #[error("end chunks with carriage return and line feed")]
    InvalidChunkEnd,
    /// The trailer section exceeds its limits.
    #[error("the trailer section is too large")]
    TrailersTooLarge,
    /// The connection ended before the body did.
    #[error("the connection ended before the body was complete")]
    Truncated,
}

impl BodyError {
    /// A stable name for logs and problem documents.
    pub fn code(self) -> &'static str {
        match self {
            Self::Trailer(error) => error.code(),
            Self::InvalidChunkSize => "invalid_chunk_size",
            Self::InvalidChunkExtension => "invalid_chunk_extension",
            Self::ChunkLineTooLong => "chunk_line_too_long",
            Self::InvalidChunkEnd => "invalid_chunk_end",
            Self::TrailersTooLarge => "trailers_too_large",
            Self::Truncated => "truncated_body",
        }
    }

    /// The status a server answers with, if it has not answered yet.
    pub fn status(self) -> u16 {
        match self {
            Self::TrailersTooLarge => 431,
            _ => 400,
        }
    }
}

/// Output that would not be the message the caller means. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// The method is no token.
    #[error("the method is not a token")]
    InvalidMethod,
    /// The target holds a byte that targets must not have, or is empty.
    #[error("the target holds a byte that must be percent-encoded")]
    InvalidTarget,
    /// The status is not from 100 to 999.
    #[error("the status must be a number from 100 to 999")]
    InvalidStatus,
    /// The reason phrase holds a control byte.
    #[error("the reason phrase holds a control byte")]
    InvalidReason,
    /// The field name is no token.
    #[error("the field name is not a token")]
    InvalidName,
    /// The field value holds a control byte, or starts or ends with white space.
    #[error("the field value holds a control byte or outer white space")]
    InvalidValue,
    /// More data than the announced length, or any at all where there is no body.
    #[error("more body than the announced length")]
    Overrun,
    /// The end before the announced length was written.
    #[error("less body than the announced length")]
    Underrun,
    /// `begin` and `end` do not alternate, or the body is already finished.
    #[error("begin and end of body data must alternate and come before finish")]
    OutOfOrder,
}

impl EncodeError {
    /// A stable name for logs.
    pub fn code(self) -> &'static str {
        match self {
            Self::InvalidMethod => "invalid_method",
            Self::InvalidTarget => "invalid_target",
            Self::InvalidStatus => "invalid_status",
            Self::InvalidReason => "invalid_reason",
            Self::InvalidName => "invalid_field_name",
            Self::InvalidValue => "invalid_field_value",
            Self::Overrun => "body_overrun",
            Self::Underrun => "body_underrun",
            Self::OutOfOrder => "body_out_of_order",
        }
    }
}
