//! Keys that were imported as bcrypt hashes.
//!
//! bcrypt takes a quarter of a second by design, and its hashes cannot be looked up. So candidates are tried one after
//! the other on a small pool of threads with a short queue, a key that failed is remembered for a while, and one that
//! succeeded is rewritten as HMAC at once: each imported key pays once. A flood of bad keys fills the queue and is told
//! to come back; keys that were verified before never pass here.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc};
use uuid::Uuid;

/// Verifications at a time.
const POOL: usize = 2;

/// Verifications that may wait.
const QUEUE: usize = 32;

/// Of these, from one address.
const QUEUE_PER_ADDRESS: usize = 4;

/// How long a key that failed is refused without another look.
const REFUSED_FOR: Duration = Duration::from_secs(60);

/// Failed keys that are remembered.
const REMEMBERED: usize = 10_000;

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
    /// Too many are waiting.
    Busy,
}

/// A key whose HMAC is known from now on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Upgrade {
    pub(crate) id: Uuid,
    pub(crate) digest: [u8; 32],
}

pub(crate) struct LegacyVerifier {
    known: Arc<Mutex<Known>>,
    pool: Arc<Semaphore>,
    runtime: tokio::runtime::Handle,
    upgrades: mpsc::UnboundedSender<Upgrade>,
}

/// What earlier verifications found, by the key's HMAC.
#[derive(Default)]
struct Known {
    refused: HashMap<[u8; 32], Instant>,
    /// Until the rewritten key comes back with a snapshot.
    valid: HashMap<[u8; 32], Uuid>,
    waiting: HashMap<IpAddr, usize>,
    waiting_in_all: usize,
}

impl LegacyVerifier {
    /// Verified keys are sent to `upgrades` to be rewritten. bcrypt runs on the blocking threads of `runtime`.
    pub(crate) fn new(
        runtime: tokio::runtime::Handle,
        upgrades: mpsc::UnboundedSender<Upgrade>,
    ) -> Self {
        Self {
            known: Arc::default(),
            pool: Arc::new(Semaphore::new(POOL)),
            runtime,
            upgrades,
        }
    }

    /// Finds out which of the candidates the key is. `digest` is its HMAC.
    pub(crate) async fn verify(
        &self,
        candidates: &Arc<[LegacyKey]>,
        key: &[u8],
        digest: [u8; 32],
        from: IpAddr,
    ) -> Verdict {
        let place = match self.enter(digest, candidates, from) {
            Ok(place) => place,
            Err(verdict) => return verdict,
        };
        let pool = Arc::clone(&self.pool);
        let candidates = Arc::clone(candidates);
        let key = key.to_vec();
        let found = self.runtime.spawn(async move {
            let _place = place;
            let _turn = pool.acquire_owned().await.ok()?;
            tokio::task::spawn_blocking(move || {
                candidates
                    .iter()
                    .find(|candidate| is_match(&key, &candidate.hash))
                    .map(|candidate| candidate.id)
            })
            .await
            .ok()?
        });
        // Detached from the request: a client that goes away must not make the next one pay again.
        let found = found.await.ok().flatten();
        let mut known = self.lock();
        if let Some(id) = found {
            known.valid.insert(digest, id);
            // The receiver ends only with the process.
            self.upgrades.send(Upgrade { id, digest }).ok();
            Verdict::Valid(id)
        } else {
            known.remember_refused(digest);
            Verdict::Invalid
        }
    }

    fn enter(
        &self,
        digest: [u8; 32],
        candidates: &[LegacyKey],
        from: IpAddr,
    ) -> Result<Place, Verdict> {
        let mut known = self.lock();
        if let Some(id) = known.valid.get(&digest).copied() {
            // Revoked or deleted meanwhile, unless it is still a candidate.
            let verdict = if candidates.iter().any(|c| c.id == id) {
                Verdict::Valid(id)
            } else {
                Verdict::Invalid
            };
            return Err(verdict);
        }
        if known
            .refused
            .get(&digest)
            .is_some_and(|since| since.elapsed() < REFUSED_FOR)
        {
            return Err(Verdict::Invalid);
        }
        let of_address = known.waiting.get(&from).copied().unwrap_or(0);
        if known.waiting_in_all >= QUEUE || of_address >= QUEUE_PER_ADDRESS {
            return Err(Verdict::Busy);
        }
        known.waiting.insert(from, of_address + 1);
        known.waiting_in_all += 1;
        Ok(Place {
            known: Arc::clone(&self.known),
            from,
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn remember_refused(&mut self, digest: [u8; 32]) {
        if self.refused.len() >= REMEMBERED {
            self.refused
                .retain(|_, since| since.elapsed() < REFUSED_FOR);
        }
        if self.refused.len() < REMEMBERED {
            self.refused.insert(digest, Instant::now());
        }
    }
}

/// A place in the queue, given back when it is dropped.
struct Place {
    known: Arc<Mutex<Known>>,
    from: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.waiting_in_all -= 1;
        if let Some(count) = known.waiting.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                known.waiting.remove(&self.from);
            }
        }
    }
}

