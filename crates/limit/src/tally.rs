//! The rings of one limit, moved together.

use smallvec::SmallVec;

use crate::policy::Window;
use crate::quota::Quota;
use crate::ring::{Geometry, Ring};

/// What has been admitted, in each window of a limit.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    rings: SmallVec<[Ring; 1]>,
    /// The latest moment seen. All windows move to the same one, whatever order callers arrive in.
    now: u64,
}

/// How the windows of a limit are cut.
pub(crate) type Geometries = SmallVec<[Geometry; 2]>;

impl Tally {
    /// Nothing admitted yet.
    pub(crate) fn new(geometries: &[Geometry]) -> Self {
        Self {
            rings: geometries
                .iter()
                .map(|geometry| Ring::new(*geometry))
                .collect(),
            now: 0,
        }
    }

    /// One ring per window, shortest window first.
    pub(crate) fn rings(&self) -> &[Ring] {
        &self.rings
    }

    /// Lets what has left the windows go, and returns the moment to decide at: `now`, or the latest one seen.
    #[inline]
    pub(crate) fn advance(&mut self, now: u64) -> u64 {
        self.now = self.now.max(now);
        for ring in &mut self.rings {
            ring.advance(self.now);
        }
        self.now
    }

    /// Whether one more fits every window.
    #[inline]
    pub(crate) fn has_room(&self, windows: &[Window]) -> bool {
        self.rings
            .iter()
            .zip(windows)
            .all(|(ring, window)| ring.total() < window.limit())
    }

    /// Counts one admission.
    #[inline]
    pub(crate) fn add(&mut self) {
        for ring in &mut self.rings {
            ring.add(1);
        }
    }

    /// Takes the admission of time `then` back. False if none of that age is in force.
    pub(crate) fn take_back(&mut self, then: u64) -> bool {
        let mut taken = false;
        for ring in &mut self.rings {
            taken |= ring.take_back(then);
        }
        taken
    }

    /// Admissions in force in the longest window.
    pub(crate) fn count(&self) -> u32 {
        self.rings.last().map_or(0, Ring::total)
    }

    /// Whether nothing is in force.
    pub(crate) fn is_empty(&self) -> bool {
        self.rings.iter().all(|ring| ring.total() == 0)
    }

    /// The headline right after an admission.
    #[inline]
    pub(crate) fn admitted(&self, windows: &[Window]) -> Quota {
        let mut quotas = self.rings.iter().zip(windows).map(|(ring, window)| Quota {
            limit: window.limit(),
            remaining: window.limit().saturating_sub(ring.total()),
            window: window.length(),
            reset_after: ring.empty_at() - self.now,
            retry_after: 0,
        });
        let first = quotas
            .next()
            .expect("a policy compiles to at least one window");
        quotas.fold(first, Quota::tighter)
    }

    /// The headline of a refusal: the window that opens last decides when to come again.
    pub(crate) fn refused(&mut self, windows: &[Window]) -> Quota {
        let now = self.now;
        let mut quotas = self.rings.iter_mut().zip(windows).map(|(ring, window)| {
            let freed = ring.free_at(window.limit(), now);
            Quota {
                limit: window.limit(),
                remaining: window.limit().saturating_sub(ring.total()),
                window: window.length(),
                reset_after: freed.all - now,
                retry_after: freed.one - now,
            }
        });
        let first = quotas
            .next()
            .expect("a policy compiles to at least one window");
        quotas.fold(
            first,
            |a, b| if b.retry_after > a.retry_after { b } else { a },
        )
    }

    /// In how many microseconds each ring holds less than its cap, if nothing more comes.
    pub(crate) fn free_after(&mut self, caps: &[u32]) -> u64 {
        let now = self.now;
        self.rings
            .iter_mut()
            .zip(caps)
            .map(|(ring, cap)| ring.free_at(*cap, now).one - now)
            .max()
            .unwrap_or(0)
    }

    /// Takes over the counts of a tally whose windows may be cut differently. The longest window knows most.
    pub(crate) fn inherit(&mut self, other: &Self, now: u64) {
        if let Some(longest) = other.rings.last() {
            for ring in &mut self.rings {
                ring.inherit(longest, now);
            }
        }
        self.advance(now);
    }
}
