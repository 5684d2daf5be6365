//! What the gateway answers when it does not forward: one kind per reason, each with a stable code.
//!
//! Bodies are problem details (RFC 9457). `Proxy-Status` (RFC 9209) says on each of them that it was the gateway that
//! answered, and why, so that nobody looks for the fault in an upstream that never saw the request.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use bastide_http1::{BodyError, RequestError};
use bastide_routing::PathError;

use crate::upstream::unreachable::Unreachable;

/// Why a request was not answered by an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The bytes are not one clear request. Holds the codec's code and words.
    Malformed {
        status: u16,
        code: &'static str,
        detail: String,
    },
    /// The path could mean different things to different readers.
    AmbiguousTarget(PathError),
    /// CONNECT or TRACE.
    MethodNotProxied,
    /// `Upgrade` to anything but `websocket`.
    UpgradeNotProxied,
    /// `Upgrade: websocket` with a method that opens no WebSocket.
    WebSocketMethod,
    /// `Upgrade: websocket` without what a handshake consists of.
    WebSocketHandshake,
    /// The request came back to a gateway that it had passed too often.
    Loop,
    /// No `X-API-Key`.
    KeyMissing,
    /// An unknown, expired or revoked key.
    KeyInvalid,
    /// The key's tenant is switched off.
    TenantInactive,
    /// It was not found out in time whether an imported key is valid, or too many wait for that.
    VerifierBusy,
    /// Over a limit; free again after this time.
    OverLimit { retry_after: Duration },
    /// No route matches.
    NoRoute,
    /// A route matches but for the method.
    WrongMethod { allow: String },
    /// Switched off by the operator.
    Maintenance { page: std::sync::Arc<str> },
    /// Every endpoint is unhealthy.
    NoHealthyEndpoint,
    /// Every endpoint's breaker is open.
    BreakerOpen { retry_after: Duration },
    /// No connection to the upstream.
    ConnectFailed(Unreachable),
    /// Connecting took too long.
    ConnectTimeout,
    /// The upstream closed or broke the connection before its response.
    UpstreamClosed,
    /// The upstream's response is not HTTP or contradicts itself.
    UpstreamMalformed,
    /// No response in time.
    UpstreamTimeout,
    /// The upstream answered, but every retry with a status that the route calls a failure.
    UpstreamUnwell { status: u16 },
    /// A path rewrite made something that is no path.
    RewriteFailed,
    /// The client's body stopped.
    BodyTimeout,
    /// The client's head took too long.
    HeadTimeout,
}

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Self {
        Self::Malformed {
            status: error.status(),
            code: error.code(),
            detail: error.to_string(),
        }
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        Self::Malformed {
            status: error.status(),
            code: error.code(),
            detail: error.to_string(),
        }
    }
}

