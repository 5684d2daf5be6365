//! One computation for all who ask at the same time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use tokio::sync::watch;

use crate::key::Slot;
use crate::l1::Held;
use crate::voids::Stamp;

/// The computations under way.
#[derive(Debug, Default)]
pub(crate) struct Flights(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    flights: HashMap<Slot, Flight, RandomState>,
    number: u64,
}

#[derive(Debug)]
struct Flight {
    number: u64,
    stamp: Stamp,
    outcome: watch::Receiver<Option<Arc<Held>>>,
}

/// What one who asks is to do.
#[derive(Debug)]
pub(crate) enum Turn<'a> {
    /// Compute. The others wait until it is dropped.
    Lead(Lead<'a>),
    /// Wait for the one who computes.
    Follow(watch::Receiver<Option<Arc<Held>>>),
}

/// The right to compute. Dropped without an outcome, as by an error, a panic or a cancelled request, it goes to the next.
#[derive(Debug)]
pub(crate) struct Lead<'a> {
    flights: &'a Flights,
    slot: Slot,
    number: u64,
    outcome: watch::Sender<Option<Arc<Held>>>,
}

impl Flights {
    fn locked(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the flight for this slot if one is under way whose stamp is still good; else begins one with this stamp.
    pub(crate) fn join(
        &self,
        slot: Slot,
        stamp: Stamp,
        is_good: impl Fn(Stamp) -> bool,
    ) -> Turn<'_> {
        let mut table = self.locked();
        if let Some(flight) = table.flights.get(&slot)
            && is_good(flight.stamp)
        {
            return Turn::Follow(flight.outcome.clone());
        }
        table.number += 1;
        let number = table.number;
        let (sender, outcome) = watch::channel(None);
        let flight = Flight {
            number,
            stamp,
            outcome,
        };
        table.flights.insert(slot, flight);
        Turn::Lead(Lead {
            flights: self,
            slot,
            number,
            outcome: sender,
        })
    }
}

impl Lead<'_> {
    /// Gives the value to those who wait.
    pub(crate) fn land(self, held: Arc<Held>) {
        self.outcome.send_replace(Some(held));
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let mut table = self.flights.locked();
        // Another may have begun one since, because this one's value would be void.
        if table
            .flights
            .get(&self.slot)
            .is_some_and(|flight| flight.number == self.number)
        {
            table.flights.remove(&self.slot);
        }
    }
}
