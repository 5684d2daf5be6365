//! The registry of limits: state outlives the configuration that names it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use crate::clock;
use crate::key::LimitKey;
use crate::limit::{Core, Limit};
use crate::link::{Link, SharedOptions};
use crate::policy::Policy;
use crate::ring::Geometry;
use crate::tally::Geometries;

/// Buckets of a shared window are no shorter than this, microseconds: a lease lasts one to two of them, and must survive
/// the way to Redis. Windows of 640 ms and more keep all 64.
const SHORTEST_SHARED_BUCKET: u64 = 10_000;

/// Makes limits. Cheap to clone; all clones share one registry.
#[derive(Debug, Clone)]
pub struct Limiter {
    registry: Arc<Registry>,
}

#[derive(Debug)]
pub(crate) struct Registry {
    pub(crate) link: Option<Arc<Link>>,
    limits: Mutex<Limits>,
}

#[derive(Debug, Default)]
struct Limits {
    by_key: HashMap<LimitKey, SmallVec<[Weak<Limit>; 1]>, RandomState>,
    /// At how many keys to look for dead ones next.
    prune_at: usize,
}

impl Limiter {
    /// Limits of this process alone.
    pub fn local() -> Self {
        Self::with_link(None)
    }

    pub(crate) fn with_options(options: SharedOptions) -> (Self, Arc<Link>) {
        let link = Arc::new(Link::new(options));
        (Self::with_link(Some(link.clone())), link)
    }

    fn with_link(link: Option<Arc<Link>>) -> Self {
        Self {
            registry: Arc::new(Registry {
                link,
                limits: Mutex::default(),
            }),
        }
    }

    /// Whether the limits are shared between nodes.
    pub fn is_shared(&self) -> bool {
        self.registry.link.is_some()
    }

    /// Shared limits only: whether Redis can be asked just now.
    pub fn is_connected(&self) -> bool {
        self.registry
            .link
            .as_ref()
            .is_some_and(|link| !link.is_down())
    }

    /// Shared limits only: how many nodes were last known to live, this one included. 1 for local limits.
    pub fn nodes(&self) -> u32 {
        self.registry
            .link
            .as_ref()
            .map_or(1, |link| link.nodes().count)
    }

    /// The limit of that name under that policy. While anybody holds a limit of the name:
    ///
    /// - the same policy gives the same limit;
    /// - a policy that differs in numbers alone gives one that goes on with the same counts;
    /// - one with other windows starts from a copy of the counts, each at the youngest age it can have.
    ///
    /// Between nodes a change of windows makes all keep to their shares for the grace time, until each has reported.
    ///
    /// Once nobody holds it, its counts are forgotten; between nodes Redis still has them, under the same windows, but for
    /// what was admitted while it was away. Does a lookup under a lock: meant for loading configuration.
    pub fn handle(&self, key: LimitKey, policy: &Policy) -> Arc<Limit> {
        self.registry.handle(key, policy)
    }

    pub(crate) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }
}

impl Registry {
    fn handle(&self, key: LimitKey, policy: &Policy) -> Arc<Limit> {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        limits.prune();
        let namesakes = limits.by_key.entry(key.clone()).or_default();
        namesakes.retain(|limit| limit.strong_count() > 0);
        let living: SmallVec<[Arc<Limit>; 2]> =
            namesakes.iter().filter_map(Weak::upgrade).collect();
        if let Some(same) = living.iter().find(|limit| limit.policy() == policy) {
            return same.clone();
        }
        let shortest = if self.link.is_some() {
            SHORTEST_SHARED_BUCKET
        } else {
            1
        };
        let geometries: Geometries = policy
            .windows()
            .iter()
            .map(|w| Geometry::new(w, shortest))
            .collect();
        let (core, news) = match living
            .iter()
            .find(|limit| limit.core().geometries == geometries)
        {
            Some(limit) => {
                let core = limit.core().clone();
                let lease = &mut core.lock().lease;
                let news = lease
                    .as_mut()
                    .is_some_and(|lease| lease.renumber(clock::now()));
                (core.clone(), news)
            }
            None => self.successor(geometries, living.last()),
        };
        let limit = Limit::new(key, *policy, core, self.link.clone());
        namesakes.push(Arc::downgrade(&limit));
        if news {
            limit.announce();
        }
        limit
    }

    /// Counts that go on from those of another; and whether Redis has to learn them.
    fn successor(
        &self,
        geometries: Geometries,
        predecessor: Option<&Arc<Limit>>,
    ) -> (Arc<Core>, bool) {
        let core = Core::new(geometries, self.link.is_some());
        let mut news = false;
        if let Some(predecessor) = predecessor {
            let before = predecessor.core().lock();
            let mut state = core.lock();
            state.tally.inherit(&before.tally, clock::now());
            if let (Some(lease), Some(before)) = (&mut state.lease, &before.lease)
                && before.has_history()
            {
                // Even a node that admitted nothing says so: the others have to report before anyone leases.
                lease.inherit(before);
                news = true;
            }
        }
        (Arc::new(core), news)
    }

    /// Every limit that somebody holds.
    pub(crate) fn living(&self) -> Vec<Arc<Limit>> {
        let limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        limits
            .by_key
            .values()
            .flatten()
            .filter_map(Weak::upgrade)
            .collect()
    }
}

impl Limits {
    /// Forgets names that nobody holds, whenever there are twice as many as after the last time: O(1) amortised, and
    /// any number of reloads leaves memory flat.
    fn prune(&mut self) {
        if self.by_key.len() >= self.prune_at {
            self.by_key
                .retain(|_, namesakes| namesakes.iter().any(|limit| limit.strong_count() > 0));
            self.prune_at = (self.by_key.len() * 2).max(64);
        }
    }
}
