//! Where a connection sits while it waits for its next request, so that it can be sent home when the gateway closes.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::Waker;

/// One connection's seat. Cloned into the worker's list.
#[derive(Clone, Default)]
pub(crate) struct Seat(Rc<RefCell<Option<Waker>>>);

impl Seat {
    /// The connection waits.
    pub(crate) fn wait(&self, waker: &Waker) {
        let mut slot = self.0.borrow_mut();
        match &mut *slot {
            Some(known) => known.clone_from(waker),
            None => *slot = Some(waker.clone()),
        }
    }

    /// Wakes the connection if it waits.
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.0.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }
}
