//! What may be wrong with a request's target, and with a configured route.

use thiserror::Error;

/// Why a request target or `Host` is refused. The gateway answers each with 400.
///
/// A refusal carries no text of the request: it may go to a log or a response as it stands.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PathError {
    /// The target does not begin with `/`.
    #[error("the request path must start with `/`")]
    NotAbsolute,
    /// A segment is `.` or `..`, however it is written.
    #[error("the request path holds a `.` or `..` segment; send the path already resolved")]
    DotSegment,
    /// A space, NUL or other control character, raw or percent-encoded.
    #[error("the request path holds a raw space or a control character; remove it")]
    Control,
    /// A backslash, raw or percent-encoded.
    #[error("the request path holds a backslash; separate segments with `/`")]
    Backslash,
    /// `%` without two hexadecimal digits behind it.
    #[error(
        "the request path holds a `%` without two hexadecimal digits; write a literal one as `%25`"
    )]
    BadPercent,
    /// The decoded path is not UTF-8; overlong forms are among these.
    #[error("the request path does not decode to valid UTF-8")]
    NotUtf8,
    /// A `#` in the target: fragments stay with the client.
    #[error("the request target holds a `#`; a fragment is not sent to a server")]
    Fragment,
    /// A space or control character in the query.
    #[error("the query holds a raw space or a control character; percent-encode it")]
    QueryControl,
    /// The query is not UTF-8.
    #[error("the query is not valid UTF-8; percent-encode it")]
    QueryNotUtf8,
    /// The `Host` value is no host name, address or bracketed IPv6 address with an optional port.
    #[error("the host is not a valid name or address with an optional port")]
    BadHost,
}

impl PathError {
    /// The stable machine-readable code of the refusal.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotAbsolute => "path_not_absolute",
            Self::DotSegment => "path_dot_segment",
            Self::Control => "path_control_character",
            Self::Backslash => "path_backslash",
            Self::BadPercent => "path_bad_percent",
            Self::NotUtf8 => "path_not_utf8",
            Self::Fragment => "path_fragment",
            Self::QueryControl => "query_control_character",
            Self::QueryNotUtf8 => "query_not_utf8",
            Self::BadHost => "host_invalid",
        }
    }
}

/// Why a route's host, path or rewrite cannot be used. Found when configuration is read, never while a request is
/// served.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The path cannot be the canonical path of any request.
    #[error("path `{path}` can match no request: {reason}")]
    Unreachable {
        /// The path as configured.
        path: String,
        /// Why a request with this path is refused.
        reason: PathError,
    },
    /// The path has a query.
    #[error("path `{path}` holds `?`; routes match the path alone, remove the query")]
    Query {
        /// The path as configured.
        path: String,
    },
    /// A segment uses braces or a star in a way that is not a parameter.
    #[error("segment `{segment}` of path `{path}`: {problem}")]
    Segment {
        /// The path as configured.
        path: String,
        /// The segment at fault.
        segment: String,
        /// What is wrong with it and what to write instead.
        problem: &'static str,
    },
    /// The path exceeds a limit.
    #[error("path `{path}` has {found} {unit}; at most {limit} are allowed")]
    TooLong {
        /// The path as configured.
        path: String,
        /// What is counted.
        unit: &'static str,
        /// How many there are.
        found: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// The host pattern is not a host name or `*.` and a host name.
    #[error(
        "host `{host}` must be a host name such as `api.example.com`, or `*.example.com` for the names below it"
    )]
    Host {
        /// The host as configured.
        host: String,
    },
    /// The method is no HTTP method that a route can name.
    #[error(
        "method `{method}` must be one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, or `*` for every method"
    )]
    Method {
        /// The method as configured.
        method: String,
    },
    /// The regular expression does not parse or is not allowed.
    #[error("regular expression `{pattern}`: {problem}")]
    Regex {
        /// The expression as configured.
        pattern: String,
        /// What is wrong with it, with its place where it is known.
        problem: String,
    },
    /// The replacement of a path rewrite cannot be used.
    #[error("replacement `{replacement}`: {problem}")]
    Replacement {
        /// The replacement as configured.
        replacement: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The table has more entries than its indexes can address.
    #[error("the routes need more than {limit} {unit}; split them over tenants")]
    TooMany {
        /// What there is too much of.
        unit: &'static str,
        /// How many fit.
        limit: usize,
    },
}

/// A rewrite made something that is not a canonical path. Nothing may be sent upstream; the gateway answers 500, since
/// the configuration and not the client is at fault.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the path rewrite made a path that cannot be forwarded: {reason}")]
pub struct RewriteError {
    /// Why the made path is refused.
    pub reason: PathError,
}

impl RewriteError {
    /// The stable machine-readable code.
    pub const CODE: &'static str = "path_rewrite_invalid";
}
