//! A node's part of a limit that several nodes share: pure arithmetic, no clock, no socket.
//!
//! Redis counts every permit it hands out in a bucket of *its* clock. A permit handed out during bucket `k` is counted
//! in bucket `k + 1` and may be spent from that moment until `k + 1` ends. So it is always counted in the bucket in which
//! it is spent or in the next one; counting late is safe, and Redis hands out only while buckets `k - B ..= k + 1`
//! together hold fewer than the limit. Hence no window of the fleet's admissions ever exceeds the limit, without any
//! agreement about the time of day: a node learns only how long its permits last, measured from before it asked.
//!
//! Nothing here is ever taken back unsafely. A lost answer means permits that nobody spends; a refund is sent at most
//! once; a report of what was admitted without a lease is repeated until it is known to have arrived.
//!
//! What one node holds ahead looks used to all others. So a limit too small to spare it is leased by the request, and
//! what nobody wants any more goes back at once.

mod alone;
mod due;

use smallvec::{SmallVec, smallvec};

use crate::message::{Reply, Request, RequestWindow, Status};
use crate::policy::Window;
use crate::share::{Fall, Knowledge, Nodes};
use crate::tally::{Geometries, Tally};

/// Permits look this much further ahead than the demand seen.
const HEADROOM: f64 = 1.5;
/// A lease looks ahead to at most so many times what was asked for since the last message.
const STEP: f64 = 4.0;
/// How fast the estimate of demand follows, microseconds.
const MEMORY: f64 = 20_000.0;
/// Bounds of how far ahead a lease looks, microseconds. In between it is one bucket.
const HORIZON: (u64, u64) = (5_000, 250_000);
/// One node holds at most one in so many of its share of a limit ahead of demand; of a smaller share, none.
const AHEAD: u32 = 16;
/// Permits not touched for this long go back although they still run, microseconds.
const HOLD: u64 = 250_000;
/// The same for limits too small to hold any ahead: time for the request that asked to take its own.
const HOLD_SMALL: u64 = 10_000;
/// For how long "used up" is taken for granted, microseconds. Another node may hand back before the time that Redis named.
const RECHECK: u64 = 250_000;
/// Longer than any window, and exact in a script's numbers, microseconds.
const NEVER: u64 = 1 << 50;
/// How many requests may wait on a limit that was full a moment ago; the rest of a flood is refused at once.
const WAITERS_WHEN_FULL: u32 = 8;
/// What a request refused by that rule is told, microseconds.
const SOON: u64 = 5_000;

/// Permits handed out by one answer of Redis, or several in the same buckets.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// In which bucket of each window Redis counts them.
    buckets: [u64; 2],
    permits: u32,
    /// How many of them have been spent.
    spent: u32,
    /// Local time from which they are worthless.
    until: u64,
}

/// What a request finds that gets no permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stance {
    /// The limit is used up; come again in so many microseconds.
    Refuse(u64),
    /// Redis has to be asked.
    Ask,
}

/// What the timer of a limit should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Ask,
    At(u64),
    Nothing,
}

/// The state of one shared limit on one node.
#[derive(Debug)]
pub(crate) struct Lease {
    geometries: Geometries,
    /// Ordered by `until`.
    slots: [Slot; 3],
    /// A message is queued or on its way. There is never more than one.
    asked: bool,
    /// At how many remaining permits to ask for more; none where the demand is too small to look ahead.
    low_water: Option<u32>,
    /// From when to ask for more because the permits end soon.
    renew_at: u64,
    denied_until: u64,
    /// When Redis last said that the limit is used up.
    denied_at: u64,
    /// Redis said that the limit is used up, and will be asked again at `denied_until` if anybody cares.
    full: bool,
    built: u64,
    replied: u64,
    built_at: u64,
    waiting: u32,
    spent: u32,
    /// When a permit was last spent.
    spent_at: u64,
    unmet: u32,
    /// The limit is too small for permits to be held ahead of demand.
    small: bool,
    /// A permit was put back since the last message.
    returned: bool,
    /// Demand per microsecond.
    rate: f64,
    generations: [u64; 2],
    knowledge: Knowledge,
    fall: Option<Fall>,
    /// Admissions that Redis does not know of: not yet sent, and sent but not confirmed.
    unleased: Option<Box<Tally>>,
    reporting: Option<Box<Tally>>,
    report_all: bool,
    /// Redis has to be alarmed by what is unleased: some was admitted while it was away, or it had no permits to pay with.
    away: bool,
    /// How many of the unleased the message on its way asks permits for.
    billed: u32,
    /// How many permits the last message asked for.
    wanted: u32,
    failed_at: u64,
    /// For when the task has set a timer.
    timer: Option<u64>,
}

