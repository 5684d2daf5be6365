//! What a node admits without permits, and how Redis learns of it.
//!
//! An answer that is merely late leaves a debt: the admission is paid with the permit that was asked for it, or with one
//! asked for in the next message. Counting it late is as safe as counting a permit late, and nobody else is bothered. Only
//! what was admitted while Redis was away, or what it has no permit for, is reported: then others may be in the same
//! position, and all keep to their shares until everybody had time to say so.

use smallvec::SmallVec;

use super::Lease;
use crate::policy::Window;
use crate::share::{Fall, Nodes};
use crate::tally::Tally;

impl Lease {
    /// Counts an admission that Redis knows nothing of; `away` if it cannot be asked.
    pub(crate) fn add_unleased(&mut self, now: u64, away: bool) {
        let geometries = &self.geometries;
        let unleased = self
            .unleased
            .get_or_insert_with(|| Box::new(Tally::new(geometries)));
        unleased.advance(now);
        unleased.add();
        self.away |= away;
    }

    /// Admissions to be paid with permits.
    pub(super) fn owed(&self) -> u32 {
        match &self.unleased {
            Some(unleased) if !self.away && !self.report_all => unleased.count(),
            _ => 0,
        }
    }

    /// Pays debts with the permits in hand.
    pub(super) fn settle(&mut self, now: u64) {
        let billed = std::mem::take(&mut self.billed);
        let paid = self.owed().min(self.live(now));
        for _ in 0..paid {
            self.spend(now);
            if let Some(unleased) = &mut self.unleased {
                unleased.advance(now);
                unleased.take_back(now);
            }
        }
        self.spent -= paid;
        if self.unleased.as_ref().is_some_and(|left| left.is_empty()) {
            self.unleased = None;
        }
        self.away |= paid < billed && self.unleased.is_some();
    }

    /// This limit goes on from the counts of one of the same name with other windows, which Redis has to learn; and
    /// from what that one knew of the others.
    pub(crate) fn inherit(&mut self, other: &Self) {
        self.knowledge = other.knowledge.for_other_windows();
        self.report_all = true;
    }

    /// Whether Redis may know of anything under this limit.
    pub(crate) fn has_history(&self) -> bool {
        self.built > 0 || self.unleased.is_some() || self.report_all
    }

    /// The numbers have changed: what Redis said about the old ones no longer holds. True if it is to take permits back.
    pub(crate) fn renumber(&mut self, now: u64) -> bool {
        self.full = false;
        self.denied_until = 0;
        let held = self.live(now) > 0;
        for slot in &mut self.slots {
            slot.until = slot.until.min(now);
        }
        held
    }

    /// Whether Redis must hear of this limit although nobody asks: it may have lost, or never had, what is in force.
    pub(crate) fn has_news(&self, tally: &Tally) -> bool {
        self.unleased.is_some() || self.report_all || !tally.is_empty()
    }

    /// From `at` on this node decides without Redis.
    pub(crate) fn fall_at(
        &mut self,
        at: u64,
        now: u64,
        tally: &Tally,
        windows: &[Window],
        nodes: Nodes,
    ) {
        if self.fall.is_none() {
            let live = self.live(now);
            self.fall = Some(self.knowledge.fall(at, now, live, tally, windows, nodes));
        }
    }

    /// Whether this node may admit one more by itself: within its share in every window.
    pub(crate) fn fits_share(
        &self,
        now: u64,
        tally: &Tally,
        windows: &[Window],
        nodes: Nodes,
    ) -> bool {
        self.room(now, tally, windows, nodes) > 0
    }

    /// In how many microseconds this node may admit one by itself again; `None` if it has no share.
    pub(crate) fn share_frees(
        &self,
        now: u64,
        tally: &mut Tally,
        windows: &[Window],
        nodes: Nodes,
    ) -> Option<u64> {
        let fall = self.fall_now(now, tally, windows, nodes);
        let mut settles = 0;
        let mut caps: SmallVec<[u32; 2]> = SmallVec::new();
        for (index, (ring, window)) in tally.rings().iter().zip(windows).enumerate() {
            let share = nodes.share(window.limit());
            if share == 0 {
                return None;
            }
            let geometry = ring.geometry();
            let mut cap = fall.cap(index, now, window, geometry, nodes);
            if cap == 0 {
                settles = settles.max(fall.settled(geometry).saturating_sub(now));
                cap = share;
            }
            caps.push(cap);
        }
        // Permits still in hand also stand in the way, but not for long.
        Some(tally.free_after(&caps).max(settles).max(1_000))
    }

    /// How many this node may admit by itself.
    pub(crate) fn room(&self, now: u64, tally: &Tally, windows: &[Window], nodes: Nodes) -> u32 {
        let live = self.live(now);
        let fall = self.fall_now(now, tally, windows, nodes);
        tally
            .rings()
            .iter()
            .zip(windows)
            .enumerate()
            .map(|(index, (ring, window))| {
                fall.cap(index, now, window, ring.geometry(), nodes)
                    .saturating_sub(ring.total() + live)
            })
            .min()
            .unwrap_or(0)
    }

    /// The fall, or what it would be if Redis went now.
    fn fall_now(&self, now: u64, tally: &Tally, windows: &[Window], nodes: Nodes) -> Fall {
        self.fall.unwrap_or_else(|| {
            let live = self.live(now);
            self.knowledge.fall(now, now, live, tally, windows, nodes)
        })
    }
}
