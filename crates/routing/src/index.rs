//! A read-only hash index from (owner, text) to a number: one allocation for the slots, one for all texts.
//!
//! A table holds one of these for exact paths, prefixes, segments of parameter paths and hosts together, told apart by
//! the owner. Lookups cost the same in a table of ten and one of a hundred thousand, short of the memory caches: a slot
//! (four to a cache line, probed linearly), then the text.

use crate::ConfigError;
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

/// What a text belongs to, such as the exact paths of one scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Owner(u32);

#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Kind {
    Exact,
    Prefix,
    Lead,
    Edge,
    Host,
    BelowHost,
}

const ID_BITS: u32 = 29;

impl Owner {
    /// `id` must be below [`Owner::LIMIT`].
    pub(crate) const fn new(kind: Kind, id: u32) -> Self {
        Self((kind as u32) << ID_BITS | id)
    }

    pub(crate) const LIMIT: usize = 1 << ID_BITS;
}

/// Sixteen bytes, so that a cache line holds four.
#[derive(Clone, Copy, Debug)]
struct Slot {
    owner: Owner,
    value: u32,
    at: u32,
    len: u16,
    tag: u16,
}

const EMPTY: Slot = Slot {
    owner: Owner(u32::MAX),
    value: 0,
    at: 0,
    len: 0,
    tag: 0,
};

#[derive(Debug, Default)]
pub(crate) struct Index {
    /// A power of two of them, at most seven eighths taken; none at all in an empty index.
    slots: Box<[Slot]>,
    texts: Box<[u8]>,
    longest: u16,
    /// Seeded per process, so that a tenant cannot choose paths that collide.
    hasher: RandomState,
}

impl Index {
    pub(crate) fn get(&self, owner: Owner, text: &[u8]) -> Option<u32> {
        let len = u16::try_from(text.len()).ok()?;
        if len > self.longest {
            return None;
        }
        let hash = hash(&self.hasher, owner, text);
        let tag = tag(hash);
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots.get(at)?;
            if slot.owner == EMPTY.owner {
                return None;
            }
            if slot.tag == tag && slot.owner == owner && slot.len == len {
                let start = slot.at as usize;
                if self.texts[start..start + text.len()] == *text {
                    return Some(slot.value);
                }
            }
            at = (at + 1) & mask;
        }
    }

    pub(crate) fn memory(&self) -> usize {
        size_of_val(&*self.slots) + self.texts.len()
    }
}

fn hash(state: &RandomState, owner: Owner, text: &[u8]) -> u64 {
    let mut hasher = state.build_hasher();
    hasher.write_u32(owner.0);
    hasher.write(text);
    hasher.finish()
}

/// From the other end of the hash than the slot's number.
fn tag(hash: u64) -> u16 {
    (hash >> 48) as u16
}

/// Collects the entries of an [`Index`].
#[derive(Debug, Default)]
pub(crate) struct IndexBuilder {
    entries: HashMap<(Owner, Box<str>), u32>,
}

impl IndexBuilder {
    /// The number under (owner, text), from `make` if there is none yet.
    pub(crate) fn get_or_insert(
        &mut self,
        owner: Owner,
        text: &str,
        make: impl FnOnce() -> u32,
    ) -> u32 {
        *self
            .entries
            .entry((owner, text.into()))
            .or_insert_with(make)
    }

    /// Changes the numbers of all entries of these kinds.
    pub(crate) fn update(&mut self, kinds: &[Kind], mut change: impl FnMut(&mut u32)) {
        for ((owner, _), value) in &mut self.entries {
            if kinds.iter().any(|&kind| owner.0 >> ID_BITS == kind as u32) {
                change(value);
            }
        }
    }

    pub(crate) fn finish(self) -> Result<Index, ConfigError> {
        if self.entries.is_empty() {
            return Ok(Index::default());
        }
        let hasher = RandomState::default();
        let capacity = (self.entries.len() * 8 / 7 + 1).next_power_of_two();
        let mut slots = vec![EMPTY; capacity];
        let mut texts = Vec::with_capacity(self.entries.keys().map(|(_, text)| text.len()).sum());
        let mut longest = 0;
        for ((owner, text), value) in self.entries {
            let too_many = |unit, limit| ConfigError::TooMany { unit, limit };
            let at = u32::try_from(texts.len())
                .map_err(|_| too_many("bytes of paths", u32::MAX as usize))?;
            let len = u16::try_from(text.len())
                .map_err(|_| too_many("bytes in one path", u16::MAX.into()))?;
            longest = longest.max(len);
            texts.extend_from_slice(text.as_bytes());
            let hash = hash(&hasher, owner, text.as_bytes());
            let mut slot = hash as usize & (capacity - 1);
            while slots[slot].owner != EMPTY.owner {
                slot = (slot + 1) & (capacity - 1);
            }
            slots[slot] = Slot {
                owner,
                value,
                at,
                len,
                tag: tag(hash),
            };
        }
        Ok(Index {
            slots: slots.into(),
            texts: texts.into(),
            longest,
            hasher,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_found_under_its_owner_only() {
        let mut builder = IndexBuilder::default();
        for n in 0..5_000_u32 {
            builder.get_or_insert(Owner::new(Kind::Exact, n % 7), &format!("/path/{n}"), || n);
        }
        let index = builder.finish().unwrap();
        for n in 0..5_000_u32 {
            let text = format!("/path/{n}");
            for id in 0..7 {
                let expected = (id == n % 7).then_some(n);
                assert_eq!(
                    index.get(Owner::new(Kind::Exact, id), text.as_bytes()),
                    expected
                );
                assert_eq!(
                    index.get(Owner::new(Kind::Prefix, id), text.as_bytes()),
                    None
                );
            }
        }
        assert_eq!(
            index.get(Owner::new(Kind::Exact, 0), &vec![b'x'; 100_000]),
            None
        );
    }

    #[test]
    fn an_empty_index_finds_nothing() {
        assert_eq!(Index::default().get(Owner::new(Kind::Exact, 0), b""), None);
    }
}
