//! Reads the `resilience` object of a route.

use std::collections::BTreeMap;

use bastide_config::{Fields, Node, parse};
use serde_json::Value;

use super::syntax::{check_method, header_value};
use crate::model::{CircuitBreaker, Fallback, HealthCheck, Resilience, Retry, Timeouts};

/// The longest time that anything may be told to wait: a day.
pub(super) const MAX_MS: u64 = 24 * 60 * 60 * 1_000;
/// Probing faster than this finds nothing sooner and only costs.
const MIN_INTERVAL_MS: u64 = 100;
const MAX_THRESHOLD: u32 = 1_000;
const MAX_RETRIES: u32 = 10;
const MAX_METHODS: usize = 32;
const MAX_BODY: usize = 64 * 1_024;
const MAX_ENDPOINT: usize = 1_024;

/// The whole object; every part is optional.
pub(super) fn resilience(node: Node<'_, '_>) -> Option<Resilience> {
    node.object(|fields| {
        Some(Resilience {
            circuit_breaker: fields.object("circuitBreaker", circuit_breaker),
            retry: fields.object("retry", retry),
            timeout: fields.object("timeout", timeouts),
            health_check: fields.object("healthCheck", health_check),
            fallback: fields.object("fallback", fallback),
        })
    })
}

/// `None` never comes of these readers: a refused member stands as a problem, its default lets the reading go on.
#[expect(clippy::unnecessary_wraps, reason = "the form of an object's reader")]
fn circuit_breaker(fields: &mut Fields<'_, '_>) -> Option<CircuitBreaker> {
    let default = CircuitBreaker::default();
    Some(CircuitBreaker {
        enabled: fields.or("enabled", default.enabled, parse::boolean),
        failure_threshold: fields.or("failureThreshold", default.failure_threshold, threshold()),
        success_threshold: fields.or("successThreshold", default.success_threshold, threshold()),
        timeout: fields.or("timeout", default.timeout, parse::integer(1..=MAX_MS)),
    })
}

fn retry(fields: &mut Fields<'_, '_>) -> Option<Retry> {
    let default = Retry::default();
    let has_max_delay = fields.has("maxDelayMs");
    let base_delay_ms = fields.or(
        "baseDelayMs",
        default.base_delay_ms,
        parse::integer(0..=MAX_MS),
    );
    let max_delay_ms = fields.optional("maxDelayMs", parse::integer(0..=MAX_MS));
    if has_max_delay && max_delay_ms.is_some_and(|max| max < base_delay_ms) {
        return fields.reject_field(
            "maxDelayMs",
            format!("must be at least `baseDelayMs` ({base_delay_ms})"),
        );
    }
    let codes = parse::list(1..=200, parse::integer(400..=599_u16));
    let mut codes = fields.or_else(
        "retryableStatusCodes",
        || default.retryable_status_codes.clone(),
        codes,
    );
    codes.sort_unstable();
    codes.dedup();
    Some(Retry {
        enabled: fields.or("enabled", default.enabled, parse::boolean),
        max_retries: fields.or(
            "maxRetries",
            default.max_retries,
            parse::integer(0..=MAX_RETRIES),
        ),
        base_delay_ms,
        max_delay_ms: max_delay_ms.unwrap_or_else(|| default.max_delay_ms.max(base_delay_ms)),
        retryable_status_codes: codes,
    })
}

#[expect(clippy::unnecessary_wraps, reason = "the form of an object's reader")]
fn timeouts(fields: &mut Fields<'_, '_>) -> Option<Timeouts> {
    let millis = || parse::integer(1..=MAX_MS);
    let by_method = parse::map(MAX_METHODS, check_method, millis());
    Some(Timeouts {
        default: fields.optional("default", millis()),
        by_method: fields.or_else("byMethod", BTreeMap::new, by_method),
        connect_ms: fields.optional("connectMs", millis()),
        total_ms: fields.optional("totalMs", millis()),
        idle_ms: fields.optional("idleMs", millis()),
        tunnel_idle_ms: fields.optional("tunnelIdleMs", millis()),
    })
}

#[expect(clippy::unnecessary_wraps, reason = "the form of an object's reader")]
fn health_check(fields: &mut Fields<'_, '_>) -> Option<HealthCheck> {
    let default = HealthCheck::default();
    Some(HealthCheck {
        enabled: fields.or("enabled", default.enabled, parse::boolean),
        endpoint: fields.or("endpoint", default.endpoint, endpoint),
        interval_ms: fields.or(
            "intervalMs",
            default.interval_ms,
            parse::integer(MIN_INTERVAL_MS..=MAX_MS),
        ),
        timeout_ms: fields.or("timeoutMs", default.timeout_ms, parse::integer(1..=MAX_MS)),
        healthy_threshold: fields.or("healthyThreshold", default.healthy_threshold, threshold()),
        unhealthy_threshold: fields.or(
            "unhealthyThreshold",
            default.unhealthy_threshold,
            threshold(),
        ),
    })
}

fn threshold() -> impl Fn(Node<'_, '_>) -> Option<u32> + Clone {
    parse::integer(1..=MAX_THRESHOLD)
}

fn endpoint(mut node: Node<'_, '_>) -> Option<String> {
    let is_target = |text: &str| {
        text.starts_with('/')
            && text.len() <= MAX_ENDPOINT
            && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
    };
    match node.value() {
        Value::String(text) if is_target(text) => Some(text.clone()),
        _ => node.expected("a path such as /health"),
    }
}

fn fallback(fields: &mut Fields<'_, '_>) -> Option<Fallback> {
    let default = Fallback::default();
    let enabled = fields.or("enabled", default.enabled, parse::boolean);
    let status_code = fields.or("statusCode", default.status_code, parse::integer(200..=599));
    let content_type = fields.or("contentType", default.content_type, media_type);
    let body = fields.optional("body", parse::string(0..=MAX_BODY));
    let cached = fields.or("cached", default.cached, parse::boolean);
    let must_be_empty = matches!(status_code, 204 | 205 | 304);
    if must_be_empty && body.as_ref().is_some_and(|body| !body.is_empty()) {
        return fields.reject_field(
            "body",
            format!("a response with status {status_code} has no body; leave it empty"),
        );
    }
    let body = body.unwrap_or_else(|| {
        if must_be_empty {
            String::new()
        } else {
            default.body
        }
    });
    Some(Fallback {
        enabled,
        status_code,
        content_type,
        body,
        cached,
    })
}

fn media_type(mut node: Node<'_, '_>) -> Option<String> {
    let text = header_value(node.again())?;
    let essence = text.split(';').next().unwrap_or_default().trim();
    let is_name = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    match essence.split_once('/') {
        Some((kind, subtype)) if is_name(kind) && is_name(subtype) && text.is_ascii() => Some(text),
        _ => node.expected("a media type such as application/json"),
    }
}
