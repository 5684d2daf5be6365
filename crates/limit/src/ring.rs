//! One sliding window, counted in sub-buckets.
//!
//! Time is cut into buckets of fixed length; the window in force at any moment is the current bucket and the `B` before
//! it. The oldest of these is partly outside the window but counts whole. So the sum is never too small, and no real
//! interval of the window's length ever holds more than the limit; the price is that under saturation only `B/(B+1)` of
//! the limit passes: 98.5 % with 64 buckets.

use crate::policy::Window;

/// Sub-buckets of a window. With 64, a leased permit (which is counted up to one bucket late) still leaves 64/66 = 97 %.
const BUCKETS: u64 = 64;

/// How a window is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Geometry {
    bucket: u64,
    buckets: u32,
}

impl Geometry {
    /// At most 64 buckets, none shorter than `shortest` microseconds (at least 1). The buckets cover the window, so
    /// a length that does not divide makes it longer, never shorter.
    pub(crate) fn new(window: &Window, shortest: u64) -> Self {
        let bucket = window.length().div_ceil(BUCKETS).max(shortest).max(1);
        Self {
            bucket,
            buckets: window.length().div_ceil(bucket) as u32,
        }
    }

    /// Length of a bucket, microseconds.
    pub(crate) fn bucket(&self) -> u64 {
        self.bucket
    }

    /// Buckets that make up one window.
    pub(crate) fn buckets(&self) -> u32 {
        self.buckets
    }

    /// How long a count stays in force after its bucket has ended, microseconds.
    pub(crate) fn span(&self) -> u64 {
        self.bucket * u64::from(self.buckets)
    }

    /// As this one with a bucket more.
    #[cfg(test)]
    pub(crate) fn longer_by_one(self) -> Self {
        Self {
            buckets: self.buckets + 1,
            ..self
        }
    }

    fn slots(&self) -> usize {
        self.buckets as usize + 1
    }
}

/// When a full window will have room again, on the clock of `now`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Freed {
    /// One more is admitted.
    pub one: u64,
    /// Nothing is counted any more.
    pub all: u64,
}

/// The counts of one window. Advancing is O(1) amortised; the memory (4 bytes a bucket) is taken at the first count.
#[derive(Debug, Clone)]
pub(crate) struct Ring {
    geometry: Geometry,
    /// Number of the current bucket since time 0.
    head: u64,
    /// When the current bucket ends; saves the division while it lasts.
    head_ends: u64,
    /// Where the current bucket lies in `counts`.
    at: usize,
    total: u32,
    counts: Box<[u32]>,
    /// Answer of the last [`free_at`](Self::free_at) and the limit it was for; valid until a count changes. Makes a
    /// flood of refusals as cheap as admissions.
    freed: Option<(u32, Freed)>,
}

impl Ring {
    /// An empty ring.
    pub(crate) fn new(geometry: Geometry) -> Self {
        Self {
            geometry,
            head: 0,
            head_ends: geometry.bucket,
            at: 0,
            total: 0,
            counts: Box::default(),
            freed: None,
        }
    }

    /// How it is cut.
    pub(crate) fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Admissions in force: an upper bound of those in the window that ends at the last [`advance`](Self::advance).
    pub(crate) fn total(&self) -> u32 {
        self.total
    }

    /// Those of them that surely lie within the window: all but the oldest bucket.
    pub(crate) fn total_within(&self) -> u32 {
        let oldest = self
            .counts
            .get((self.at + 1) % self.geometry.slots())
            .copied()
            .unwrap_or(0);
        self.total - oldest
    }

    /// When the window is empty again if nothing more comes; meant for the moment right after an admission.
    #[inline]
    pub(crate) fn empty_at(&self) -> u64 {
        self.head_ends + self.geometry.span()
    }

    /// Lets what has left the window go. A `now` from before the current bucket counts as within it: threads read the
    /// clock before they take their turn, and counting late is the safe side.
    #[inline]
    pub(crate) fn advance(&mut self, now: u64) {
        if now >= self.head_ends {
            self.step(now);
        }
    }

    fn step(&mut self, now: u64) {
        let bucket = self.geometry.bucket;
        let behind = (now - self.head_ends) / bucket + 1;
        self.head += behind;
        self.head_ends += behind * bucket;
        self.freed = None;
        if self.total == 0 {
            return;
        }
        let slots = self.geometry.slots();
        if behind >= slots as u64 {
            self.counts.fill(0);
            self.total = 0;
            return;
        }
        for _ in 0..behind {
            self.at = if self.at + 1 == slots { 0 } else { self.at + 1 };
            self.total -= std::mem::take(&mut self.counts[self.at]);
        }
    }

    /// Counts `n` in the current bucket.
    #[inline]
    pub(crate) fn add(&mut self, n: u32) {
        if self.counts.is_empty() {
            self.counts = vec![0; self.geometry.slots()].into_boxed_slice();
        }
        let n = n.min(u32::MAX - self.total);
        self.counts[self.at] += n;
        self.total += n;
        self.freed = None;
    }

    /// Takes one admission of time `then` back. If its own bucket no longer shows one, an older one is lowered: the
    /// count then stays in force too long rather than too short. False if there is none.
    pub(crate) fn take_back(&mut self, then: u64) -> bool {
        let slots = self.geometry.slots();
        let age = self.head.saturating_sub(then / self.geometry.bucket);
        for back in age..slots as u64 {
            let slot = (self.at + slots - back as usize) % slots;
            if let Some(count) = self.counts.get_mut(slot).filter(|count| **count > 0) {
                *count -= 1;
                self.total -= 1;
                self.freed = None;
                return true;
            }
        }
        false
    }

    /// When the total will have fallen below `limit`, and to nothing, if no more come; `now` where it already has.
    pub(crate) fn free_at(&mut self, limit: u32, now: u64) -> Freed {
        if let Some((_, freed)) = self.freed.filter(|(of, _)| *of == limit) {
            return Freed {
                one: freed.one.max(now),
                all: freed.all.max(now),
            };
        }
        let leaves = |age: u64| self.head_ends + self.geometry.span() - age * self.geometry.bucket;
        let mut left = self.total;
        let mut freed = Freed { one: now, all: now };
        for (age, count) in self.by_age().rev() {
            if left >= limit {
                freed.one = leaves(age);
            }
            left -= count;
            freed.all = leaves(age);
        }
        self.freed = Some((limit, freed));
        freed
    }

    /// The non-empty buckets, youngest first: how many buckets ago (0 is the current one), and the count.
    pub(crate) fn by_age(&self) -> impl DoubleEndedIterator<Item = (u64, u32)> + '_ {
        let slots = self.geometry.slots();
        let present = if self.counts.is_empty() { 0 } else { slots };
        (0..present)
            .map(move |age| (age as u64, self.counts[(self.at + slots - age) % slots]))
            .filter(|(_, count)| *count > 0)
    }

    /// How many microseconds before `now` the bucket of this age ended (0 for the current one): the youngest that
    /// anything in it can be.
    pub(crate) fn youngest(&self, age: u64, now: u64) -> u64 {
        (now + age * self.geometry.bucket).saturating_sub(self.head_ends)
    }

    /// Takes over the counts of a ring that may be cut differently, each at the youngest age it can have.
    pub(crate) fn inherit(&mut self, other: &Self, now: u64) {
        let mut older = other.clone();
        older.advance(now);
        for (age, count) in older.by_age().rev() {
            // A fresh ring can be driven through the past from the oldest bucket on.
            self.advance(now - older.youngest(age, now).min(now));
            self.add(count);
        }
        self.advance(now);
    }
}
