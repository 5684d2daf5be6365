//! Wrong credentials, counted by the address that they come from: who guesses is slowed down, and nobody is locked out by it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bastide_config::network;

/// How many wrong credentials one address may send: some at once, and one more with each interval after that. Then it is told
/// to wait, with a 429 `too_many_attempts`.
///
/// Right ones are never refused, whatever came from the same address before: behind a proxy anybody could lock everybody out.
/// So this keeps nobody from guessing for ever; long keys do. It bounds what guessing costs the process and its log.
///
/// Counted in this process alone; of IPv6 the network of 64 bits is one address.
#[derive(Debug)]
pub struct Attempts {
    at_once: u32,
    interval: Duration,
    empty_at: Mutex<Buckets>,
}

/// By address, the moment at which its bucket is empty again.
type Buckets = HashMap<Option<IpAddr>, Instant>;

/// Addresses that are remembered; keeps a flood from many addresses from taking memory.
const MAX_ADDRESSES: usize = 4_096;

impl Attempts {
    /// So many at once, and one more with each of these intervals.
    pub fn new(at_once: u32, interval: Duration) -> Self {
        Self {
            at_once,
            interval,
            empty_at: Mutex::default(),
        }
    }

    /// Counts one; when there were too many, how long to wait.
    pub(crate) fn count(&self, peer: Option<IpAddr>) -> Option<Duration> {
        self.count_at(peer, Instant::now())
    }

    fn count_at(&self, peer: Option<IpAddr>, now: Instant) -> Option<Duration> {
        let mut buckets = self.empty_at.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_ADDRESSES {
            buckets.retain(|_, at| *at > now);
            if buckets.len() >= MAX_ADDRESSES {
                buckets.clear();
            }
        }
        let at = buckets.entry(peer.map(network::of)).or_insert(now);
        let filled = (*at).max(now) + self.interval;
        let excess = filled.saturating_duration_since(now + self.interval * self.at_once);
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

    const INTERVAL: Duration = Duration::from_secs(6);

    #[test]
    fn wrong_credentials_are_counted_by_address_and_forgiven_with_time() {
        let attempts = Attempts::new(10, INTERVAL);
        let address = |text: &str| Some(text.parse().unwrap());
        let (start, client) = (Instant::now(), address("2001:db8::1"));
        for _ in 0..10 {
            assert_eq!(attempts.count_at(client, start), None);
        }
        assert_eq!(attempts.count_at(client, start), Some(INTERVAL));
        assert_eq!(
            attempts.count_at(address("2001:db8::2"), start),
            Some(INTERVAL),
            "the same network"
        );
        assert_eq!(attempts.count_at(address("192.0.2.1"), start), None);
        assert_eq!(attempts.count_at(None, start), None, "a sibling");
        assert_eq!(attempts.count_at(client, start + INTERVAL), None);
        assert!(attempts.count_at(client, start + INTERVAL).is_some());
    }

    #[test]
    fn a_flood_from_many_addresses_takes_bounded_memory() {
        let attempts = Attempts::new(10, INTERVAL);
        let now = Instant::now();
        for address in 0..3 * MAX_ADDRESSES as u32 {
            attempts.count_at(Some(IpAddr::V4(address.into())), now);
            assert!(attempts.empty_at.lock().unwrap().len() <= MAX_ADDRESSES);
        }
    }
}
