//! Who may use the Admin API: the holder of the admin key.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::{constant_time, hmac, rand};
use bastide_config::Secret;
use http::HeaderMap;

use super::problem::{Code, Problem};
use crate::network;

/// The header that carries the key.
const HEADER: &str = "x-admin-key";
/// How many wrong keys an address may send at once, and one more with each interval after that.
const ATTEMPTS: u32 = 10;
const INTERVAL: Duration = Duration::from_secs(6);
/// Addresses that are remembered; keeps a flood from many addresses from taking memory.
const MAX_ADDRESSES: usize = 4_096;

/// Compares presented keys with the admin key, and counts wrong ones.
pub(super) struct Access {
    /// Of this process alone. Digests are compared rather than keys, so that the time tells nothing about the
    /// key, not even its length.
    digest_key: hmac::Key,
    expected: hmac::Tag,
    attempts: Mutex<Attempts>,
}

impl Access {
    pub(super) fn new(admin_key: &Secret) -> Self {
        let random = rand::SystemRandom::new();
        let digest_key = hmac::Key::generate(hmac::HMAC_SHA256, &random)
            .expect("the operating system gives random bytes");
        let expected = hmac::sign(&digest_key, admin_key.expose().as_bytes());
        Self {
            digest_key,
            expected,
            attempts: Mutex::new(Attempts::default()),
        }
    }

    /// Whether exactly one key is presented and it is the right one.
    pub(super) fn is_granted(&self, headers: &HeaderMap) -> bool {
        let mut keys = headers.get_all(HEADER).iter();
        let (Some(key), None) = (keys.next(), keys.next()) else {
            return false;
        };
        let presented = hmac::sign(&self.digest_key, key.as_bytes());
        constant_time::verify_slices_are_equal(presented.as_ref(), self.expected.as_ref()).is_ok()
    }

    /// Why access is refused. The right key is never refused, whatever was tried before from the same address:
    /// behind a proxy or a shared address anyone could lock the operator out.
    pub(super) fn refusal(&self, headers: &HeaderMap, client: IpAddr, now: Instant) -> Problem {
        if !headers.contains_key(HEADER) {
            return Problem::new(
                Code::AdminKeyMissing,
                "send the admin key in the X-Admin-Key header",
            );
        }
        let wait = self
            .attempts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .note(client, now);
        match wait {
            None => {
                tracing::warn!(%client, "a wrong admin key was presented");
                Problem::new(Code::AdminKeyInvalid, "the admin key in X-Admin-Key is wrong")
            }
            Some(wait) => Problem::new(
                Code::TooManyAttempts,
                "too many wrong admin keys came from this address; wait as long as Retry-After says",
            )
            .with_header(http::header::RETRY_AFTER, wait.as_secs().max(1).to_string()),
        }
    }
}

/// Wrong keys by address: a bucket each, kept as the moment at which it will be empty again.
#[derive(Debug, Default)]
struct Attempts {
    empty_at: HashMap<IpAddr, Instant>,
}

impl Attempts {
    /// Counts a wrong key; when there were too many, how long to wait.
    fn note(&mut self, client: IpAddr, now: Instant) -> Option<Duration> {
        if self.empty_at.len() >= MAX_ADDRESSES {
            self.empty_at.retain(|_, at| *at > now);
            if self.empty_at.len() >= MAX_ADDRESSES {
                self.empty_at.clear();
            }
        }
        let at = self.empty_at.entry(network::of(client)).or_insert(now);
        let filled = (*at).max(now) + INTERVAL;
        let excess = filled.saturating_duration_since(now + INTERVAL * ATTEMPTS);
        if excess.is_zero() {
            *at = filled;
            None
        } else {
            Some(excess)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        Access::new(&Secret::new("the right key"))
    }

    fn with(keys: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for key in keys {
            headers.append(HEADER, key.parse().unwrap());
        }
        headers
    }

    #[test]
    fn one_right_key_opens_and_nothing_else_does() {
        let access = access();
        assert!(access.is_granted(&with(&["the right key"])));
        for wrong in [
            &[][..],
            &[""],
            &["the right ke"],
            &["the right key2"],
            &["the right key", "the right key"],
        ] {
            assert!(!access.is_granted(&with(wrong)), "{wrong:?}");
        }
    }

    #[test]
    fn wrong_keys_are_counted_by_address_and_forgiven_with_time() {
        let mut attempts = Attempts::default();
        let (start, client) = (Instant::now(), "2001:db8::1".parse().unwrap());
        for _ in 0..ATTEMPTS {
            assert_eq!(attempts.note(client, start), None);
        }
        assert_eq!(attempts.note(client, start), Some(INTERVAL));
        assert_eq!(
            attempts.note("2001:db8::2".parse().unwrap(), start),
            Some(INTERVAL),
            "the same network"
        );
        assert_eq!(attempts.note("192.0.2.1".parse().unwrap(), start), None);
        assert_eq!(attempts.note(client, start + INTERVAL), None);
        assert!(attempts.note(client, start + INTERVAL).is_some());
    }

    #[test]
    fn a_flood_from_many_addresses_takes_bounded_memory() {
        let mut attempts = Attempts::default();
        let now = Instant::now();
        for address in 0..3 * MAX_ADDRESSES as u32 {
            attempts.note(IpAddr::V4(address.into()), now);
            assert!(attempts.empty_at.len() <= MAX_ADDRESSES);
        }
    }
}
