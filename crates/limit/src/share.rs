//! What a node may admit without Redis.
//!
//! The final rule is simple: each of `n` nodes admits its share of the limit, and the shares add up to the limit. The
//! way there is not, because at the moment Redis goes, one node may have used most of the limit and another nothing: the
//! second must not start on its share while the first one's admissions are still in the window. So for one window after
//! the fall a node also keeps within its *allowance*:
//!
//! - where the limit was contended between several nodes (within the last window Redis refused, or more than three quarters
//!   of the limit were used): what this node itself had admitted or leased at the fall. These add up to at most the limit
//!   over all nodes, whatever they know of each other.
//! - where it was not: what Redis last said the others left free. That is exact unless others took the rest between that
//!   word and the fall.
//! - where nothing was heard within the last window: the share alone. The fleet then stays within the limit plus the
//!   shares of such nodes, for one window.

use crate::message::ReplyWindow;
use crate::policy::Window;
use crate::ring::Geometry;
use crate::tally::Tally;

/// The nodes that share the limits, as last heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Nodes {
    /// How many, at least 1.
    pub count: u32,
    /// This one's place among them, from 0: the first ones take what does not divide.
    pub rank: u32,
}

impl Nodes {
    /// This node's part of a limit. The parts of all nodes add up to the limit, so with fewer permits than nodes some
    /// have none.
    pub(crate) fn share(self, limit: u32) -> u32 {
        limit / self.count + u32::from(self.rank < limit % self.count)
    }
}

/// What Redis last said about a limit.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Knowledge {
    at: u64,
    /// When Redis last refused, or said that three quarters of the limit were used.
    contended_at: u64,
    /// Per window: the fleet's count.
    used: [u32; 2],
    /// Per window: the part of it that is not this node's.
    others: [u32; 2],
}

impl Knowledge {
    pub(crate) fn learn(
        &mut self,
        now: u64,
        refused: bool,
        live: u32,
        tally: &Tally,
        windows: &[Window],
        said: &[ReplyWindow],
    ) {
        let nearly = windows
            .iter()
            .zip(said)
            .any(|(window, said)| u64::from(said.used) * 4 > u64::from(window.limit()) * 3);
        self.at = now;
        if refused || nearly {
            self.contended_at = now;
        }
        for (index, ((ring, said), _)) in tally.rings().iter().zip(said).zip(windows).enumerate() {
            self.used[index] = said.used;
            self.others[index] = said.used.saturating_sub(ring.total_within() + live);
        }
    }

    /// The fleet's count in a window, as of the last word.
    pub(crate) fn used(&self, index: usize) -> u32 {
        self.used[index]
    }

    /// Whether the limit was used up, or nearly, within the last window of that length.
    pub(crate) fn is_contended(&self, now: u64, length: u64) -> bool {
        self.contended_at > 0 && now.saturating_sub(self.contended_at) < length
    }

    /// What it tells a limit of the same name with other windows: the largest counts, for each of them.
    pub(crate) fn for_other_windows(self) -> Self {
        Self {
            used: [self.used[0].max(self.used[1]); 2],
            others: [self.others[0].max(self.others[1]); 2],
            ..self
        }
    }

    pub(crate) fn fall(
        &self,
        at: u64,
        now: u64,
        live: u32,
        tally: &Tally,
        windows: &[Window],
        nodes: Nodes,
    ) -> Fall {
        let mut allowances = [u32::MAX; 2];
        for (index, (ring, window)) in tally.rings().iter().zip(windows).enumerate() {
            let span = ring.geometry().span();
            allowances[index] = if nodes.count > 1 && self.is_contended(now, span) {
                ring.total_within() + live
            } else if self.at > 0 && now.saturating_sub(self.at) < span {
                window.limit().saturating_sub(self.others[index])
            } else {
                u32::MAX
            };
        }
        Fall { at, allowances }
    }
}

/// The moment from which a node decides alone, and how far it may go in the window after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fall {
    at: u64,
    allowances: [u32; 2],
}

impl Fall {
    /// How many this node may have in force in a window.
    pub(crate) fn cap(
        &self,
        index: usize,
        now: u64,
        window: &Window,
        geometry: Geometry,
        nodes: Nodes,
    ) -> u32 {
        let share = nodes.share(window.limit());
        if now < self.settled(geometry) {
            share.min(self.allowances[index])
        } else {
            share
        }
    }

    /// From when the share alone counts.
    pub(crate) fn settled(&self, geometry: Geometry) -> u64 {
        // Leases of other nodes may outlive the fall by two buckets; one more for the time it took to be noticed.
        self.at + geometry.span() + 3 * geometry.bucket()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_the_limit() {
        for limit in [1, 2, 3, 7, 100, 1001] {
            for count in 1..=9 {
                let sum: u32 = (0..count)
                    .map(|rank| Nodes { count, rank }.share(limit))
                    .sum();
                assert_eq!(sum, limit, "{limit} over {count} nodes");
            }
        }
    }

    #[test]
    fn only_above_three_quarters_is_a_limit_contended() {
        for (limit, used, contended) in [
            (1, 0, false),
            (1, 1, true),
            (2, 1, false),
            (2, 2, true),
            (3, 2, false),
            (5, 3, false),
            (5, 4, true),
            (1000, 750, false),
            (1000, 751, true),
        ] {
            let windows = [Window::new(limit, 1_000_000)];
            let tally = Tally::new(&[Geometry::new(&windows[0], 10_000)]);
            let said = [ReplyWindow {
                generation: 1,
                bucket: 1,
                used,
            }];
            let mut knowledge = Knowledge::default();
            knowledge.learn(5, false, 0, &tally, &windows, &said);
            assert_eq!(
                knowledge.is_contended(6, 1_000_000),
                contended,
                "{used} of {limit}"
            );
        }
    }
}