impl Lease {
    pub(crate) fn new(geometries: Geometries) -> Self {
        Self {
            geometries,
            slots: [Slot::default(); 3],
            asked: false,
            low_water: None,
            renew_at: u64::MAX,
            denied_until: 0,
            denied_at: 0,
            full: false,
            built: 0,
            replied: 0,
            built_at: 0,
            waiting: 0,
            spent: 0,
            spent_at: 0,
            unmet: 0,
            small: true,
            returned: false,
            rate: 0.0,
            generations: [0; 2],
            knowledge: Knowledge::default(),
            fall: None,
            unleased: None,
            reporting: None,
            report_all: false,
            away: false,
            billed: 0,
            wanted: 0,
            failed_at: 0,
            timer: None,
        }
    }

    /// Spends one permit, the one that ends first.
    #[inline]
    pub(crate) fn spend(&mut self, now: u64) -> bool {
        for slot in &mut self.slots {
            if slot.permits > 0 && now < slot.until {
                slot.permits -= 1;
                slot.spent += 1;
                self.spent += 1;
                self.spent_at = now;
                return true;
            }
        }
        false
    }

    /// Takes the admission of time `then` back: forgets it where Redis does not know of it, or else puts its permit
    /// back, among those that end first, so that it never lasts longer than it did. True if Redis is to hear of that soon.
    pub(crate) fn take_back(&mut self, then: u64, now: u64) -> bool {
        if let Some(unleased) = &mut self.unleased
            && unleased.take_back(then)
        {
            return false;
        }
        let origin = |slot: &&mut Slot| then < slot.until && slot.spent > 0;
        let Some(slot) = self.slots.iter_mut().find(origin) else {
            return false;
        };
        slot.permits += 1;
        slot.spent -= 1;
        self.spent = self.spent.saturating_sub(1);
        self.returned = true;
        self.small || self.timer.is_none_or(|set| set > now + HOLD)
    }

    /// Permits in hand.
    #[inline]
    pub(crate) fn live(&self, now: u64) -> u32 {
        self.slots
            .iter()
            .filter(|slot| now < slot.until)
            .map(|slot| slot.permits)
            .sum()
    }

    /// Whether it is time to ask for more before the permits run out or end.
    #[inline]
    pub(crate) fn runs_low(&self, now: u64) -> bool {
        !self.asked
            && (now >= self.renew_at || self.low_water.is_some_and(|low| self.live(now) <= low))
    }

    /// What a request without a permit has to do.
    pub(crate) fn stance(&mut self, now: u64) -> Stance {
        let denied = self.denied_for(now);
        // A denial that has aged is put to the test by one request; the others need not wait for that.
        if denied > 0 && (self.asked || self.is_fresh(now)) {
            self.unmet = self.unmet.saturating_add(1);
            Stance::Refuse(denied)
        } else if self.full && self.waiting >= WAITERS_WHEN_FULL {
            self.unmet = self.unmet.saturating_add(1);
            Stance::Refuse(SOON)
        } else {
            Stance::Ask
        }
    }

    /// Marks that Redis is to be asked. True if nobody had: the caller then queues the limit.
    pub(crate) fn ask(&mut self) -> bool {
        !std::mem::replace(&mut self.asked, true)
    }

    /// A request begins to wait; returns the number of the message that will count it.
    pub(crate) fn wait(&mut self) -> u64 {
        self.waiting += 1;
        self.built + 1
    }

    /// A request no longer waits.
    pub(crate) fn leave(&mut self) {
        self.waiting -= 1;
    }

