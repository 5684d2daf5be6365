//! The buffers of a lookup.

use crate::pattern::MAX_SEGMENTS;
use regex_automata::PatternSet;

/// Buffers that lookups write to. Keep one per connection or thread: lookups with it do not allocate, apart from the
/// first ones that meet regular expressions.
#[derive(Debug)]
pub struct Scratch {
    pub(crate) ends: Ends,
    pub(crate) matches: PatternSet,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            ends: Ends {
                at: [0; MAX_SEGMENTS + 1],
                count: 0,
            },
            matches: PatternSet::new(0),
        }
    }
}

/// Where the first segments of a path end: `at[n]` is the length of its first `n` segments.
#[derive(Debug)]
pub(crate) struct Ends {
    at: [u32; MAX_SEGMENTS + 1],
    count: usize,
}

impl Ends {
    /// Finds the first `deepest` segments of `path`, which starts with `/`.
    pub(crate) fn find(&mut self, path: &str, deepest: usize) {
        self.count = 0;
        if deepest == 0 {
            return;
        }
        for slash in memchr::memchr_iter(b'/', &path.as_bytes()[1..]) {
            self.count += 1;
            self.at[self.count] = slash as u32 + 1;
            if self.count == deepest {
                return;
            }
        }
        self.count += 1;
        self.at[self.count] = path.len() as u32;
    }

    /// The length of the first `depth` segments, if the path has so many.
    pub(crate) fn get(&self, depth: usize) -> Option<usize> {
        (depth <= self.count).then(|| self.at[depth] as usize)
    }

    /// The depths in `mask` that the path reaches, deepest first.
    pub(crate) fn reached(&self, mask: u64) -> impl Iterator<Item = (u32, usize)> {
        let beyond = u64::MAX.checked_shl(self.count as u32 + 1).unwrap_or(0);
        let mut left = mask & !beyond;
        std::iter::from_fn(move || {
            let depth = left.checked_ilog2()?;
            left &= !(1 << depth);
            Some((depth, self.at[depth as usize] as usize))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_end_before_each_slash_and_at_the_end() {
        let mut scratch = Scratch::default();
        let mut lengths = |path: &str, deepest| {
            scratch.ends.find(path, deepest);
            (0..=MAX_SEGMENTS)
                .map_while(|depth| scratch.ends.get(depth))
                .collect::<Vec<_>>()
        };
        assert_eq!(lengths("/", 5), [0, 1]);
        assert_eq!(lengths("/a/bc/", 5), [0, 2, 5, 6]);
        assert_eq!(lengths("/a/bc/d", 2), [0, 2, 5]);
        assert_eq!(lengths("//", 5), [0, 1, 2]);
        assert_eq!(lengths("/a", 0), [0]);
        assert_eq!(lengths(&"/a".repeat(100), MAX_SEGMENTS).len(), 64);
    }

    #[test]
    fn only_depths_that_exist_on_both_sides_are_tried() {
        let mut scratch = Scratch::default();
        scratch.ends.find("/a/b", 63);
        let tried: Vec<_> = scratch
            .ends
            .reached(1 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 63)
            .collect();
        assert_eq!(tried, [(2, 4), (1, 2), (0, 0)]);
    }
}