/// bcrypt looks at 72 bytes at most. A longer key would match whatever follows them, so it never was a bcrypt key.
fn is_match(key: &[u8], hash: &str) -> bool {
    key.len() <= 72 && bcrypt::verify(key, hash).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verifier() -> (LegacyVerifier, mpsc::UnboundedReceiver<Upgrade>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (
            LegacyVerifier::new(tokio::runtime::Handle::current(), sender),
            receiver,
        )
    }

    fn candidates(keys: &[&str]) -> Arc<[LegacyKey]> {
        keys.iter()
            .map(|key| LegacyKey {
                id: Uuid::now_v7(),
                hash: bcrypt::hash(key, 4).unwrap().into(),
            })
            .collect()
    }

    const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn a_valid_key_is_found_and_rewritten_once() {
        let (verifier, mut upgrades) = verifier();
        let candidates = candidates(&["one", "two"]);
        let verdict = verifier.verify(&candidates, b"two", [2; 32], FROM).await;
        assert_eq!(verdict, Verdict::Valid(candidates[1].id));
        assert_eq!(
            verifier.verify(&candidates, b"two", [2; 32], FROM).await,
            verdict
        );
        let upgrade = upgrades.recv().await.unwrap();
        assert_eq!((upgrade.id, upgrade.digest), (candidates[1].id, [2; 32]));
        assert!(upgrades.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_key_that_is_revoked_after_it_was_verified_is_refused() {
        let (verifier, _upgrades) = verifier();
        let known = candidates(&["one"]);
        assert_eq!(
            verifier.verify(&known, b"one", [1; 32], FROM).await,
            Verdict::Valid(known[0].id)
        );
        assert_eq!(
            verifier
                .verify(&candidates(&["other"]), b"one", [1; 32], FROM)
                .await,
            Verdict::Invalid
        );
    }

    #[tokio::test]
    async fn a_bad_key_is_remembered() {
        let (verifier, _upgrades) = verifier();
        let known = candidates(&["one"]);
        assert_eq!(
            verifier.verify(&known, b"bad", [9; 32], FROM).await,
            Verdict::Invalid
        );
        // With the pool closed a second look would never come back.
        verifier.pool.close();
        assert_eq!(
            verifier.verify(&known, b"bad", [9; 32], FROM).await,
            Verdict::Invalid
        );
    }

    #[tokio::test]
    async fn one_address_cannot_fill_the_queue() {
        let (verifier, _upgrades) = verifier();
        let known = candidates(&["one"]);
        let places: Vec<_> = (0..QUEUE_PER_ADDRESS)
            .map(|i| verifier.enter([i as u8; 32], &known, FROM))
            .collect();
        assert!(places.iter().all(Result::is_ok));
        assert_eq!(
            verifier.verify(&known, b"x", [77; 32], FROM).await,
            Verdict::Busy
        );
        let other = IpAddr::from([127, 0, 0, 2]);
        assert_eq!(
            verifier.verify(&known, b"x", [77; 32], other).await,
            Verdict::Invalid
        );
        drop(places);
        assert_eq!(
            verifier.verify(&known, b"y", [78; 32], FROM).await,
            Verdict::Invalid
        );
    }

    #[test]
    fn a_key_beyond_what_bcrypt_reads_is_no_match() {
        let long = "k".repeat(72);
        let hash = bcrypt::hash(&long, 4).unwrap();
        assert!(is_match(long.as_bytes(), &hash));
        assert!(!is_match(format!("{long}x").as_bytes(), &hash));
    }
}
