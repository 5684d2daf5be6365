//! Hearing what other processes invalidate, and knowing when something was not heard.

use std::sync::Arc;
use std::time::Duration;

use bastide_store::{Event, Subscription};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::remote::Notice;
use crate::sequence::Sequence;
use crate::tag::Tag;
use crate::tiers::Tiers;

/// How long a notice may be on its way after its number was seen in the store, or one after it was heard.
const PATIENCE: Duration = Duration::from_millis(100);

/// Listens for one process.
pub(crate) struct Listener {
    tiers: Arc<Tiers>,
    subscription: Option<Subscription>,
    heard: Sequence,
    /// The store's, when it was last seen.
    id: Option<[u8; 16]>,
    next_check: Instant,
}

impl Listener {
    /// Connects, if the store is there.
    pub(crate) async fn start(tiers: Arc<Tiers>) -> Self {
        let mut listener = Self {
            tiers,
            subscription: None,
            heard: Sequence::default(),
            id: None,
            next_check: Instant::now(),
        };
        listener.check().await;
        listener
    }

    pub(crate) async fn run(mut self) {
        loop {
            tokio::select! {
                event = next(&mut self.subscription) => self.take(event),
                () = sleep_until(self.next_check) => self.check().await,
            }
        }
    }

    fn take(&mut self, event: Option<Event>) {
        let now = Instant::now();
        match event {
            Some(Event::Message(bytes)) => {
                let Some(notice) = Notice::decode(bytes) else {
                    self.next_check = now;
                    return;
                };
                self.tiers.totals.heard.add(1);
                self.tiers.voids.void(&notice.tags);
                self.heard.heard(notice.number);
                if self.heard.has_hole() {
                    self.next_check = self.next_check.min(now + PATIENCE);
                }
            }
            Some(Event::Missed) => self.next_check = now,
            None => {
                self.subscription = None;
                self.next_check = now;
            }
        }
    }

    /// Asks the store what there was to hear. What is confirmed is the moment of asking: everything invalidated before it
    /// was heard by the end of the check, or memory was emptied.
    async fn check(&mut self) {
        let every = self.tiers.options.sync_every();
        self.next_check = Instant::now() + every;
        if self.subscription.is_none() {
            self.subscription = self.tiers.remote.subscribe().await;
        }
        let asked = Instant::now();
        if !self.tiers.deliver().await {
            self.tiers.remote.link.lost();
            return;
        }
        let Some((id, number)) = self.tiers.remote.state().await else {
            self.tiers.remote.link.lost();
            return;
        };
        if self.id != Some(id) {
            self.heard = Sequence::starting_at(number);
            if self.id.replace(id).is_some() {
                // The store has lost its data, and the count began anew.
                self.tiers.drop_l1();
            } else {
                // What was computed before it was there.
                self.tiers.empty_l1();
            }
        } else if number < self.heard.highest() {
            self.fell_back(number).await;
        } else {
            self.listen_for(number, asked + PATIENCE).await;
            if !self.heard.reaches(number) {
                self.heard.skip_to(number);
                self.tiers.drop_l1();
            }
        }
        let settle = every * 2 + self.tiers.options.store_timeout;
        self.tiers.remote.link.confirm(asked);
        self.tiers.remote.link.back(Instant::now(), settle);
        self.next_check = Instant::now() + every;
    }

    /// Takes what is on its way.
    async fn listen_for(&mut self, number: u64, until: Instant) {
        while !self.heard.reaches(number) && self.subscription.is_some() {
            let next = next(&mut self.subscription);
            match timeout_at(until, next).await {
                Ok(event) => self.take(event),
                Err(_) => return,
            }
        }
    }

    /// The store is in an earlier state than it was, as after a restart from a snapshot: invalidations have been undone in
    /// it, and nobody knows which.
    async fn fell_back(&mut self, number: u64) {
        tracing::warn!("the shared store lost invalidations; the cache begins anew");
        self.tiers
            .invalidate_everywhere(vec![Tag::everything()])
            .await;
        let highest = self.heard.highest();
        let now = self
            .tiers
            .remote
            .recount(highest.saturating_sub(number))
            .await;
        self.heard = Sequence::starting_at(now.unwrap_or(highest));
        self.tiers.drop_l1();
    }
}

/// Never, while there is no subscription.
async fn next(subscription: &mut Option<Subscription>) -> Option<Event> {
    match subscription {
        Some(subscription) => subscription.next().await,
        None => std::future::pending().await,
    }
}
