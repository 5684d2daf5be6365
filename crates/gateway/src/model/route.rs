//! A route: which requests go to which upstreams, and how.

use std::fmt;
use std::sync::Arc;

use bastide_routing::PathKind;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{ManagedBy, RateLimit, Resilience, Transform};

/// A tenant's route, or, without a tenant, the platform's, which serves every tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// Made by the gateway (UUID v7: among equals the older route wins).
    pub id: Uuid,
    /// Whose route it is; `None` is the platform's.
    pub tenant_id: Option<Uuid>,
    /// The method it serves. GET serves HEAD as well.
    pub method: MethodRule,
    /// The host it serves: exact (`api.example.org`) or wildcard (`*.example.org`); `None` serves every host.
    pub host: Option<String>,
    /// A path, a path with `{parameters}`, or a regular expression, as `path_type` says. 1 to 1 024 characters.
    pub path: String,
    /// How `path` is compared. Default `exact`.
    pub path_type: PathType,
    /// Whether a prefix route drops the matched prefix before it forwards. Default true.
    pub strip_prefix: bool,
    /// Decides among routes that match equally well; higher wins. Default 0.
    pub priority: i32,
    /// Whether an API key is asked for. Default `api-key`.
    pub auth: Auth,
    /// At least one.
    pub upstreams: Vec<Upstream>,
    /// Default `round-robin`.
    pub load_balancing: LoadBalancing,
    /// The route's own limit, counted per tenant beside the tenant's.
    pub rate_limit: Option<RateLimit>,
    /// Changes on the way through.
    pub transform: Option<Box<Transform>>,
    /// What happens when upstreams misbehave.
    pub resilience: Option<Box<Resilience>>,
    /// An inactive route matches nothing. Default true.
    pub is_active: bool,
    /// Who may change it.
    #[serde(default)]
    pub managed_by: ManagedBy,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Counts changes from 1; the entity tag of the Admin API.
    pub version: i64,
}

/// Which methods a route serves.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum MethodRule {
    /// `*`
    Any,
    /// One method, in upper case.
    One(String),
}

impl From<String> for MethodRule {
    fn from(text: String) -> Self {
        if text == "*" {
            Self::Any
        } else {
            Self::One(text)
        }
    }
}

impl From<MethodRule> for String {
    fn from(rule: MethodRule) -> Self {
        rule.to_string()
    }
}

impl fmt::Display for MethodRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "*",
            Self::One(method) => method,
        })
    }
}

/// How a route's path is compared with a request's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PathType {
    /// The whole path.
    #[default]
    Exact,
    /// The path or anything below it, by segments.
    Prefix,
    /// A regular expression over the whole path.
    Regex,
}

impl From<PathType> for PathKind {
    fn from(path_type: PathType) -> Self {
        match path_type {
            PathType::Exact => Self::Exact,
            PathType::Prefix => Self::Prefix,
            PathType::Regex => Self::Regex,
        }
    }
}

/// What a route asks of its callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// A tenant's API key in `X-API-Key`.
    #[default]
    ApiKey,
    /// Nothing. Only a platform route can be open: without a key there is no tenant.
    None,
}

/// How an upstream is picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoadBalancing {
    /// In turn, weights ignored.
    #[default]
    RoundRobin,
    /// In proportion to the weights, smoothly interleaved.
    Weighted,
    /// Uniformly at random.
    Random,
    /// The one with the fewest requests in flight.
    LeastRequest,
    /// The cheaper of two random ones by latency and load (peak EWMA).
    PeakEwma,
}

/// One endpoint of a route.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Upstream {
    /// `http://host[:port][/path]`, `https://host[:port][/path]` or `unix:/path/of/socket`.
    pub url: UpstreamUrl,
    /// Share of the traffic under `weighted`. 1 to 65 535, default 1.
    #[serde(default = "one")]
    pub weight: u32,
    /// Milliseconds until the response's head. Default 30 000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// What is spoken to it. Default `auto`.
    #[serde(default, skip_serializing_if = "Protocol::is_auto")]
    pub protocol: Protocol,
}

/// The version of HTTP that is spoken to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// Over TLS what the upstream prefers (ALPN), else HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1 always.
    Http1,
    /// HTTP/2 always; without TLS by prior knowledge. What gRPC servers need.
    Http2,
}

impl Protocol {
    fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}

fn one() -> u32 {
    1
}

/// A checked upstream URL. Cheap to clone: the configuration, the snapshots and the endpoints' states share its parts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UpstreamUrl(Arc<UrlParts>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct UrlParts {
    text: Box<str>,
    address: UpstreamAddress,
    base_path: Box<str>,
}

