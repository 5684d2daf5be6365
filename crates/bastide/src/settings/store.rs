//! `[store]`: what processes share.

use std::collections::HashMap;

use bastide_config::read::Fields;
use bastide_config::{Node, Secret, parse};
use bastide_store::{Namespace, RedisUrl};

/// The shared store.
#[derive(Debug)]
pub struct StoreSettings {
    /// `url`: `redis://`, `redis+cluster://`, `redis+sentinel://` (and with TLS), `sqlite:PATH` for the processes of one
    /// machine, or `memory`; `REDIS_URL` is the same. Without one this process's memory, which only development and tests allow.
    pub url: Option<Secret>,
    /// `databases`: namespaces that have a database of their own on one Redis server, as `{cache = 1, ratelimit = 4}`.
    pub databases: HashMap<Namespace, u32>,
}

impl StoreSettings {
    /// Whether counts can be shared by it.
    pub(crate) fn is_redis(&self) -> bool {
        let url = self.url.as_ref().map(Secret::expose);
        url.is_some_and(|url| RedisUrl::parse(url).is_ok())
    }
}

const NAMESPACES: &[(&str, Namespace)] = &[
    ("sessions", Namespace::Sessions),
    ("cache", Namespace::Cache),
    ("queue", Namespace::Queue),
    ("ratelimit", Namespace::RateLimit),
    ("locks", Namespace::Locks),
];

pub(super) fn read(fields: &mut Fields<'_, '_>) -> Option<StoreSettings> {
    let url = fields.optional("url", url);
    let databases = fields.object("databases", |fields| {
        let index = parse::integer(0..=10_000_u32);
        let of = |(name, namespace): &(&'static str, Namespace)| {
            let index = fields.optional(name, &index)?;
            Some((*namespace, index))
        };
        Some(NAMESPACES.iter().filter_map(of).collect())
    });
    let databases: HashMap<_, _> = databases.unwrap_or_default();
    let of_redis = url.as_deref().and_then(|url| RedisUrl::parse(url).ok());
    if let Some((_, index)) = databases.iter().next() {
        let fits = of_redis.map(|url| url.with_database(*index));
        match fits {
            Some(Ok(_)) => {}
            Some(Err(error)) => return fields.reject_field("databases", error.to_string()),
            None => {
                let message = "are those of a Redis server, and `store.url` is none";
                return fields.reject_field("databases", message);
            }
        }
    }
    Some(StoreSettings {
        url: url.map(Secret::new),
        databases,
    })
}

fn url(mut node: Node<'_, '_>) -> Option<String> {
    let text = parse::string(1..=4096)(node.again())?;
    let is_embedded = text == "memory"
        || text
            .strip_prefix("sqlite:")
            .is_some_and(|path| !path.is_empty());
    if is_embedded {
        return Some(text);
    }
    match RedisUrl::parse(&text) {
        Ok(_) => Some(text),
        Err(error) => node.reject(format!("{error}; or sqlite:PATH, or memory")),
    }
}
