//! Messages between processes: quick, and not certain.

use tokio::sync::broadcast;

/// How many messages wait for a slow listener before the oldest are dropped.
pub(crate) const BACKLOG: usize = 1024;

/// What a listener hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A message.
    Message(Vec<u8>),
    /// Messages may have been missed: the listener was slow, or the connection was down. Read the state itself.
    Missed,
}

/// A listener on one channel. Dropping it ends it.
#[derive(Debug)]
pub struct Subscription {
    receiver: broadcast::Receiver<Event>,
    /// The task that feeds it from a server, if one does.
    _feed: Option<Feed>,
}

impl Subscription {
    pub(crate) fn new(receiver: broadcast::Receiver<Event>) -> Self {
        Self {
            receiver,
            _feed: None,
        }
    }

    pub(crate) fn fed_by(
        receiver: broadcast::Receiver<Event>,
        task: tokio::task::JoinHandle<()>,
    ) -> Self {
        Self {
            receiver,
            _feed: Some(Feed(task)),
        }
    }

    /// The next event. `None` when the store is gone. Safe to drop at any await: no event is lost.
    pub async fn next(&mut self) -> Option<Event> {
        match self.receiver.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Event::Missed),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

#[derive(Debug)]
struct Feed(tokio::task::JoinHandle<()>);

impl Drop for Feed {
    fn drop(&mut self) {
        self.0.abort();
    }
}
