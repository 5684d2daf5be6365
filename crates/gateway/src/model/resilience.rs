//! What a route does when its upstreams misbehave. Every part is off until the route switches it on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The status codes that a retry policy names when it names none.
pub const DEFAULT_RETRYABLE_STATUS_CODES: [u16; 4] = [500, 502, 503, 504];

/// The `resilience` object of a route.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Resilience {
    /// Stops calling an endpoint that keeps failing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub circuit_breaker: Option<CircuitBreaker>,
    /// Tries again, on another endpoint each time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// How long to wait for the upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Timeouts>,
    /// Probes endpoints before a client finds out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// What the client gets when nothing else can be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
}

/// A breaker per route and endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CircuitBreaker {
    /// Default true: naming the object switches it on.
    pub enabled: bool,
    /// Consecutive failures that open it. Default 5.
    pub failure_threshold: u32,
    /// Successful probes that close it, and how many probes it lets through at once. Default 2.
    pub success_threshold: u32,
    /// Milliseconds that it stays open. Default 30 000.
    pub timeout: u64,
}

/// When and how to try again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Retry {
    /// Default true: naming the object switches it on.
    pub enabled: bool,
    /// Attempts beyond the first. Default 3.
    pub max_retries: u32,
    /// Milliseconds before the first retry, doubled each time. Default 1 000.
    pub base_delay_ms: u64,
    /// Milliseconds, the most that one delay may reach. Default 30 000.
    pub max_delay_ms: u64,
    /// Default 500, 502, 503, 504.
    pub retryable_status_codes: Vec<u16>,
}

/// Limits of time. An upstream's own `timeout` holds where neither a method's nor the default one is given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Timeouts {
    /// Milliseconds until the response's head, for every method that `by_method` does not name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<u64>,
    /// Milliseconds until the response's head, by method.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub by_method: BTreeMap<String, u64>,
    /// Milliseconds to reach the upstream. Default 5 000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_ms: Option<u64>,
    /// Milliseconds for the whole exchange, body included. Default none: bodies are held to progress, not to a total.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_ms: Option<u64>,
    /// Milliseconds without a byte in a body, either way. Default 60 000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_ms: Option<u64>,
    /// Milliseconds without a byte in a WebSocket, either way. Default 3 600 000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel_idle_ms: Option<u64>,
}

/// Active probes: `GET endpoint` on every upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthCheck {
    /// Default true: naming the object switches it on.
    pub enabled: bool,
    /// Path on the upstream. Default `/health`.
    pub endpoint: String,
    /// Milliseconds between probes. Default 30 000.
    pub interval_ms: u64,
    /// Milliseconds until a probe counts as failed. Default 5 000.
    pub timeout_ms: u64,
    /// Successes in a row that make an unhealthy endpoint healthy. Default 2.
    pub healthy_threshold: u32,
    /// Failures in a row that make a healthy endpoint unhealthy. Default 3.
    pub unhealthy_threshold: u32,
}

/// A static answer for when the breaker is open, retries are exhausted or no endpoint is healthy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Fallback {
    /// Default true: naming the object switches it on.
    pub enabled: bool,
    /// Default 503.
    pub status_code: u16,
    /// Default `application/json`.
    pub content_type: String,
    /// Default `{"error":"Service Unavailable","message":"The upstream service is temporarily unavailable"}`.
    pub body: String,
    /// Serve the last good cached response of the same request first, if there is one. Default false.
    pub cached: bool,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self {
            enabled: true,
            failure_threshold: 5,
            success_threshold: 2,
            timeout: 30_000,
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            enabled: true,
            max_retries: 3,
            base_delay_ms: 1_000,
            max_delay_ms: 30_000,
            retryable_status_codes: DEFAULT_RETRYABLE_STATUS_CODES.to_vec(),
        }
    }
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            enabled: true,
            endpoint: "/health".to_owned(),
            interval_ms: 30_000,
            timeout_ms: 5_000,
            healthy_threshold: 2,
            unhealthy_threshold: 3,
        }
    }
}

impl Default for Fallback {
    fn default() -> Self {
        Self {
            enabled: true,
            status_code: 503,
            content_type: "application/json".to_owned(),
            body: r#"{"error":"Service Unavailable","message":"The upstream service is temporarily unavailable"}"#
                .to_owned(),
            cached: false,
        }
    }
}
