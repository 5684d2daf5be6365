//! What a limit answers.

/// The state of a limit after a decision, for the response's header fields.
///
/// Where a limit has two windows (rate and burst), or several limits were asked together, it speaks of the one nearest
/// to exhaustion: the one a client has to mind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Admissions allowed in any [`window`](Self::window).
    pub limit: u32,
    /// Admissions still free at this moment. Between several nodes: as of the last word from Redis.
    pub remaining: u32,
    /// Length of the window in microseconds.
    pub window: u64,
    /// Microseconds until everything is free again if nothing more comes.
    pub reset_after: u64,
    /// Microseconds after which a request is admitted if nobody else comes. 0 when this one was admitted.
    pub retry_after: u64,
}

impl Quota {
    /// Whichever of two is nearer to exhaustion, by the part of its limit that is left.
    pub fn tighter(self, other: Self) -> Self {
        let mine = u64::from(self.remaining) * u64::from(other.limit);
        let theirs = u64::from(other.remaining) * u64::from(self.limit);
        if theirs < mine { other } else { self }
    }
}

/// The answer to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Go on; it has been counted.
    Admitted(Quota),
    /// Over the limit; nothing has been counted.
    Refused(Quota),
    /// Shared limits only: this node holds no lease just now, ask with `acquire`, which may wait some milliseconds.
    /// Nothing has been counted.
    Pending,
}

impl Outcome {
    /// Whether the request may go on.
    pub fn is_admitted(&self) -> bool {
        matches!(self, Self::Admitted(_))
    }

    /// The state of the limit, unless the answer is still open.
    pub fn quota(&self) -> Option<&Quota> {
        match self {
            Self::Admitted(quota) | Self::Refused(quota) => Some(quota),
            Self::Pending => None,
        }
    }
}
