//! What the request path and the leasing task tell each other.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::limit::Limit;
use crate::share::Nodes;

/// How nodes share their limits. The defaults suit a Redis in the same data centre.
#[derive(Debug, Clone)]
pub struct SharedOptions {
    /// Prefix of every key. Nodes with the same prefix on the same Redis are one fleet. Default `bastide:ratelimit`.
    pub prefix: String,
    /// How long a request without a lease waits for Redis before the policy's fail mode decides. Default 5 ms.
    pub wait: Duration,
    /// Shortest time between two messages; demand in between travels together. Default 2 ms.
    pub tick: Duration,
    /// After how long without an answer Redis counts as gone. Default 250 ms.
    pub deadline: Duration,
    /// How often a node says that it lives; it counts as gone after three times as long. Default 1 s.
    pub heartbeat: Duration,
    /// How long nodes that were away, or lost the counters, have to report before anyone leases again. Default 2 s.
    pub grace: Duration,
    /// Nodes to assume before the first word from Redis. Default 1.
    pub expected_nodes: u32,
}

impl Default for SharedOptions {
    fn default() -> Self {
        Self {
            prefix: "bastide:ratelimit".to_owned(),
            wait: Duration::from_millis(5),
            tick: Duration::from_millis(2),
            deadline: Duration::from_millis(250),
            heartbeat: Duration::from_secs(1),
            grace: Duration::from_secs(2),
            expected_nodes: 1,
        }
    }
}

/// Whether Redis can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Reach {
    Down = 0,
    Up = 1,
}

/// Shared by all limits of a [`Limiter`](crate::Limiter).
#[derive(Debug)]
pub(crate) struct Link {
    options: SharedOptions,
    reach: AtomicU8,
    /// When Redis went; 0 if it was never there.
    down_since: AtomicU64,
    /// Count in the upper half, rank in the lower, so that they are read together.
    nodes: AtomicU64,
    queue: Mutex<Vec<Arc<Limit>>>,
    pub(crate) wake: Notify,
}

impl Link {
    pub(crate) fn new(options: SharedOptions) -> Self {
        let nodes = Nodes {
            count: options.expected_nodes.max(1),
            rank: 0,
        };
        let link = Self {
            options,
            reach: AtomicU8::new(Reach::Down as u8),
            down_since: AtomicU64::new(0),
            nodes: AtomicU64::new(0),
            queue: Mutex::default(),
            wake: Notify::new(),
        };
        link.set_nodes(nodes);
        link
    }

    pub(crate) fn options(&self) -> &SharedOptions {
        &self.options
    }

    pub(crate) fn is_down(&self) -> bool {
        self.reach.load(Ordering::Acquire) == Reach::Down as u8
    }

    pub(crate) fn down_since(&self) -> Option<u64> {
        Some(self.down_since.load(Ordering::Acquire)).filter(|at| *at > 0 && self.is_down())
    }

    pub(crate) fn set_up(&self) {
        self.reach.store(Reach::Up as u8, Ordering::Release);
    }

    pub(crate) fn set_down(&self, now: u64) {
        if !self.is_down() {
            self.down_since.store(now, Ordering::Release);
            self.reach.store(Reach::Down as u8, Ordering::Release);
        }
    }

    pub(crate) fn nodes(&self) -> Nodes {
        let both = self.nodes.load(Ordering::Relaxed);
        Nodes {
            count: (both >> 32) as u32,
            rank: both as u32,
        }
    }

    pub(crate) fn set_nodes(&self, nodes: Nodes) {
        self.nodes.store(
            u64::from(nodes.count) << 32 | u64::from(nodes.rank),
            Ordering::Relaxed,
        );
    }

    /// Has Redis asked about a limit with the next message. The limit has been marked as asked, so it comes once.
    pub(crate) fn enqueue(&self, limit: Arc<Limit>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.push(limit);
        if queue.len() == 1 {
            self.wake.notify_one();
        }
    }

    pub(crate) fn drain(&self) -> Vec<Arc<Limit>> {
        std::mem::take(&mut *self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
