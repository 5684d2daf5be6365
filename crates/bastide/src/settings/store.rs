//! `[store]`: what processes share.

use std::collections::HashMap;

use bastide_config::read::Fields;
use bastide_config::{Secret, parse};
use bastide_store::Namespace;

/// The shared store.
#[derive(Debug)]
pub struct StoreSettings {
    /// `url`: `redis://`, `redis+cluster://`, `redis+sentinel://` (and with TLS), `sqlite:PATH` for the processes of one
    /// machine, or `memory`; `REDIS_URL` is the same. Without one this process's memory, which only development and tests allow.
    pub url: Option<Secret>,
    /// `databases`: namespaces that have a database of their own on one Redis server, as `{cache = 1, ratelimit = 4}`.
    pub databases: HashMap<Namespace, u32>,
}

const NAMESPACES: &[(&str, Namespace)] = &[
    ("sessions", Namespace::Sessions),
    ("cache", Namespace::Cache),
    ("queue", Namespace::Queue),
    ("ratelimit", Namespace::RateLimit),
    ("locks", Namespace::Locks),
];

pub(super) fn read(fields: &mut Fields<'_, '_>) -> Option<StoreSettings> {
    let url = fields.optional("url", parse::string(1..=4096));
    let databases = fields.object("databases", |fields| {
        let index = parse::integer(0..=10_000_u32);
        let of = |(name, namespace): &(&'static str, Namespace)| {
            let index = fields.optional(name, &index)?;
            Some((*namespace, index))
        };
        Some(NAMESPACES.iter().filter_map(of).collect())
    });
    Some(StoreSettings {
        url: url.map(Secret::new),
        databases: databases.unwrap_or_default(),
    })
}
