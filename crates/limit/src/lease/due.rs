//! When a limit needs looking at although nobody asks.

use super::{Due, HOLD, HOLD_SMALL, Lease};

impl Lease {
    /// What to do when the timer rings, set for the moment that [`Due::At`] named.
    pub(crate) fn due(&mut self, now: u64) -> Due {
        if self.asked {
            // The answer sets the timer again.
            return Due::Nothing;
        }
        let mut next = u64::MAX;
        if self.full {
            if now < self.denied_until {
                next = self.denied_until;
            } else if self.unmet > 0 || self.waiting > 0 {
                return Due::Ask;
            } else {
                self.full = false;
            }
        }
        if self.unleased.is_some() || self.report_all {
            // Others rely on what Redis knows. One that refuses to hear it is not pressed.
            next = next.min(self.failed_at + HOLD);
        }
        let held = self.slots.iter().filter(|slot| slot.permits > 0);
        if let Some(until) = held.map(|slot| slot.until).min() {
            next = next.min(until).min(self.idle_from());
        }
        match next {
            u64::MAX => Due::Nothing,
            at if at <= now => Due::Ask,
            at => Due::At(at),
        }
    }

    /// From when permits in hand count as not wanted, if none is spent.
    pub(super) fn idle_from(&self) -> u64 {
        let hold = if self.small { HOLD_SMALL } else { HOLD };
        self.spent_at.max(self.built_at) + hold
    }

    /// Notes that a timer is wanted at `at`. True if none is set that rings as early.
    pub(crate) fn set_timer(&mut self, at: u64) -> bool {
        let earlier = self.timer.is_none_or(|set| at < set);
        if earlier {
            self.timer = Some(at);
        }
        earlier
    }

    /// A timer rings. False if an earlier one has taken its place.
    pub(crate) fn take_timer(&mut self, at: u64) -> bool {
        let mine = self.timer == Some(at);
        if mine {
            self.timer = None;
        }
        mine
    }
}
