//! A read-only hash index from (owner, text) to a value.
//!
//! A table holds one of these for exact paths and prefixes, and one for literal runs of parameter paths, leads of
//! expressions and hosts, each told apart by the owner. What a lookup costs in a large table is the lines of memory it touches, so an entry is one line and
//! holds its text: a lookup reads a group of the hash table's tags (a byte an entry) and one entry, and for a text of
//! more than [`INLINE`] bytes the text. A lookup in vain reads tags alone.

use crate::ConfigError;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
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
    Run,
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

/// The longest text that an entry holds itself: what a value of twelve bytes and the rest leave of a cache line.
const INLINE: usize = 46;

/// One cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Entry<V> {
    owner: Owner,
    value: V,
    len: u16,
    /// The text, or the number of its first byte in [`Index::long`].
    text: [u8; INLINE],
}

impl<V> Entry<V> {
    fn text<'a>(&'a self, long: &'a [u8]) -> &'a [u8] {
        let len = usize::from(self.len);
        match self.text.first_chunk() {
            Some(at) if len > INLINE => {
                let at = u32::from_ne_bytes(*at) as usize;
                &long[at..at + len]
            }
            _ => &self.text[..len],
        }
    }
}

#[derive(Debug)]
pub(crate) struct Index<V> {
    entries: HashTable<Entry<V>>,
    /// The texts that are longer than [`INLINE`].
    long: Box<[u8]>,
    longest: u16,
    /// Seeded per process, so that a tenant cannot choose paths that collide.
    hasher: RandomState,
}

impl<V: Copy> Index<V> {
    pub(crate) fn get(&self, owner: Owner, text: &[u8]) -> Option<V> {
        let len = u16::try_from(text.len()).ok()?;
        if len > self.longest {
            return None;
        }
        self.entries
            .find(hash(&self.hasher, owner, text), |entry| {
                entry.owner == owner && entry.text(&self.long) == text
            })
            .map(|entry| entry.value)
    }

    pub(crate) fn memory(&self) -> usize {
        self.entries.allocation_size() + self.long.len()
    }
}

impl<V> Default for Index<V> {
    fn default() -> Self {
        Self {
            entries: HashTable::new(),
            long: Box::default(),
            longest: 0,
            hasher: RandomState::default(),
        }
    }
}

fn hash(state: &RandomState, owner: Owner, text: &[u8]) -> u64 {
    let mut hasher = state.build_hasher();
    hasher.write_u32(owner.0);
    hasher.write(text);
    hasher.finish()
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

    /// `value` makes each entry's value of its number.
    pub(crate) fn finish<V>(self, value: impl Fn(u32) -> V) -> Result<Index<V>, ConfigError> {
        let hasher = RandomState::default();
        let mut entries = HashTable::with_capacity(self.entries.len());
        let mut long = Vec::new();
        let mut longest = 0;
        for ((owner, text), number) in self.entries {
            let too_many = |unit, limit| ConfigError::TooMany { unit, limit };
            let len = u16::try_from(text.len())
                .map_err(|_| too_many("bytes in one path", u16::MAX.into()))?;
            longest = longest.max(len);
            let mut entry = Entry {
                owner,
                value: value(number),
                len,
                text: [0; INLINE],
            };
            if let Some(inline) = entry.text.get_mut(..text.len()) {
                inline.copy_from_slice(text.as_bytes());
            } else {
                let at = u32::try_from(long.len())
                    .map_err(|_| too_many("bytes of paths", u32::MAX as usize))?;
                entry.text[..size_of::<u32>()].copy_from_slice(&at.to_ne_bytes());
                long.extend_from_slice(text.as_bytes());
            }
            let own_hash = hash(&hasher, owner, text.as_bytes());
            entries.insert_unique(own_hash, entry, |entry: &Entry<V>| {
                hash(&hasher, entry.owner, entry.text(&long))
            });
        }
        Ok(Index {
            entries,
            long: long.into(),
            longest,
            hasher,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Group;

    #[test]
    fn every_entry_is_found_under_its_owner_only() {
        let mut builder = IndexBuilder::default();
        // Texts on both sides of the length that an entry holds itself.
        let text = |n: u32| format!("/path/{n}{}", "x".repeat(n as usize % (2 * INLINE)));
        for n in 0..5_000 {
            builder.get_or_insert(Owner::new(Kind::Exact, n % 7), &text(n), || n);
        }
        let index = builder.finish(|number| number).unwrap();
        for n in 0..5_000_u32 {
            let text = text(n);
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
    fn an_entry_is_one_line_of_memory() {
        assert_eq!(size_of::<Entry<Group>>(), 64);
    }

    #[test]
    fn an_empty_index_finds_nothing() {
        assert_eq!(
            Index::<u32>::default().get(Owner::new(Kind::Exact, 0), b""),
            None
        );
    }
}
