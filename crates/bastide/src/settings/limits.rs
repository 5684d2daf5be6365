//! `[rate_limit]`: how often a caller may call what has no limit of its own.

use bastide_config::read::Fields;
use bastide_config::{Node, parse};
use bastide_rpc::LimitRule;

/// The default limit and where counts are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitSettings {
    /// `enabled`: whether anything is limited, methods' own limits included; on.
    pub enabled: bool,
    /// `default` and `tiers`: for all methods together that state no limit of their own; without `default` those are not limited.
    pub rule: Option<LimitRule>,
    /// `storage`: `memory` of this process, or `shared` between processes over Redis. Shared where the store is Redis.
    pub storage: Option<LimitStorage>,
    /// `prefix`: what the store's keys begin with behind `ratelimit:`; the program's name.
    pub prefix: Option<String>,
}

/// Where calls are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitStorage {
    /// In this process alone.
    Memory,
    /// In the shared store.
    Shared,
}

pub(super) fn read(fields: &mut Fields<'_, '_>) -> Option<LimitSettings> {
    let enabled = fields.setting("enabled", true, parse::boolean);
    let default = fields.optional("default", rule);
    let tiers = fields.optional("tiers", |node| {
        node.map(parse::any_key, parse::string(1..=64))
    });
    let storage = fields.optional(
        "storage",
        parse::choice(&[
            ("memory", LimitStorage::Memory),
            ("shared", LimitStorage::Shared),
        ]),
    );
    let prefix = fields.optional("prefix", parse::string(1..=64));
    let mut rule = default;
    for (tier, text) in tiers.into_iter().flatten() {
        let Some(known) = rule.take() else {
            return fields.reject_field("default", "is required beside `tiers`");
        };
        match known.tier(tier, &text) {
            Ok(wider) => rule = Some(wider),
            Err(error) => return fields.reject_field("tiers", error.to_string()),
        }
    }
    Some(LimitSettings {
        enabled,
        rule,
        storage,
        prefix,
    })
}

fn rule(mut node: Node<'_, '_>) -> Option<LimitRule> {
    let text = parse::string(1..=64)(node.again())?;
    match LimitRule::parse(&text) {
        Ok(rule) => Some(rule),
        Err(error) => node.reject(error.to_string()),
    }
}
