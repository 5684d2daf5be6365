//! How far the gateway is on its way out.

use std::sync::atomic::{AtomicU8, Ordering};

/// In this order; never back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Serving.
    Running,
    /// Told to stop: `/ready` fails, connections are still accepted, and each response asks its client to connect
    /// anew so that load balancers and keep-alive clients move on by themselves.
    Draining,
    /// Another process has the listening sockets: no connection is accepted here any more. Those that are there may
    /// each bring one more request and are told to close with its answer, because one that is closed while its client
    /// writes is a lost request.
    Leaving,
    /// Nothing new is accepted; what is in flight may finish.
    Closing,
}

/// The process's phase, cheap to look at from every request.
#[derive(Debug, Default)]
pub(crate) struct PhaseCell(AtomicU8);

impl PhaseCell {
    /// The phase now.
    pub(crate) fn get(&self) -> Phase {
        match self.0.load(Ordering::Relaxed) {
            0 => Phase::Running,
            1 => Phase::Draining,
            2 => Phase::Leaving,
            _ => Phase::Closing,
        }
    }

    /// Goes on to a later phase; an earlier one is ignored.
    pub(crate) fn advance(&self, to: Phase) {
        self.0.fetch_max(to as u8, Ordering::Relaxed);
    }
}
