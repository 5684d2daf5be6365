//! Reads rate limits and tiers.

use bastide_config::{Node, parse};
use bastide_limit::{Policy, Rate};
use serde_json::Value;

use super::syntax;
use crate::model::{OnStoreLoss, RateLimit, Tiers};

const MAX_TIERS: usize = 1_000;

/// A rate limit: `{requestsPerSecond, burstSize?}` or `{limit, windowMs}`, either with `onStoreLoss?` and
/// `exact?`.
pub fn rate_limit(node: Node<'_, '_>) -> Option<RateLimit> {
    node.object(|fields| {
        let per_second = ["requestsPerSecond", "burstSize"].map(|name| fields.has(name));
        let window = ["limit", "windowMs"].map(|name| fields.has(name));
        let count = || parse::integer(1..=u32::MAX);
        let requests_per_second = fields.optional("requestsPerSecond", count());
        let burst_size = fields.optional("burstSize", count());
        let limit = fields.optional("limit", count());
        let window_ms = fields.optional("windowMs", parse::integer(1..=u64::MAX));
        let on_store_loss = fields.or("onStoreLoss", OnStoreLoss::default(), parse::choice(&ON_STORE_LOSS));
        let exact = fields.or("exact", false, parse::boolean);

        match (per_second.contains(&true), window.contains(&true)) {
            (true, true) => fields.reject(
                "`requestsPerSecond` and `burstSize` belong to one form of a limit, `limit` and `windowMs` to the other; \
                 keep one of the two pairs",
            ),
            (false, false) => fields.reject("expected `requestsPerSecond` (and `burstSize`), or `limit` and `windowMs`"),
            (true, false) if !per_second[0] => {
                fields.reject_field("requestsPerSecond", "is required beside `burstSize`")
            }
            (false, true) if !window[0] => fields.reject_field("limit", "is required beside `windowMs`"),
            (false, true) if !window[1] => fields.reject_field("windowMs", "is required beside `limit`"),
            (true, false) => {
                let requests_per_second = requests_per_second?;
                check(fields, Rate::PerSecond { requests_per_second, burst_size })?;
                Some(RateLimit::PerSecond { requests_per_second, burst_size, on_store_loss, exact })
            }
            (false, true) => {
                let (limit, window_ms) = (limit?, window_ms?);
                check(fields, Rate::Window { limit, window_ms })?;
                Some(RateLimit::Window { limit, window_ms, on_store_loss, exact })
            }
        }
    })
}

const ON_STORE_LOSS: [(&str, OnStoreLoss); 3] = [
    ("fail-share", OnStoreLoss::FailShare),
    ("fail-open", OnStoreLoss::FailOpen),
    ("fail-closed", OnStoreLoss::FailClosed),
];

/// The arithmetic's own bounds are the bounds here.
fn check(fields: &mut bastide_config::Fields<'_, '_>, rate: Rate) -> Option<()> {
    match Policy::new(rate) {
        Ok(_) => Some(()),
        Err(error) => fields.reject_field(error.field(), error.to_string()),
    }
}

/// The limits by tier name. At least the tier `free` has to be among them: it is every tenant's default.
pub fn tiers(mut node: Node<'_, '_>) -> Option<Tiers> {
    let named = |name: &str| {
        if is_tier_name(name) {
            Ok(())
        } else {
            Err(format!("expected {TIER_NAME}"))
        }
    };
    let tiers = parse::map(MAX_TIERS, named, rate_limit)(node.again())?;
    if tiers.contains_key("free") {
        return Some(tiers);
    }
    node.reject("the tier `free` is missing; it is the one that a tenant has by default")
}

const TIER_NAME: &str = "a tier's name: 1 to 64 letters, digits, `-`, `_` or `.`";

fn is_tier_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// The name of one of `tiers`.
pub fn tier_name(mut node: Node<'_, '_>, tiers: &Tiers) -> Option<String> {
    let name = match node.value() {
        Value::String(name) if is_tier_name(name) => name,
        _ => return node.expected(TIER_NAME),
    };
    if tiers.contains_key(name) {
        return Some(name.clone());
    }
    let known = tiers.keys().map(String::as_str);
    let message = format!("there is no tier `{name}`");
    match syntax::nearest(name, known.clone()) {
        Some(meant) => node.reject_with(message, format!("did you mean `{meant}`?")),
        None => node.reject_with(
            message,
            format!(
                "the tiers are {}",
                known.take(20).collect::<Vec<_>>().join(", ")
            ),
        ),
    }
}
