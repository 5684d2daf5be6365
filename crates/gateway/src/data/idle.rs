//! Where a connection sits while it waits: so that it can be sent home when the gateway closes, or when its place is wanted.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;

use tokio::time::Instant;

/// One connection's seat. Cloned into the worker's list.
#[derive(Clone, Default)]
pub(crate) struct Seat(Rc<Inner>);

#[derive(Default)]
struct Inner {
    waker: RefCell<Option<Waker>>,
    /// Since when nobody asks for anything on it.
    idle: Cell<Option<Instant>>,
    is_dismissed: Cell<bool>,
}

impl Seat {
    /// The connection waits.
    pub(crate) fn wait(&self, waker: &Waker) {
        let mut slot = self.0.waker.borrow_mut();
        match &mut *slot {
            Some(known) => known.clone_from(waker),
            None => *slot = Some(waker.clone()),
        }
    }

    /// Wakes the connection if it waits.
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.0.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// Nothing is asked for on the connection, since then.
    pub(crate) fn rest(&self, since: Instant) {
        self.0.idle.set(Some(since));
    }

    /// Something is; whoever dismissed it came too late.
    pub(crate) fn get_up(&self) {
        self.0.idle.set(None);
        self.0.is_dismissed.set(false);
    }

    /// Since when it is idle, if it is and was not dismissed yet.
    pub(crate) fn idle(&self) -> Option<Instant> {
        self.0.idle.get().filter(|_| !self.is_dismissed())
    }

    /// Another connection needs the room.
    pub(crate) fn dismiss(&self) {
        self.0.is_dismissed.set(true);
        self.wake();
    }

    pub(crate) fn is_dismissed(&self) -> bool {
        self.0.is_dismissed.get()
    }
}
