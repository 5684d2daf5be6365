//! How many clients' connections are open at a time, over all workers.
//!
//! At the limit those that have been idle the longest are closed for new ones; a new one for which that makes no room is closed
//! at once, which costs nothing and tells a load balancer to ask another node.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::Instant;

use super::metrics::Closed;
use super::worker::Worker;

/// So many are closed at a time at most. More would have to connect anew for the sake of one.
const MOST: usize = 32;

/// So many turns the closed ones have to be gone.
const TURNS: usize = 4;

/// The count and its limit.
pub(crate) struct Room {
    taken: AtomicUsize,
    limit: usize,
}

impl Room {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            taken: AtomicUsize::new(0),
            limit,
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.taken.load(Ordering::Relaxed) >= self.limit
    }

    /// Counts one more.
    pub(super) fn enter(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one less.
    pub(super) fn leave(&self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Worker {
    /// Whether there is room for another connection, if need be in place of idle ones.
    pub(super) async fn has_room(&self) -> bool {
        let room = &self.shared.room;
        if !room.is_full() {
            return true;
        }
        self.make_room();
        for _ in 0..TURNS {
            // Their tasks close them.
            tokio::task::yield_now().await;
            if !room.is_full() {
                return true;
            }
        }
        false
    }

    /// Closes some of the connections that have been idle the longest.
    pub(super) fn make_room(&self) {
        let seats = self.seats.borrow();
        let mut idle: Vec<(Instant, usize)> = seats
            .iter()
            .filter_map(|(place, seat)| Some((seat.idle()?, place)))
            .collect();
        idle.sort_unstable();
        for (_, place) in idle.iter().take((idle.len() / 8).clamp(1, MOST)) {
            seats[*place].dismiss();
            self.metrics.closed(Closed::MadeRoom);
        }
    }
}
