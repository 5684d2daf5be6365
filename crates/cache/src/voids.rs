//! What this process knows to be invalidated.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use foldhash::fast::RandomState;

use crate::tag::Tag;

/// A moment in the order of this process's invalidations.
pub(crate) type Stamp = u64;

/// When each tag was last invalidated, counted in invalidations.
///
/// A value is stamped before anything is read that goes into it, and is void if one of its tags was invalidated after. So it
/// does not matter when a value arrives: one that was computed before and is stored after is as void as one that was
/// there.
#[derive(Debug)]
pub(crate) struct Voids {
    latest: AtomicU64,
    tables: RwLock<Tables>,
    capacity: usize,
}

/// Two halves, so that memory is bounded: when the recent one is full, the older one is forgotten, and every value from
/// before its end is void.
#[derive(Debug, Default)]
struct Tables {
    recent: HashMap<Tag, Stamp, RandomState>,
    older: HashMap<Tag, Stamp, RandomState>,
    recent_since: Stamp,
    /// What is stamped earlier is void.
    floor: Stamp,
}

impl Voids {
    /// Remembers this many tags at least.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            latest: AtomicU64::new(0),
            tables: RwLock::default(),
            capacity,
        }
    }

    /// Now. Take it before reading anything.
    pub(crate) fn stamp(&self) -> Stamp {
        self.latest.load(Ordering::Acquire)
    }

    fn locked(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// What carries one of these and was stamped before now is void.
    pub(crate) fn void(&self, tags: &[Tag]) {
        let mut tables = self.locked();
        let now = self.latest.load(Ordering::Relaxed) + 1;
        tables.recent.extend(tags.iter().map(|tag| (*tag, now)));
        if tables.recent.len() >= self.capacity {
            tables.floor = tables.recent_since;
            tables.recent_since = now;
            tables.older = std::mem::take(&mut tables.recent);
        }
        self.latest.store(now, Ordering::Release);
    }

    /// What was stamped before now is void.
    pub(crate) fn void_all(&self) {
        let mut tables = self.locked();
        let now = self.latest.load(Ordering::Relaxed) + 1;
        *tables = Tables {
            recent_since: now,
            floor: now,
            ..Tables::default()
        };
        self.latest.store(now, Ordering::Release);
    }

    /// Whether a value with this stamp and these tags is still good.
    pub(crate) fn spare(&self, stamp: Stamp, tags: &[Tag]) -> bool {
        if self.latest.load(Ordering::Acquire) == stamp {
            return true;
        }
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let is_after = |at: Option<&Stamp>| at.is_some_and(|at| *at > stamp);
        tables.floor <= stamp
            && !tags
                .iter()
                .any(|tag| is_after(tables.recent.get(tag)) || is_after(tables.older.get(tag)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tag(number: u8) -> Tag {
        Tag::shared(&number.to_string())
    }

    #[test]
    fn a_value_is_void_from_its_tags_invalidation_on_and_a_new_one_is_not() {
        let voids = Voids::new(8);
        let old = voids.stamp();
        voids.void(&[tag(1)]);
        assert!(!voids.spare(old, &[tag(0), tag(1)]));
        assert!(voids.spare(old, &[tag(2)]));
        assert!(voids.spare(voids.stamp(), &[tag(1)]));
        voids.void_all();
        assert!(!voids.spare(old, &[tag(2)]));
    }

    proptest! {
        /// Whatever is forgotten, no value is spared that was invalidated; and what was not, and is recent, is spared.
        #[test]
        fn memory_is_bounded_and_nothing_void_is_spared(
            steps in proptest::collection::vec((0_u8..12, 0_u8..3), 1..200),
        ) {
            let voids = Voids::new(4);
            let mut values: Vec<(Stamp, u8, bool)> = Vec::new();
            for (number, step) in steps {
                if step == 0 {
                    voids.void(&[tag(number)]);
                    for value in values.iter_mut().filter(|value| value.1 == number) {
                        value.2 = false;
                    }
                } else {
                    values.push((voids.stamp(), number, true));
                }
                for (stamp, number, good) in &values {
                    let spared = voids.spare(*stamp, &[tag(*number)]);
                    prop_assert!(*good || !spared);
                    let recent = voids.stamp() - stamp < 4;
                    prop_assert!(!(*good && recent) || spared);
                }
            }
            let tables = voids.locked();
            prop_assert!(tables.recent.len() + tables.older.len() <= 8);
        }
    }
}