/// Where an upstream listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum UpstreamAddress {
    /// TCP, with TLS or without.
    Tcp {
        /// Name or address, without brackets.
        host: String,
        /// Explicit, or the scheme's.
        port: u16,
        /// Whether the scheme was `https`.
        tls: bool,
    },
    /// A Unix socket of this machine.
    Unix(String),
}

/// Why a text is no upstream URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamUrlError {
    /// Neither of the three schemes.
    #[error("expected a URL that begins with `http://`, `https://` or `unix:/`")]
    Scheme,
    /// No host, or not a name or address.
    #[error("the host is missing or is not a name or an address")]
    Host,
    /// `[` without `]`, or something else than an IPv6 address between them.
    #[error("an IPv6 address stands in brackets: `http://[::1]:8080`")]
    Brackets,
    /// Not a port.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// Credentials in a URL end up in logs.
    #[error(
        "user and password do not belong into the URL; set an `Authorization` header by `transform`"
    )]
    Credentials,
    /// Query or fragment.
    #[error("a query or fragment cannot be part of an upstream's URL")]
    Query,
    /// Dot segments, backslashes, control characters and the like.
    #[error(
        "the path may hold only plain segments: no `.` or `..`, no backslash, no space or control character"
    )]
    Path,
    /// A Unix socket's path that is relative, empty, too long for the system or holds a NUL.
    #[error(
        "after `unix:` comes the socket's whole path: it begins with `/`, has at most 107 bytes and no NUL"
    )]
    Socket,
}

impl UpstreamUrl {
    /// The URL as it was written.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Where to connect.
    pub fn address(&self) -> &UpstreamAddress {
        &self.0.address
    }

    /// The URL's own path, without a trailing slash: what every forwarded path begins with. Often empty.
    pub fn base_path(&self) -> &str {
        &self.0.base_path
    }

    fn new(text: String, address: UpstreamAddress, base_path: &str) -> Self {
        Self(Arc::new(UrlParts {
            text: text.into(),
            address,
            base_path: base_path.into(),
        }))
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<UpstreamUrl> for String {
    fn from(url: UpstreamUrl) -> Self {
        url.as_str().to_owned()
    }
}

impl TryFrom<String> for UpstreamUrl {
    type Error = UpstreamUrlError;

    fn try_from(text: String) -> Result<Self, UpstreamUrlError> {
        if let Some(path) = text.strip_prefix("unix:") {
            let is_plain =
                path.starts_with('/') && path.len() > 1 && path.len() < 108 && !path.contains('\0');
            if !is_plain {
                return Err(UpstreamUrlError::Socket);
            }
            let address = UpstreamAddress::Unix(path.to_owned());
            return Ok(Self::new(text, address, ""));
        }
        let (tls, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (None, Some(rest)) => (true, rest),
            (None, None) => return Err(UpstreamUrlError::Scheme),
        };
        if rest.contains(['?', '#']) {
            return Err(UpstreamUrlError::Query);
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(UpstreamUrlError::Credentials);
        }
        let (host, port) = split_authority(authority)?;
        let port = port.unwrap_or(if tls { 443 } else { 80 });
        let base_path = path.trim_end_matches('/');
        if !base_path.is_empty() && !is_plain_path(base_path) {
            return Err(UpstreamUrlError::Path);
        }
        let address = UpstreamAddress::Tcp {
            host: host.to_owned(),
            port,
            tls,
        };
        let base_path = base_path.to_owned();
        Ok(Self::new(text, address, &base_path))
    }
}

fn split_authority(authority: &str) -> Result<(&str, Option<u16>), UpstreamUrlError> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or(UpstreamUrlError::Brackets)?;
        host.parse::<std::net::Ipv6Addr>()
            .map_err(|_| UpstreamUrlError::Brackets)?;
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(port),
            None if rest.is_empty() => None,
            None => return Err(UpstreamUrlError::Port),
        };
        (host, port)
    } else {
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
        let is_name = !host.is_empty()
            && host.len() <= 253
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
        if !is_name {
            return Err(UpstreamUrlError::Host);
        }
        (host, port)
    };
    let port = match port {
        Some(text) => match text.parse::<u16>() {
            Ok(port) if port > 0 && text.bytes().all(|b| b.is_ascii_digit()) => Some(port),
            _ => return Err(UpstreamUrlError::Port),
        },
        None => None,
    };
    Ok((host, port))
}

/// A base path is joined with request paths as text, so it has to be in the one form that requests are brought into.
fn is_plain_path(path: &str) -> bool {
    matches!(
        bastide_routing::canonical(path.as_bytes(), &mut String::new()),
        Ok(canonical) if canonical.path() == path && canonical.query().is_none()
    )
}
