//! Upper bounds on everything a peer can make us keep.

/// Bounds on one message. All are in bytes except [`Limits::fields`].
///
/// They bound memory, not time: a caller that fears slow peers adds its own deadlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Start line, field lines and the closing empty line together. Default 32 KiB.
    pub head_bytes: usize,
    /// Field lines in a head, and again in a trailer section. Default 100, at most 65 534.
    pub fields: usize,
    /// The request target. Default 8 KiB.
    pub target_bytes: usize,
    /// One chunk-size line with its extensions, without the final CRLF. Default 256.
    pub chunk_line_bytes: usize,
    /// Chunk extensions of one body, all chunks together. Default 16 KiB.
    ///
    /// Without it a peer may wrap every single byte in a full [`Limits::chunk_line_bytes`].
    pub chunk_extension_bytes: usize,
    /// The trailer section. Default 8 KiB.
    pub trailer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 32 * 1024,
            fields: 100,
            target_bytes: 8 * 1024,
            chunk_line_bytes: 256,
            chunk_extension_bytes: 16 * 1024,
            trailer_bytes: 8 * 1024,
        }
    }
}

impl Limits {
    /// The head's bound, kept within what a [`Span`](crate::Span) can address.
    pub(crate) fn head(&self) -> usize {
        self.head_bytes.min(u32::MAX as usize / 4)
    }

    /// The field count's bound, kept within what the head's index can address.
    pub(crate) fn field_count(&self) -> usize {
        self.fields.min(usize::from(u16::MAX) - 1)
    }
}