    /// Whether the message of that number has been answered (or has failed).
    pub(crate) fn answered(&self, ticket: u64) -> bool {
        self.replied >= ticket
    }

    /// How much longer Redis will refuse; 0 if it would not.
    pub(crate) fn denied_for(&self, now: u64) -> u64 {
        self.denied_until.saturating_sub(now)
    }

    /// Whether that word is so recent that it need not be checked.
    pub(crate) fn is_fresh(&self, now: u64) -> bool {
        now < self.denied_at + RECHECK
    }

    pub(crate) fn knowledge(&self) -> &Knowledge {
        &self.knowledge
    }

    /// The end of the permit that would be spent next.
    pub(crate) fn until(&self, now: u64) -> u64 {
        self.slots
            .iter()
            .find(|slot| now < slot.until)
            .map_or(now, |slot| slot.until)
    }

    /// Writes the next message. Empties what is refunded: that is sent once, and lost with the message.
    pub(crate) fn request(
        &mut self,
        now: u64,
        tally: &mut Tally,
        windows: &[Window],
        nodes: Nodes,
        exact: bool,
    ) -> Request {
        let elapsed = now.saturating_sub(self.built_at).max(1_000) as f64;
        let seen = f64::from(self.spent) + f64::from(self.unmet);
        if self.built > 0 {
            let weight = elapsed / (elapsed + MEMORY);
            self.rate += (seen / elapsed - self.rate) * weight;
        }
        let horizon = self.geometries[0].bucket().clamp(HORIZON.0, HORIZON.1);
        // A burst of a few says little about the next bucket, so the step is bounded too.
        let hoped = (self.rate * horizon as f64 * HEADROOM).min(seen * STEP);
        let most = windows
            .iter()
            .map(|window| window.limit() / AHEAD / nodes.count)
            .min()
            .unwrap_or(0);
        self.small = most == 0;
        let ahead = if exact { 0 } else { most.min(hoped as u32) };

        let idle = if self.small {
            self.returned || now >= self.idle_from()
        } else {
            now + HOLD / 2 >= self.idle_from()
        };
        let surplus = idle && self.waiting == 0;
        let mut refunds: SmallVec<[Slot; 3]> = SmallVec::new();
        for slot in &mut self.slots {
            if slot.permits > 0 && (now >= slot.until || surplus) {
                refunds.push(*slot);
                slot.permits = 0;
            }
        }
        // Permits about to end are no help for what is ahead.
        let lasting: u32 = self
            .slots
            .iter()
            .filter(|s| s.until > now + horizon / 2)
            .map(|slot| slot.permits)
            .sum();
        let room = self.room(now, tally, windows, nodes);
        let waiting = self.waiting.saturating_sub(self.live(now));
        self.billed = self.owed();
        let (must, want) = if self.billed > 0 {
            // Others may have debts too that Redis does not know of yet: this message stays within the share.
            let must = self.billed + waiting.min(room);
            (must, must)
        } else {
            let want = (self.waiting + ahead).saturating_sub(lasting);
            (waiting, want.max(waiting))
        };

        if self.report_all {
            self.unleased = None;
            self.reporting = Some(Box::new(tally.clone()));
        } else if self.away {
            self.reporting = self.unleased.take();
        }
        self.away = false;
        let away = self.reporting.is_some();
        let reporting = self.reporting.as_deref_mut();
        let mut parts: SmallVec<[RequestWindow; 2]> =
            smallvec![RequestWindow::default(); windows.len()];
        if let Some(reporting) = reporting {
            reporting.advance(now);
            for (part, ring) in parts.iter_mut().zip(reporting.rings()) {
                part.reports = ring
                    .by_age()
                    .map(|(age, count)| (ring.youngest(age, now), count))
                    .collect();
            }
        }
        // Without admissions in force there is nothing that lost counters could be missing. A refund belongs to the life
        // of the counters that gave the permits.
        let remembers = !tally.is_empty() || !refunds.is_empty();
        for (index, part) in parts.iter_mut().enumerate() {
            part.generation = if remembers {
                self.generations[index]
            } else {
                0
            };
            part.refunds = refunds
                .iter()
                .map(|slot| (slot.buckets[index], slot.permits))
                .collect();
        }

        let room_after = if room > 0 {
            0
        } else {
            self.share_frees(now, tally, windows, nodes)
                .unwrap_or(NEVER)
        };
        self.built += 1;
        self.built_at = now;
        self.wanted = want;
        (self.spent, self.unmet, self.returned) = (0, 0, false);
        Request {
            must,
            want,
            room: room.saturating_add(self.billed),
            room_after,
            nodes: nodes.count,
            away,
            windows: parts,
        }
    }

