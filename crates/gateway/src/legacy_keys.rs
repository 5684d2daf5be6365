//! Keys that were imported as bcrypt hashes.
//!
//! bcrypt takes a quarter of a second by design, and its hashes cannot be looked up: candidates are tried one after the
//! other. So that this stays what only imported keys pay for, and each of them once:
//! - a few threads do it, which come after all others for the processor;
//! - requests with the same key wait for one verification, and for a few seconds at most. One that has begun goes on
//!   without them, so that the next try finds what it found; one that has not is given up with the last who waited;
//! - a key that failed is remembered for a while, and one that succeeded is rewritten as HMAC at once;
//! - [`queue`] keeps a flood of bad keys behind everybody else.
//!
//! Keys that were verified before never pass here.

mod queue;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use self::queue::Queue;

/// Verifications at a time.
const AT_ONCE: usize = 2;

/// How long a request waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a key that failed is refused without another look.
const REFUSED_FOR: Duration = Duration::from_secs(60);

/// Failed keys that are remembered.
const REMEMBERED: usize = 10_000;

/// The nice value of the threads: they get a tenth of what a worker gets that wants the same core.
const NICE: i32 = 10;

/// A key's HMAC.
type Digest = [u8; 32];

/// A key that is known only by its bcrypt hash.
#[derive(Debug, Clone)]
pub(crate) struct LegacyKey {
    pub(crate) id: Uuid,
    pub(crate) hash: Arc<str>,
}

/// What verification found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is this key.
    Valid(Uuid),
    /// It is none of them.
    Invalid,
    /// It was not found out in time, or there was no room to wait.
    Busy,
}

/// A key whose HMAC is known from now on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Upgrade {
    pub(crate) id: Uuid,
    pub(crate) digest: Digest,
}

pub(crate) struct LegacyVerifier(Arc<Desk>);

struct Desk {
    state: Mutex<State>,
    upgrades: mpsc::UnboundedSender<Upgrade>,
}

#[derive(Default)]
struct State {
    refused: HashMap<Digest, Instant>,
    /// Until the rewritten key comes back with a snapshot.
    valid: HashMap<Digest, Uuid>,
    /// What somebody waits for, or what has begun.
    flights: HashMap<Digest, Flight>,
    queue: Queue<Work>,
    running: usize,
}

struct Flight {
    has_begun: bool,
    /// Dropped without a verdict when there will be none.
    verdict: watch::Sender<Option<Verdict>>,
}

struct Work {
    candidates: Arc<[LegacyKey]>,
    key: Vec<u8>,
}

impl LegacyVerifier {
    /// Verified keys are sent to `upgrades` to be rewritten.
    pub(crate) fn new(upgrades: mpsc::UnboundedSender<Upgrade>) -> Self {
        Self(Arc::new(Desk {
            state: Mutex::default(),
            upgrades,
        }))
    }

    /// Finds out which of the candidates the key is. `digest` is its HMAC, `from` who sends it. To drop this is to wait no
    /// longer.
    pub(crate) async fn verify(
        &self,
        candidates: &Arc<[LegacyKey]>,
        key: &[u8],
        digest: Digest,
        from: IpAddr,
    ) -> Verdict {
        match self.0.enter(candidates, key, digest, from) {
            Ok(mut waiter) => tokio::time::timeout(PATIENCE, waiter.verdict())
                .await
                .unwrap_or(Verdict::Busy),
            Err(verdict) => verdict,
        }
    }
}

