//! Paths with parameters, as a trie over segments.
//!
//! Edges of literal segments stand in the table's index under their node; a node knows its parameter child itself. The
//! walk goes left to right and prefers, at each segment, the literal child to the parameter child to a prefix that
//! ends here, so the first route it meets whose method fits is the best. It may have to come back, but meets no node
//! twice with the same beginning: its cost is bounded by the number of configured paths.

use crate::index::{Index, Kind, Owner};
use crate::matched::Parameters;
use crate::segments::Ends;

/// No node, or no group of routes.
pub(crate) const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    /// The child behind a parameter.
    pub(crate) parameter: u32,
    /// The routes whose whole path ends here.
    pub(crate) whole: u32,
    /// The routes whose prefix ends here.
    pub(crate) prefix: u32,
}

impl Node {
    pub(crate) const EMPTY: Self = Self {
        parameter: NONE,
        whole: NONE,
        prefix: NONE,
    };
}

/// One walk over the trie for one path.
pub(crate) struct Walk<'a, S> {
    pub(crate) nodes: &'a [Node],
    pub(crate) index: &'a Index,
    pub(crate) path: &'a str,
    pub(crate) ends: &'a Ends,
    /// Chooses a route of a group, if one serves the method.
    pub(crate) serve: S,
    pub(crate) parameters: Parameters,
}

impl<S: FnMut(u32) -> Option<u32>> Walk<'_, S> {
    /// The best route at or below `node`, which stands for the first `depth` segments, and its prefix's length.
    ///
    /// Recurses at most as deep as a configured path has segments.
    pub(crate) fn descend(&mut self, node: u32, depth: usize) -> Option<(u32, usize)> {
        let at = self.nodes[node as usize];
        let start = self.ends.get(depth)?;
        if start == self.path.len() {
            if let Some(route) = self.group(at.whole) {
                return Some((route, 0));
            }
        } else if let Some(end) = self.ends.get(depth + 1)
            && let Some(found) = self.below(node, depth + 1, start + 1, end)
        {
            return Some(found);
        }
        self.group(at.prefix).map(|route| (route, start))
    }

    /// The best route below `node` by way of the segment that takes up `start..end`.
    fn below(&mut self, node: u32, depth: usize, start: usize, end: usize) -> Option<(u32, usize)> {
        let segment = &self.path.as_bytes()[start..end];
        if let Some(child) = self.index.get(Owner::new(Kind::Edge, node), segment)
            && let Some(found) = self.descend(child, depth)
        {
            return Some(found);
        }
        let child = self.nodes[node as usize].parameter;
        if child == NONE || segment.is_empty() {
            return None;
        }
        self.parameters.push(start as u32, end as u32);
        let found = self.descend(child, depth);
        if found.is_none() {
            self.parameters.pop();
        }
        found
    }

    fn group(&mut self, group: u32) -> Option<u32> {
        if group == NONE {
            None
        } else {
            (self.serve)(group)
        }
    }
}
