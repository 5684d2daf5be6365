//! In which order keys are verified.
//!
//! A verification takes long and nobody can tell a good key from a bad one before it. So whoever has sent the fewest bad
//! ones of late comes first, and the more is waiting, the less of it may be one address's: a flood waits behind itself.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::Digest;

/// Verifications that may wait.
pub(super) const ROOM: usize = 32;

/// An address may have this part of the room that is left, and in any case one place.
const SHARE: usize = 8;

/// How long a bad key is held against its address.
const MEMORY: Duration = Duration::from_secs(60);

/// Addresses that are remembered; a flood from many must not take memory.
const ADDRESSES: usize = 4_096;

/// What waits, and whom it has to thank for its place.
#[derive(Debug)]
pub(super) struct Queue<W> {
    /// First come first.
    waiting: Vec<Waiting<W>>,
    bad: HashMap<IpAddr, (u32, Instant)>,
}

#[derive(Debug)]
struct Waiting<W> {
    digest: Digest,
    from: IpAddr,
    work: W,
}

impl<W> Default for Queue<W> {
    fn default() -> Self {
        Self {
            waiting: Vec::new(),
            bad: HashMap::new(),
        }
    }
}

impl<W> Queue<W> {
    /// Lets the work wait, or says that there is no room for it.
    pub(super) fn enter(&mut self, digest: Digest, from: IpAddr, work: W) -> bool {
        let of_address = self.waiting.iter().filter(|one| one.from == from).count();
        let left = ROOM - self.waiting.len();
        if left == 0 || of_address >= (left / SHARE).max(1) {
            return false;
        }
        self.waiting.push(Waiting { digest, from, work });
        true
    }

    /// What is to be done next, and for whom.
    pub(super) fn next(&mut self, now: Instant) -> Option<(Digest, IpAddr, W)> {
        let (index, _) = (self.waiting.iter().enumerate())
            .min_by_key(|(index, one)| (self.bad_of(one.from, now), *index))?;
        let Waiting { digest, from, work } = self.waiting.remove(index);
        Some((digest, from, work))
    }

    /// Takes out what nobody waits for any more.
    pub(super) fn forget(&mut self, digest: &Digest) {
        self.waiting.retain(|one| one.digest != *digest);
    }

    /// Notes that the address sent a bad key.
    pub(super) fn note_bad(&mut self, from: IpAddr, now: Instant) {
        if self.bad.len() >= ADDRESSES {
            self.bad
                .retain(|_, (_, last)| now.duration_since(*last) < MEMORY);
            if self.bad.len() >= ADDRESSES {
                self.bad.clear();
            }
        }
        let count = self.bad_of(from, now) + 1;
        self.bad.insert(from, (count, now));
    }

    fn bad_of(&self, from: IpAddr, now: Instant) -> u32 {
        self.bad
            .get(&from)
            .filter(|(_, last)| now.duration_since(*last) < MEMORY)
            .map_or(0, |(count, _)| *count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: usize) -> IpAddr {
        IpAddr::V4(u32::try_from(number).unwrap().into())
    }

    fn digest(number: usize) -> Digest {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&number.to_le_bytes());
        digest
    }

    #[test]
    fn a_flood_leaves_room_for_others() {
        let mut queue = Queue::default();
        // Eight addresses that send as fast as they can.
        for number in 0..1_000 {
            queue.enter(digest(number), address(number % 8), ());
        }
        assert!(
            queue.waiting.len() <= ROOM * 2 / 3,
            "{}",
            queue.waiting.len()
        );
        assert!(queue.enter(digest(1_001), address(9), ()));
        // Only so many different ones fill it that each has one place.
        for number in 0..1_000 {
            queue.enter(digest(2_000 + number), address(100 + number), ());
        }
        assert_eq!(queue.waiting.len(), ROOM);
    }

    #[test]
    fn who_sent_bad_keys_comes_later_until_that_is_forgotten() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let fill = |queue: &mut Queue<()>| {
            for number in 0..3 {
                assert!(queue.enter(digest(number), address(number), ()));
            }
        };
        let order = |queue: &mut Queue<()>, now| -> Vec<IpAddr> {
            std::iter::from_fn(|| queue.next(now).map(|(_, from, ())| from)).collect()
        };
        queue.note_bad(address(0), now);
        queue.note_bad(address(0), now);
        queue.note_bad(address(1), now);
        fill(&mut queue);
        assert_eq!(order(&mut queue, now), [2, 1, 0].map(address));
        fill(&mut queue);
        assert_eq!(order(&mut queue, now + MEMORY), [0, 1, 2].map(address));
    }

    #[test]
    fn what_nobody_waits_for_leaves_its_place() {
        let mut queue = Queue::default();
        assert!(queue.enter(digest(1), address(1), ()));
        queue.forget(&digest(1));
        assert!(queue.next(Instant::now()).is_none());
    }

    #[test]
    fn bad_keys_from_many_addresses_take_bounded_memory() {
        let (mut queue, now) = (Queue::<()>::default(), Instant::now());
        for number in 0..3 * ADDRESSES {
            queue.note_bad(address(number), now);
            assert!(queue.bad.len() <= ADDRESSES);
        }
    }
}