    /// Takes in the answer to the last message, which was sent at `sent` and answered by `now`.
    pub(crate) fn reply(
        &mut self,
        sent: u64,
        now: u64,
        tally: &Tally,
        windows: &[Window],
        nodes: Nodes,
        reply: &Reply,
    ) {
        self.asked = false;
        self.replied = self.built;
        for (known, window) in self.generations.iter_mut().zip(&reply.windows) {
            *known = window.generation;
        }
        if reply.status == Status::Lost {
            // What was leased from the lost counters is not in the new ones. It is spent or dropped, and all of it told.
            self.slots = [Slot::default(); 3];
            self.reporting = None;
            self.report_all = true;
            return;
        }
        self.reporting = None;
        self.report_all = false;
        self.put(reply, sent + reply.valid, now);
        self.settle(now);
        self.full = reply.granted == 0 && reply.retry > 0;
        self.denied_at = now;
        self.denied_until = if self.full { now + reply.retry } else { 0 };

        let live = self.live(now);
        self.knowledge.learn(
            now,
            reply.granted < self.wanted,
            live,
            tally,
            windows,
            &reply.windows,
        );
        match reply.status {
            Status::Ok => self.fall = None,
            Status::Recovering | Status::Lost => {
                self.fall_at(now, now, tally, windows, nodes);
            }
        }
        let looks_ahead = live >= 2 && !self.full && !self.small;
        let horizon = self.geometries[0].bucket().clamp(HORIZON.0, HORIZON.1);
        self.low_water = looks_ahead.then_some(live / 2);
        let ends = self
            .slots
            .iter()
            .rev()
            .find(|slot| slot.permits > 0)
            .map_or(u64::MAX, |slot| slot.until);
        self.renew_at = if looks_ahead {
            ends.saturating_sub(horizon / 3).max(now + 1)
        } else {
            u64::MAX
        };
    }

    fn put(&mut self, reply: &Reply, until: u64, now: u64) {
        if reply.granted == 0 || until <= now {
            return;
        }
        let mut buckets = [0; 2];
        for (bucket, window) in buckets.iter_mut().zip(&reply.windows) {
            *bucket = window.bucket;
        }
        let place = self
            .slots
            .iter()
            .position(|slot| slot.buckets == buckets)
            .or_else(|| self.slots.iter().position(|slot| slot.permits == 0))
            // Full only where windows are cut very unevenly. What ends first is forfeit: it stays counted, unspent.
            .unwrap_or(0);
        let slot = &mut self.slots[place];
        if slot.buckets == buckets {
            slot.permits += reply.granted;
            // Both are lower bounds of the same end.
            slot.until = slot.until.max(until);
        } else {
            *slot = Slot {
                buckets,
                permits: reply.granted,
                spent: 0,
                until,
            };
        }
        self.slots.sort_unstable_by_key(|slot| slot.until);
    }

    /// The last message was not answered. What it granted or refunded, if it arrived, stays counted.
    pub(crate) fn failed(&mut self, now: u64) {
        self.asked = false;
        self.replied = self.built;
        self.renew_at = u64::MAX;
        self.low_water = None;
        self.failed_at = now;
        self.billed = 0;
        if let Some(mut sent) = self.reporting.take() {
            if let Some(since) = self.unleased.take() {
                sent.inherit(&since, now);
            }
            self.unleased = Some(sent);
        }
        self.away = self.unleased.is_some();
    }
}

#[cfg(test)]
mod tests;
