//! `[cache]`: outputs that are kept.

use std::time::Duration;

use bastide_cache::CacheOptions;
use bastide_config::parse;
use bastide_config::read::Fields;

use super::{ANY_TIME, SOME_TIME};

/// The two tiers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheSettings {
    /// `multi_tier`: whether values are kept in the shared store too; on.
    pub multi_tier: bool,
    /// `l1.max_entries`: values in this process's memory; 5 000. Least recently used ones go first.
    pub l1_entries: usize,
    /// `l1.max_bytes`: bytes of those values together; 64 MiB.
    pub l1_bytes: usize,
    /// `l1.ttl`: how long a value stays in this process before the store is asked again; 60 s.
    pub l1_ttl: Duration,
    /// `l2.ttl`: how long a value stays in the store at most; 1 h.
    pub l2_ttl: Duration,
    /// `l2.prefix`: what the store's keys begin with behind `cache:`; the program's name.
    pub l2_prefix: Option<String>,
    /// `max_staleness`: how long after an invalidation another process may still serve the old value; 2 s.
    pub max_staleness: Duration,
}

impl CacheSettings {
    /// The options of the crate `cache`, for a program of this name.
    pub(crate) fn options(&self, name: &str) -> CacheOptions {
        CacheOptions {
            multi_tier: self.multi_tier,
            l1_entries: self.l1_entries,
            l1_bytes: self.l1_bytes,
            l1_ttl: self.l1_ttl,
            l2_ttl: self.l2_ttl,
            prefix: self.l2_prefix.clone().unwrap_or_else(|| name.to_owned()),
            max_staleness: self.max_staleness,
            ..CacheOptions::default()
        }
    }
}

pub(super) fn read(fields: &mut Fields<'_, '_>) -> Option<CacheSettings> {
    let multi_tier = fields.setting("multi_tier", true, parse::boolean);
    let max_staleness = fields.setting(
        "max_staleness",
        Duration::from_secs(2),
        parse::duration(SOME_TIME),
    );
    let mut read = CacheSettings {
        multi_tier,
        l1_entries: 5_000,
        l1_bytes: 64 << 20,
        l1_ttl: Duration::from_secs(60),
        l2_ttl: Duration::from_secs(3_600),
        l2_prefix: None,
        max_staleness,
    };
    fields.object_or_empty("l1", |fields| {
        let many = parse::integer(0..=1_000_000_000_usize);
        read.l1_entries = fields.setting("max_entries", read.l1_entries, many);
        let bytes = fields.setting("max_bytes", 64 << 20, parse::bytes(0..=1 << 40));
        read.l1_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        read.l1_ttl = fields.setting("ttl", read.l1_ttl, parse::duration(ANY_TIME));
        Some(())
    });
    fields.object_or_empty("l2", |fields| {
        read.l2_ttl = fields.setting("ttl", read.l2_ttl, parse::duration(SOME_TIME));
        read.l2_prefix = fields.optional("prefix", parse::string(0..=64));
        Some(())
    });
    if read.l1_entries == 0 && !read.multi_tier {
        return fields.reject_field(
            "multi_tier",
            "is off and `l1.max_entries` is 0: nothing would be kept anywhere",
        );
    }
    Some(read)
}