impl Refusal {
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Malformed { status, .. } => *status,
            Self::AmbiguousTarget(_)
            | Self::UpgradeNotProxied
            | Self::WebSocketMethod
            | Self::WebSocketHandshake => 400,
            Self::KeyMissing => 401,
            Self::KeyInvalid | Self::TenantInactive => 403,
            Self::NoRoute => 404,
            Self::MethodNotProxied | Self::WrongMethod { .. } => 405,
            Self::BodyTimeout | Self::HeadTimeout => 408,
            Self::OverLimit { .. } => 429,
            Self::RewriteFailed => 500,
            Self::ConnectFailed(_) | Self::UpstreamClosed | Self::UpstreamMalformed => 502,
            Self::VerifierBusy
            | Self::Maintenance { .. }
            | Self::NoHealthyEndpoint
            | Self::BreakerOpen { .. } => 503,
            Self::ConnectTimeout | Self::UpstreamTimeout => 504,
            Self::Loop => 508,
            Self::UpstreamUnwell { status } => *status,
        }
    }

    /// Stable: programs may compare it.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Malformed { code, .. } => code,
            Self::AmbiguousTarget(error) => error.code(),
            Self::MethodNotProxied => "method_not_proxied",
            Self::UpgradeNotProxied => "upgrade_not_proxied",
            Self::WebSocketMethod => "websocket_method",
            Self::WebSocketHandshake => "websocket_handshake",
            Self::Loop => "loop_detected",
            Self::KeyMissing => "api_key_missing",
            Self::KeyInvalid => "api_key_invalid",
            Self::TenantInactive => "tenant_inactive",
            Self::VerifierBusy => "key_verifier_busy",
            Self::OverLimit { .. } => "rate_limited",
            Self::NoRoute => "no_route",
            Self::WrongMethod { .. } => "method_not_allowed",
            Self::Maintenance { .. } => "maintenance",
            Self::NoHealthyEndpoint => "no_healthy_endpoint",
            Self::BreakerOpen { .. } => "circuit_open",
            Self::ConnectFailed(why) if why.is_lasting() => "upstream_tls_failed",
            Self::ConnectFailed(_) => "upstream_unreachable",
            Self::ConnectTimeout => "upstream_connect_timeout",
            Self::UpstreamClosed => "upstream_closed",
            Self::UpstreamMalformed => "upstream_malformed",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::UpstreamUnwell { .. } => "upstream_failed",
            Self::RewriteFailed => "path_rewrite_failed",
            Self::BodyTimeout => "request_body_timeout",
            Self::HeadTimeout => "request_head_timeout",
        }
    }

    /// What happened and what the caller can do.
    pub(crate) fn detail(&self) -> Cow<'_, str> {
        let detail = match self {
            Self::Malformed { detail, .. } => detail,
            Self::AmbiguousTarget(error) => return error.to_string().into(),
            Self::MethodNotProxied => "this method is never forwarded",
            Self::UpgradeNotProxied => "only `Upgrade: websocket` is forwarded",
            Self::WebSocketMethod => "a WebSocket is opened by GET and by no other method",
            Self::WebSocketHandshake => {
                "a WebSocket is opened with one Sec-WebSocket-Key, one Sec-WebSocket-Version and no body"
            }
            Self::Loop => {
                "the request passed this gateway too often; look for a route that leads back to it"
            }
            Self::KeyMissing => "send the API key in the X-API-Key header",
            Self::KeyInvalid => "the API key is unknown, expired or revoked",
            Self::TenantInactive => "the tenant of this API key is inactive",
            Self::VerifierBusy => "the API key could not be verified in time; try again",
            Self::OverLimit { .. } => {
                "the rate limit is exceeded; wait as long as Retry-After says"
            }
            Self::NoRoute => "no route matches this host and path",
            Self::WrongMethod { .. } => {
                "the path exists, but not for this method; Allow lists those that it has"
            }
            Self::Maintenance { .. } => "the service is under maintenance",
            Self::NoHealthyEndpoint => "every upstream of this route fails its health checks",
            Self::BreakerOpen { .. } => {
                "every upstream of this route failed too often and is given time to recover"
            }
            Self::ConnectFailed(why) => why.detail(),
            Self::ConnectTimeout => "the upstream did not accept a connection in time",
            Self::UpstreamClosed => "the upstream closed the connection before it answered",
            Self::UpstreamMalformed => "the upstream's answer is not valid HTTP",
            Self::UpstreamTimeout => "the upstream did not answer in time",
            Self::UpstreamUnwell { .. } => "the upstream failed, and did so again on every retry",
            Self::RewriteFailed => {
                "the route's path rewrite does not make a valid path of this one"
            }
            Self::BodyTimeout => "the request body did not arrive in time",
            Self::HeadTimeout => "the request head did not arrive in time",
        };
        detail.into()
    }

    /// The error type of RFC 9209, section 2.3.
    pub(crate) fn proxy_status(&self) -> &'static str {
        match self {
            Self::Malformed { .. }
            | Self::AmbiguousTarget(_)
            | Self::UpgradeNotProxied
            | Self::WebSocketMethod
            | Self::WebSocketHandshake
            | Self::BodyTimeout
            | Self::HeadTimeout => "http_request_error",
            Self::MethodNotProxied
            | Self::KeyMissing
            | Self::KeyInvalid
            | Self::TenantInactive
            | Self::OverLimit { .. }
            | Self::WrongMethod { .. } => "http_request_denied",
            Self::Loop => "proxy_loop_detected",
            Self::NoRoute => "destination_not_found",
            Self::Maintenance { .. } | Self::NoHealthyEndpoint | Self::BreakerOpen { .. } => {
                "destination_unavailable"
            }
            Self::ConnectFailed(why) => why.proxy_status(),
            Self::ConnectTimeout => "connection_timeout",
            Self::UpstreamClosed => "connection_terminated",
            Self::UpstreamMalformed | Self::UpstreamUnwell { .. } => "http_protocol_error",
            Self::UpstreamTimeout => "http_response_timeout",
            Self::RewriteFailed => "proxy_configuration_error",
            Self::VerifierBusy => "proxy_internal_response",
        }
    }

    /// When it is worth trying again.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::OverLimit { retry_after } | Self::BreakerOpen { retry_after } => {
                Some(*retry_after)
            }
            Self::Maintenance { .. } => Some(Duration::from_secs(60)),
            Self::VerifierBusy => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// Whether what follows on the connection cannot be told from the rest of this request.
    pub(crate) fn must_close(&self) -> bool {
        matches!(
            self,
            Self::Malformed { .. } | Self::BodyTimeout | Self::HeadTimeout
        )
    }

    /// Whether a route's fallback may stand in for it.
    pub(crate) fn allows_fallback(&self) -> bool {
        matches!(
            self,
            Self::NoHealthyEndpoint
                | Self::BreakerOpen { .. }
                | Self::ConnectFailed(_)
                | Self::ConnectTimeout
                | Self::UpstreamClosed
                | Self::UpstreamMalformed
                | Self::UpstreamUnwell { .. }
                | Self::UpstreamTimeout
        )
    }

    pub(crate) fn content_type(&self) -> &'static str {
        match self {
            Self::Maintenance { .. } => "text/html; charset=utf-8",
            _ => "application/problem+json",
        }
    }

    pub(crate) fn write_body(&self, request_id: &str, out: &mut String) {
        if let Self::Maintenance { page } = self {
            out.push_str(page);
            return;
        }
        let status = self.status();
        let title = http::StatusCode::from_u16(status)
            .ok()
            .and_then(|s| s.canonical_reason())
            .unwrap_or("Error");
        // Every text here is ours and free of quotes and backslashes, but for the codec's words about what it found.
        write!(
            out,
            r#"{{"type":"about:blank","title":"{title}","status":{status},"detail":{},"code":"{}","requestId":"{request_id}"}}"#,
            serde_json::Value::from(self.detail()),
            self.code(),
        )
        .expect("writing to a string cannot fail");
    }
}

/// Seconds for `Retry-After`: rounded up, so that who waits that long is not refused again.
pub(crate) fn retry_after_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}
