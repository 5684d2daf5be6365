//! Tokens that were verified before.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use bastide_config::Secret;
use jiff::Timestamp;
use quick_cache::Equivalent;
use quick_cache::sync::Cache;

use crate::claims::Read;

/// Verified tokens by their whole text, and how often one was found.
///
/// A token is found only if all of it agrees, so that the hash by which the table looks decides nothing and may be a fast one.
/// Nobody can crowd the table either: only what was signed gets in.
#[derive(Debug)]
pub(crate) struct Remembered {
    tokens: Cache<Known, Arc<Verified>>,
    ttl: Duration,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// What is known of a token whose signature is good.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) read: Read,
    /// When the signature is to be checked again.
    pub(crate) until: Timestamp,
    /// The state of the remote keys with which it was checked.
    pub(crate) generation: u64,
}

/// A token in the table. Its memory is cleared when it leaves.
#[derive(Debug)]
struct Known(Secret);

/// A token that somebody shows.
#[derive(Hash)]
struct Shown<'a>(&'a str);

impl Remembered {
    pub(crate) fn new(tokens: usize, ttl: Duration) -> Self {
        Self {
            tokens: Cache::new(tokens),
            ttl,
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// What was verified of this token, if that is still good.
    pub(crate) fn find(
        &self,
        token: &str,
        is_good: impl Fn(&Verified) -> bool,
    ) -> Option<Arc<Verified>> {
        let found = self.tokens.get(&Shown(token)).filter(|one| is_good(one));
        let counter = if found.is_some() {
            &self.hits
        } else {
            &self.misses
        };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    pub(crate) fn keep(&self, token: &str, verified: Arc<Verified>) {
        self.tokens.insert(Known(Secret::new(token)), verified);
    }

    /// For how long a signature need not be checked again.
    pub(crate) fn ttl(&self) -> Duration {
        self.ttl
    }

    pub(crate) fn forget_all(&self) {
        self.tokens.clear();
    }

    /// Hits and misses.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (of(&self.hits), of(&self.misses))
    }
}

impl Hash for Known {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Shown(self.0.expose()).hash(state);
    }
}

/// In constant time: how long it takes tells nobody how much of a token was guessed.
impl Equivalent<Known> for Shown<'_> {
    fn equivalent(&self, known: &Known) -> bool {
        verify_slices_are_equal(self.0.as_bytes(), known.0.expose().as_bytes()).is_ok()
    }
}

impl PartialEq for Known {
    fn eq(&self, other: &Self) -> bool {
        Shown(self.0.expose()).equivalent(other)
    }
}

impl Eq for Known {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::{Expected, Names};

    fn verified() -> Arc<Verified> {
        let expected = Expected {
            issuers: Vec::new(),
            audiences: Vec::new(),
            leeway: 0,
            names: Names::default(),
        };
        let payload = br#"{"sub":"ada","exp":100}"#;
        let read = expected.read(payload, Timestamp::UNIX_EPOCH).unwrap();
        Arc::new(Verified {
            read,
            until: Timestamp::MAX,
            generation: 0,
        })
    }

    #[test]
    fn s9_a_token_is_found_only_by_all_of_its_text() {
        let token = "e30.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl";
        let remembered = Remembered::new(8, Duration::from_secs(60));
        remembered.keep(token, verified());
        let is_found = |text: &str| remembered.find(text, |_| true).is_some();
        assert!(is_found(token));
        for place in 0..token.len() {
            let mut other = token.to_owned();
            other.replace_range(place..=place, "~");
            assert!(!is_found(&other), "{other}");
            assert!(!is_found(&token[..place]), "{place}");
        }
        assert!(!is_found(&format!("{token}.")));
        assert!(remembered.find(token, |_| false).is_none());
        assert_eq!(remembered.counts(), (1, 2 * token.len() as u64 + 2));
    }

    #[test]
    fn even_if_two_texts_have_one_hash() {
        // What the table asks of two that it cannot tell apart by their hash.
        let known = Known(Secret::new("one.token.here"));
        assert!(Shown("one.token.here").equivalent(&known));
        assert!(!Shown("one.token.her3").equivalent(&known));
        assert!(!format!("{known:?}").contains("token"));
    }
}
