//! A reusable read buffer: bytes come in at the end and are consumed from the front.

/// Most heads, and small bodies with them, fit; a larger head makes the buffer grow to the head limit.
pub(crate) const SMALL: usize = 16 * 1024;

/// Zeroed once and then only overwritten, so that reads need no `unsafe` and no clearing.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes consumed since somebody last asked.
    consumed: u64,
}

impl Buffer {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self {
            bytes: vec![0; capacity],
            start: 0,
            end: 0,
            consumed: 0,
        }
    }

    /// What has been read and not yet consumed.
    pub(crate) fn data(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        self.consumed += count as u64;
        debug_assert!(self.start <= self.end, "more consumed than was read");
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// How many bytes were consumed since this was last asked, or since it was cleared.
    pub(crate) fn take_consumed(&mut self) -> u64 {
        std::mem::take(&mut self.consumed)
    }

    /// Room to read into. Never empty: moves what is left to the front, or grows, when the end is reached.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.end == self.bytes.len() {
            if self.start > 0 {
                self.bytes.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            } else {
                let grown = (self.bytes.len() * 2).max(SMALL);
                self.bytes.resize(grown, 0);
            }
        }
        &mut self.bytes[self.end..]
    }

    /// Makes it at least this large.
    pub(crate) fn widen(&mut self, capacity: usize) {
        if self.bytes.len() < capacity {
            self.bytes.resize(capacity, 0);
        }
    }

    /// Appends bytes that did not come from a read.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.room();
            let count = room.len().min(bytes.len());
            room[..count].copy_from_slice(&bytes[..count]);
            self.filled(count);
            bytes = &bytes[count..];
        }
    }

    /// Says that `count` bytes of [`Self::room`] were filled.
    pub(crate) fn filled(&mut self, count: usize) {
        self.end += count;
        debug_assert!(
            self.end <= self.bytes.len(),
            "more filled than there was room"
        );
    }

    pub(crate) fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
        self.consumed = 0;
    }

    /// Whether it never had room: there is nothing in it to use again.
    pub(crate) fn is_unused(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether it has grown beyond what is worth keeping for the next connection.
    pub(crate) fn is_oversized(&self) -> bool {
        self.bytes.len() > SMALL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_in_order_across_moves_and_growth() {
        let mut buffer = Buffer::with_capacity(8);
        buffer.push(b"abcdef");
        buffer.consume(4);
        buffer.push(b"ghij");
        assert_eq!(buffer.data(), b"efghij");
        buffer.push(&[b'x'; 100]);
        assert_eq!(buffer.data().len(), 106);
        assert!(buffer.data().starts_with(b"efghijx"));
        buffer.consume(106);
        assert!(buffer.is_empty());
    }
}
