//! What went up of a request's body, kept while it is small, so that another upstream can be tried.

/// A longer body streams through and is not tried again once it was begun.
const MAX: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Replay {
    kept: Vec<u8>,
    overflowed: bool,
}

impl Replay {
    pub(crate) fn record(&mut self, data: &[u8]) {
        if self.overflowed {
            return;
        }
        if self.kept.len() + data.len() > MAX {
            self.overflowed = true;
            self.kept = Vec::new();
        } else {
            self.kept.extend_from_slice(data);
        }
    }

    /// Whether all that went up is still here.
    pub(crate) fn is_whole(&self) -> bool {
        !self.overflowed
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_body_is_kept_and_a_large_one_is_let_go_of() {
        let mut replay = Replay::default();
        replay.record(b"abc");
        replay.record(b"def");
        assert_eq!((replay.is_whole(), replay.bytes()), (true, &b"abcdef"[..]));
        replay.record(&vec![0; MAX]);
        assert_eq!((replay.is_whole(), replay.bytes()), (false, &b""[..]));
        replay.record(b"more");
        assert!(!replay.is_whole());
    }
}
