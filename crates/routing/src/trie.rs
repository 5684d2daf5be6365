//! Paths with parameters, as a trie over literal runs.
//!
//! Between the parameters of a path stand runs of literal segments. An edge is a whole run, however many segments it has,
//! so a lookup has one step for each run and parameter rather than one for each segment. Edges stand in the table's
//! index under their node; a node knows which lengths of run leave it, and its parameter child itself.
//!
//! The walk goes left to right and prefers, at each node, the longer run to the shorter, that to the parameter child,
//! and that to a prefix that ends here. Where two runs fit, the longer has a literal segment where the shorter has a
//! parameter or an end, so this is the order of the documented precedence, and the first route met whose method fits is
//! the best. The walk may have to come back, but meets no node twice with the same beginning: its cost is bounded by the
//! number of configured paths.

use crate::index::{Index, Kind, Owner};
use crate::matched::Parameters;
use crate::segments::Ends;
use crate::table::Group;

/// No node.
pub(crate) const NONE: u32 = u32::MAX;

/// `G` stands for routes that differ by method alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<G = Group> {
    /// Bit `n` says that runs of `n` segments leave it.
    pub(crate) runs: u64,
    /// The child behind a parameter.
    pub(crate) parameter: u32,
    /// The routes whose whole path ends here.
    pub(crate) whole: Option<G>,
    /// The routes whose prefix ends here.
    pub(crate) prefix: Option<G>,
}

impl<G> Node<G> {
    pub(crate) const EMPTY: Self = Self {
        runs: 0,
        parameter: NONE,
        whole: None,
        prefix: None,
    };

    pub(crate) fn map<H>(self, group: impl Fn(G) -> H) -> Node<H> {
        Node {
            runs: self.runs,
            parameter: self.parameter,
            whole: self.whole.map(&group),
            prefix: self.prefix.map(&group),
        }
    }
}

/// One walk over the trie for one path.
pub(crate) struct Walk<'a, S> {
    pub(crate) nodes: &'a [Node],
    pub(crate) index: &'a Index<u32>,
    pub(crate) path: &'a str,
    pub(crate) ends: &'a Ends,
    /// Chooses a route of a group, if one serves the method.
    pub(crate) serve: S,
    pub(crate) parameters: Parameters,
}

impl<S: FnMut(Group) -> Option<u32>> Walk<'_, S> {
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
        } else if let Some(found) = self
            .below_runs(node, at.runs, depth, start + 1)
            .or_else(|| self.below_parameter(at.parameter, depth, start + 1))
        {
            return Some(found);
        }
        self.group(at.prefix).map(|route| (route, start))
    }

    /// The best route below `node` by way of a run that begins at `start`.
    fn below_runs(
        &mut self,
        node: u32,
        runs: u64,
        depth: usize,
        start: usize,
    ) -> Option<(u32, usize)> {
        let (ends, owner) = (self.ends, Owner::new(Kind::Run, node));
        ends.reached(runs << depth).find_map(|(depth, end)| {
            let run = &self.path.as_bytes()[start..end];
            let child = self.index.get(owner, run)?;
            self.descend(child, depth as usize)
        })
    }

    /// The best route below a node whose parameter child is `child`, by way of the segment that begins at `start`.
    fn below_parameter(&mut self, child: u32, depth: usize, start: usize) -> Option<(u32, usize)> {
        let end = self.ends.get(depth + 1)?;
        if child == NONE || start == end {
            return None;
        }
        self.parameters.push(start as u32, end as u32);
        let found = self.descend(child, depth + 1);
        if found.is_none() {
            self.parameters.pop();
        }
        found
    }

    fn group(&mut self, group: Option<Group>) -> Option<u32> {
        group.and_then(&mut self.serve)
    }
}
