//! How what outlives its request (a stream, a WebSocket) learns that the server is to end.

use tokio::sync::watch;

use crate::problem::Problem;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum Phase {
    #[default]
    Serving,
    Draining,
    Cut,
}

/// Tells when to end, and knows when all have.
#[derive(Debug, Default)]
pub(super) struct Draining(watch::Sender<Phase>);

/// Hears when to end. The server waits for whoever holds one.
#[derive(Debug, Clone)]
pub(super) struct Notice(watch::Receiver<Phase>);

impl Draining {
    pub(super) fn notice(&self) -> Notice {
        Notice(self.0.subscribe())
    }

    /// Nothing new, and an end for what has none of itself.
    pub(super) fn begin(&self) {
        self.0.send_replace(Phase::Draining);
    }

    /// The time is over.
    pub(super) fn cut(&self) {
        self.0.send_replace(Phase::Cut);
    }

    /// Until nobody holds a notice any more.
    pub(super) async fn finished(&self) {
        self.0.closed().await;
    }
}

impl Notice {
    pub(super) fn is_draining(&self) -> bool {
        *self.0.borrow() >= Phase::Draining
    }

    /// Until the server drains.
    pub(super) async fn draining(&mut self) {
        self.reached(Phase::Draining).await;
    }

    /// Until the time for draining is over.
    pub(super) async fn cut(&mut self) {
        self.reached(Phase::Cut).await;
    }

    async fn reached(&mut self, phase: Phase) {
        if self.0.wait_for(|now| *now >= phase).await.is_err() {
            // An entry that is gone without a drain tells nobody to end.
            std::future::pending::<()>().await;
        }
    }
}

/// What is refused or ended because the server is to end.
pub(super) fn problem() -> Problem {
    Problem::new(
        503,
        "draining",
        "the server is about to end; connect again and repeat the call",
    )
}
