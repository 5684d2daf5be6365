//! A value as the store keeps it.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::tag::Tag;

/// The first byte. A reader of another version takes the value for a miss.
const VERSION: u8 = 1;

/// A tag's state when the value was computed: another one after each invalidation.
pub(crate) type Generation = [u8; 16];

/// A value with what decides whether it may be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Milliseconds since 1970.
    pub(crate) made_at: i64,
    /// From then.
    pub(crate) fresh: Duration,
    /// How much longer it may be served while it is computed anew.
    pub(crate) stale: Duration,
    /// In the order of the tags.
    pub(crate) generations: Vec<(Tag, Generation)>,
    /// The value in JSON.
    pub(crate) body: Bytes,
}

impl Entry {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(27 + 32 * self.generations.len() + self.body.len());
        out.put_u8(VERSION);
        out.put_i64(self.made_at);
        out.put_u64(self.fresh.as_millis() as u64);
        out.put_u64(self.stale.as_millis() as u64);
        out.put_u16(self.generations.len() as u16);
        for (tag, generation) in &self.generations {
            out.put_slice(tag.as_bytes());
            out.put_slice(generation);
        }
        out.put_slice(&self.body);
        out.freeze()
    }

    /// `None`: it is not of this version, or not whole.
    pub(crate) fn decode(mut bytes: Bytes) -> Option<Self> {
        if bytes.try_get_u8().ok()? != VERSION {
            return None;
        }
        let made_at = bytes.try_get_i64().ok()?;
        let fresh = Duration::from_millis(bytes.try_get_u64().ok()?);
        let stale = Duration::from_millis(bytes.try_get_u64().ok()?);
        let count = usize::from(bytes.try_get_u16().ok()?);
        if bytes.remaining() < count * 32 {
            return None;
        }
        let mut block = || {
            let mut block = [0; 16];
            bytes.copy_to_slice(&mut block);
            block
        };
        let generations = (0..count)
            .map(|_| (Tag::from_bytes(block()), block()))
            .collect();
        Some(Self {
            made_at,
            fresh,
            stale,
            generations,
            body: bytes,
        })
    }

    /// How long it is still fresh, and how long it may be served at all. A clock that runs ahead adds nothing.
    pub(crate) fn remaining(&self, now: i64) -> (Duration, Duration) {
        let age = Duration::from_millis(now.saturating_sub(self.made_at).max(0) as u64);
        (
            self.fresh.saturating_sub(age),
            self.fresh.saturating_add(self.stale).saturating_sub(age),
        )
    }

    /// Whether it was made with exactly these tags, in these states.
    pub(crate) fn agrees(&self, tags: &[Tag], generations: &[Option<Generation>]) -> bool {
        self.generations.len() == tags.len()
            && tags
                .iter()
                .zip(generations)
                .zip(&self.generations)
                .all(|((tag, now), (own, then))| own == tag && *now == Some(*then))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry() -> Entry {
        Entry {
            made_at: 1_000,
            fresh: Duration::from_secs(10),
            stale: Duration::from_secs(5),
            generations: vec![(Tag::shared("a"), [7; 16]), (Tag::shared("b"), [8; 16])],
            body: Bytes::from_static(b"{}"),
        }
    }

    #[test]
    fn it_reads_what_it_wrote_and_nothing_that_was_cut() {
        let whole = entry().encode();
        assert_eq!(Entry::decode(whole.clone()), Some(entry()));
        for length in 0..whole.len() - 2 {
            assert_eq!(Entry::decode(whole.slice(..length)), None, "{length}");
        }
    }

    #[test]
    fn it_agrees_only_with_its_own_tags_in_their_states() {
        let (a, b) = (Tag::shared("a"), Tag::shared("b"));
        let then = [Some([7; 16]), Some([8; 16])];
        assert!(entry().agrees(&[a, b], &then));
        assert!(!entry().agrees(&[a, b], &[Some([7; 16]), None]));
        assert!(!entry().agrees(&[a, b], &[Some([7; 16]), Some([9; 16])]));
        assert!(!entry().agrees(&[b, a], &then));
        assert!(!entry().agrees(&[a], &then[..1]));
    }

    #[test]
    fn time_runs_out_and_a_clock_ahead_adds_none() {
        let seconds = |(fresh, whole): (Duration, Duration)| (fresh.as_secs(), whole.as_secs());
        assert_eq!(seconds(entry().remaining(1_000)), (10, 15));
        assert_eq!(seconds(entry().remaining(12_000)), (0, 4));
        assert_eq!(seconds(entry().remaining(0)), (10, 15));
        assert_eq!(seconds(entry().remaining(i64::MAX)), (0, 0));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Entry::decode(Bytes::from(bytes.clone()));
            let _ = Entry::decode([&[VERSION][..], &bytes].concat().into());
        }
    }
}
