//! Locks: what only one may do at a time, across everybody who uses the store.
//!
//! A lock is a key that lives for a while and is renewed while its holder lives. A holder that is frozen for longer than that
//! loses the lock without noticing in time. So each acquisition has a **fencing token**, a number greater than those of all
//! acquisitions of that name before it: whoever is written to under the lock remembers the greatest token it has seen and
//! refuses lesser ones (see Martin Kleppmann, "How to do distributed locking", 2016).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::backend::Backend;
use crate::error::StoreError;

/// A lock that this process holds. Dropping it releases the lock soon; [`Guard::release`] does it now.
///
/// It is renewed on the runtime on which it was acquired, each third of its time to live.
#[derive(Debug)]
pub struct Guard {
    token: u64,
    held: watch::Receiver<Held>,
    /// Ends the renewal, which then releases the lock and answers.
    release: Option<oneshot::Sender<oneshot::Sender<Result<bool, StoreError>>>>,
}

/// What is known about the lock.
#[derive(Debug, Clone, Copy)]
struct Held {
    /// The store keeps it at least until then.
    until: Instant,
    /// Somebody else may have it, and what comes back would be another lock.
    is_lost: bool,
}

impl Guard {
    /// The fencing token: greater than that of everybody who held this lock before. To be sent along with whatever is
    /// done under the lock.
    pub fn token(&self) -> u64 {
        self.token
    }

    /// Whether the lock is no longer surely held. Once lost it stays so.
    ///
    /// It can be lost right after this has been answered; only the token makes sure.
    pub fn is_lost(&self) -> bool {
        let held = *self.held.borrow();
        held.is_lost || Instant::now() >= held.until
    }

    /// Waits until the lock is lost: it could not be renewed in time, or was taken away. Safe to drop at any await.
    pub async fn lost(&self) {
        let mut held = self.held.clone();
        loop {
            let Held { until, is_lost } = *held.borrow_and_update();
            if is_lost || Instant::now() >= until {
                return;
            }
            tokio::select! {
                // An error means that nobody renews it any more; then it lasts as long as it lasts.
                Ok(()) = held.changed() => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }

    /// Releases the lock. `false` if it had been lost; another holder's is left alone.
    ///
    /// # Errors
    /// While the store is away. The lock then lasts until its time to live is over.
    pub async fn release(mut self) -> Result<bool, StoreError> {
        let (reply, answer) = oneshot::channel();
        if let Some(release) = self.release.take() {
            // Fails only if the renewal has ended, because the lock was lost or its runtime is gone.
            let _ = release.send(reply);
        }
        answer.await.unwrap_or(Ok(false))
    }
}

/// Takes the lock if nobody has it. `key` contains a hash tag.
pub(crate) async fn acquire(
    backend: Arc<dyn Backend>,
    key: String,
    ttl: Duration,
) -> Result<Option<Guard>, StoreError> {
    let ttl = ttl.max(Duration::from_millis(1));
    // Before the question: the store's time begins no earlier.
    let asked = Instant::now();
    let Some(token) = backend.acquire(&key, ttl).await? else {
        return Ok(None);
    };
    let (held, receiver) = watch::channel(Held {
        until: end(asked, ttl),
        is_lost: false,
    });
    let (release, released) = oneshot::channel();
    let lock = Lock {
        backend,
        key,
        value: token.to_string().into_bytes(),
        ttl,
    };
    tokio::spawn(lock.keep(held, released));
    Ok(Some(Guard {
        token,
        held: receiver,
        release: Some(release),
    }))
}

/// The name as the hash tag of a key: what else is kept about the lock has the same tag, and so the same node of a cluster.
/// Braces would end a tag early, and an empty one would be none.
pub(crate) fn tag(name: &str) -> String {
    let mut tag = String::from("{");
    for letter in name.chars() {
        match letter {
            '%' => tag.push_str("%25"),
            '{' => tag.push_str("%7B"),
            '}' => tag.push_str("%7D"),
            _ => tag.push(letter),
        }
    }
    if name.is_empty() {
        tag.push('%');
    }
    tag.push('}');
    tag
}

/// A time to live beyond what a clock can say is as good as a year.
fn end(from: Instant, ttl: Duration) -> Instant {
    from + ttl.min(Duration::from_hours(24 * 365))
}

struct Lock {
    backend: Arc<dyn Backend>,
    key: String,
    /// No other acquisition has the same.
    value: Vec<u8>,
    ttl: Duration,
}

impl Lock {
    async fn keep(
        self,
        held: watch::Sender<Held>,
        mut released: oneshot::Receiver<oneshot::Sender<Result<bool, StoreError>>>,
    ) {
        let mut next = end(Instant::now(), self.ttl / 3);
        loop {
            let until = held.borrow().until;
            let reply = tokio::select! {
                reply = &mut released => reply,
                () = tokio::time::sleep_until(next.min(until)) => {
                    match self.renew(&held, until).await {
                        Some(again) => next = again,
                        None => return,
                    }
                    continue;
                }
            };
            let result = self.change(None).await;
            if let Ok(reply) = reply {
                let _ = reply.send(result);
            }
            return;
        }
    }

    /// Renews it, and says when to do so again; `None` if it is lost.
    async fn renew(&self, held: &watch::Sender<Held>, until: Instant) -> Option<Instant> {
        let asked = Instant::now();
        let is_renewed = match tokio::time::timeout_at(until, self.change(Some(&self.value))).await
        {
            Ok(Ok(is_ours)) => Some(is_ours),
            // The store is away: there is time to try again until the lock's is over.
            Ok(Err(_)) | Err(_) => None,
        };
        let now = Instant::now();
        match is_renewed {
            // An answer that comes late says what was, and the holder may have been told already that it is lost.
            Some(true) if now < until => {
                held.send_modify(|held| held.until = end(asked, self.ttl));
                Some(end(asked, self.ttl / 3))
            }
            None if now < until => Some(now + (self.ttl / 10).min(Duration::from_millis(500))),
            _ => {
                held.send_modify(|held| held.is_lost = true);
                // If it is still ours in the store, nobody else need wait for it.
                let _ = self.change(None).await;
                None
            }
        }
    }

    async fn change(&self, value: Option<&[u8]>) -> Result<bool, StoreError> {
        self.backend
            .compare_and_set(&self.key, Some(&self.value), value, Some(self.ttl))
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::tag;

    #[test]
    fn every_name_has_a_tag_of_its_own() {
        for (name, expected) in [
            ("jobs", "{jobs}"),
            ("", "{%}"),
            ("%", "{%25}"),
            ("a}b", "{a%7Db}"),
            ("{a}", "{%7Ba%7D}"),
            ("%7Ba%7D", "{%257Ba%257D}"),
        ] {
            assert_eq!(tag(name), expected);
        }
    }
}