impl Desk {
    /// A verdict that is known already, or a place among those who wait for one.
    fn enter(
        self: &Arc<Self>,
        candidates: &Arc<[LegacyKey]>,
        key: &[u8],
        digest: Digest,
        from: IpAddr,
    ) -> Result<Waiter, Verdict> {
        let mut state = self.lock();
        if let Some(id) = state.valid.get(&digest).copied() {
            // Revoked or deleted meanwhile, unless it is still a candidate.
            let verdict = if candidates.iter().any(|c| c.id == id) {
                Verdict::Valid(id)
            } else {
                Verdict::Invalid
            };
            return Err(verdict);
        }
        if state
            .refused
            .get(&digest)
            .is_some_and(|since| since.elapsed() < REFUSED_FOR)
        {
            return Err(Verdict::Invalid);
        }
        let verdict = if let Some(flight) = state.flights.get(&digest) {
            flight.verdict.subscribe()
        } else {
            let work = Work {
                candidates: Arc::clone(candidates),
                key: key.to_vec(),
            };
            if !state.queue.enter(digest, from, work) {
                return Err(Verdict::Busy);
            }
            let (sender, receiver) = watch::channel(None);
            let flight = Flight {
                has_begun: false,
                verdict: sender,
            };
            state.flights.insert(digest, flight);
            self.begin(&mut state);
            receiver
        };
        Ok(Waiter {
            desk: Arc::clone(self),
            digest,
            verdict,
        })
    }

    /// Begins what may begin.
    fn begin(self: &Arc<Self>, state: &mut State) {
        while state.running < AT_ONCE
            && let Some((digest, from, work)) = state.queue.next(Instant::now())
        {
            let desk = Arc::clone(self);
            let thread = std::thread::Builder::new().name("key-verifier".to_owned());
            let begun = thread.spawn(move || {
                // Of this thread alone (setpriority(2)). Without it verifying is only less polite.
                rustix::process::setpriority_process(None, NICE).ok();
                let found = work.find();
                drop(work);
                desk.end(digest, from, found);
            });
            if let Err(error) = begun {
                tracing::warn!(%error, "no thread to verify an imported key");
                state.flights.remove(&digest);
                continue;
            }
            state.running += 1;
            if let Some(flight) = state.flights.get_mut(&digest) {
                flight.has_begun = true;
            }
        }
    }

    fn end(self: &Arc<Self>, digest: Digest, from: IpAddr, found: Option<Uuid>) {
        let mut state = self.lock();
        state.running -= 1;
        let verdict = if let Some(id) = found {
            state.valid.insert(digest, id);
            // The receiver ends only with the process.
            self.upgrades.send(Upgrade { id, digest }).ok();
            Verdict::Valid(id)
        } else {
            state.remember_refused(digest);
            state.queue.note_bad(from, Instant::now());
            Verdict::Invalid
        };
        if let Some(flight) = state.flights.remove(&digest) {
            flight.verdict.send_replace(Some(verdict));
        }
        self.begin(&mut state);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remember_refused(&mut self, digest: Digest) {
        if self.refused.len() >= REMEMBERED {
            self.refused
                .retain(|_, since| since.elapsed() < REFUSED_FOR);
        }
        if self.refused.len() < REMEMBERED {
            self.refused.insert(digest, Instant::now());
        }
    }
}

impl Work {
    fn find(&self) -> Option<Uuid> {
        self.candidates
            .iter()
            .find(|candidate| is_match(&self.key, &candidate.hash))
            .map(|candidate| candidate.id)
    }
}

/// One that waits for a verdict.
struct Waiter {
    desk: Arc<Desk>,
    digest: Digest,
    verdict: watch::Receiver<Option<Verdict>>,
}

impl Waiter {
    async fn verdict(&mut self) -> Verdict {
        match self.verdict.wait_for(Option::is_some).await {
            Ok(verdict) => verdict.unwrap_or(Verdict::Busy),
            Err(_) => Verdict::Busy,
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut state = self.desk.lock();
        let is_last = |flight: &Flight| !flight.has_begun && flight.verdict.receiver_count() == 1;
        if state.flights.get(&self.digest).is_some_and(is_last) {
            state.flights.remove(&self.digest);
            state.queue.forget(&self.digest);
        }
    }
}

/// bcrypt looks at 72 bytes at most. A longer key would match whatever follows them, so it never was a bcrypt key.
fn is_match(key: &[u8], hash: &str) -> bool {
    key.len() <= 72 && bcrypt::verify(key, hash).unwrap_or(false)
}

#[cfg(test)]
mod tests;
